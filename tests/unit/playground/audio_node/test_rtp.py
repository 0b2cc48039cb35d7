"""Packets of voice, byte by byte."""

from __future__ import annotations

import socket
import struct

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt

from playground.audio_node.rtp import (
    AES_GCM,
    SILENCE,
    XCHACHA,
    DiscoveryError,
    RtpLink,
    choose_mode,
    discovery_request,
    discovery_response,
)

KEY = bytes(range(32))


def a_link(mode: str = AES_GCM) -> RtpLink:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return RtpLink(sock, 0x01020304, KEY, mode)


def test_a_packet_is_header_sealed_frame_and_counter() -> None:
    packet = a_link().packet(b"opus")
    assert packet[:2] == b"\x80\x78"
    assert packet[8:12] == b"\x01\x02\x03\x04"
    assert len(packet) == 12 + len(b"opus") + 16 + 4
    assert packet[-4:] == bytes(4)
    assert AESGCM(KEY).decrypt(packet[-4:] + bytes(8), packet[12:-4], packet[:12]) == b"opus"


def test_the_other_mode_has_the_same_form_with_a_nonce_of_24_bytes() -> None:
    link = a_link(XCHACHA)
    for counter, frame in enumerate((b"opus", memoryview(b"music"))):
        packet = link.packet(frame)
        assert packet[-4:] == counter.to_bytes(4, "big")
        sealed, header, nonce = packet[12:-4], packet[:12], packet[-4:] + bytes(20)
        assert crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, header, nonce, KEY) == bytes(frame)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [([XCHACHA, AES_GCM], AES_GCM), ([XCHACHA], XCHACHA), (["xsalsa20_poly1305"], None), ([], None)],
)
def test_the_cheaper_mode_is_taken_where_it_is_offered(offered: list[str], chosen: str | None) -> None:
    assert choose_mode(offered) == chosen


def test_the_header_is_authenticated() -> None:
    packet = bytearray(a_link().packet(b"opus"))
    packet[3] ^= 1
    with pytest.raises(InvalidTag):
        AESGCM(KEY).decrypt(bytes(packet[-4:]) + bytes(8), bytes(packet[12:-4]), bytes(packet[:12]))


def test_sequence_timestamp_and_nonce_go_on_and_wrap() -> None:
    link = a_link()
    link._sequence, link._timestamp, link._counter = 0xFFFF, 0xFFFFFFFF - 959, 0xFFFFFFFF
    first, second = (struct.unpack(">HI", packet[2:8]) for packet in (link.packet(SILENCE), link.packet(SILENCE)))
    assert first == (0xFFFF, 0xFFFFFFFF - 959)
    assert second == (0, 0)
    assert link.packet(SILENCE)[-4:] == b"\0\0\0\1"


def test_a_closed_socket_costs_the_packet_only() -> None:
    link = a_link()
    link.send(SILENCE)
    assert link.dropped == 1


def test_discovery_asks_in_74_bytes() -> None:
    assert discovery_request(7) == b"\0\1\0\x46\0\0\0\7" + bytes(66)


def test_discovery_reads_address_and_port() -> None:
    answer = b"\0\2\0\x46\0\0\0\7" + b"203.0.113.9".ljust(64, b"\0") + (50004).to_bytes(2, "big")
    assert discovery_response(answer) == ("203.0.113.9", 50004)


@pytest.mark.parametrize("datagram", [b"", bytes(74), b"\x80\x78" + bytes(72), b"\0\2\0\x46" + bytes(71)])
def test_anything_else_is_no_answer(datagram: bytes) -> None:
    with pytest.raises(DiscoveryError):
        discovery_response(datagram)
