"""RTP as Discord's voice servers take it, and IP discovery.

A packet is a header, the encrypted Opus frame with its 16-byte tag, and the last 4 bytes of the nonce. In the
`rtpsize` modes the header is authenticated as far as SRTP leaves it in the clear: 12 bytes, the contributing
sources, and of a header extension its first 4 bytes.
Source: https://docs.discord.com/developers/topics/voice-connections#transport-encryption-and-sending-voice
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt
from nacl.exceptions import CryptoError

from playground.twin.voice.protocol import AES_GCM, XCHACHA

SAMPLE_RATE: Final = 48_000
FRAME_SAMPLES: Final = 960
"""Samples in a frame of 20 ms: the step of the RTP timestamp."""
FRAME_NS: Final = 20_000_000
SILENCE_FRAME: Final = b"\xf8\xff\xfe"
"""The Opus frame that senders put in where they have nothing to play."""

_HEADER: Final = struct.Struct(">BBHII")
_OPUS: Final = 0x78
_TAG_BYTES: Final = 16
_NONCE_BYTES: Final = 4
_DISCOVERY: Final = struct.Struct(">HHI64sH")
_DISCOVERY_REQUEST: Final = 1
_DISCOVERY_RESPONSE: Final = 2
DISCOVERY_BYTES: Final = _DISCOVERY.size  # 74

Decrypt = Callable[[bytes, int], bytes]
"""(packet, bytes of clear header) -> what was encrypted. Raises `ValueError` if it does not authenticate."""


class Frame(NamedTuple):
    """One frame of audio, as it was in its packet."""

    sequence: int
    timestamp: int
    payload: bytes


def decrypter(mode: str, key: bytes) -> Decrypt:
    """Return what opens packets of this mode with this 32-byte key. Raises `KeyError` for an unknown mode."""
    return {AES_GCM: _aes_gcm, XCHACHA: _xchacha}[mode](key)


def _aes_gcm(key: bytes) -> Decrypt:
    decrypt = AESGCM(key).decrypt

    def opened(packet: bytes, header: int) -> bytes:
        try:
            return decrypt(packet[-4:] + b"\0\0\0\0\0\0\0\0", packet[header:-4], packet[:header])
        except InvalidTag:
            raise ValueError("not encrypted with this key") from None

    return opened


def _xchacha(key: bytes) -> Decrypt:
    def opened(packet: bytes, header: int) -> bytes:
        nonce = packet[-4:] + bytes(20)
        try:
            return crypto_aead_xchacha20poly1305_ietf_decrypt(packet[header:-4], packet[:header], nonce, key)
        except CryptoError:
            raise ValueError("not encrypted with this key") from None

    return opened


def source(packet: bytes) -> int | None:
    """Return the SSRC of an Opus RTP packet; `None` for anything else (RTCP, keep-alives, noise)."""
    if len(packet) < _HEADER.size or packet[0] >> 6 != 2 or packet[1] & 0x7F != _OPUS:
        return None
    return int.from_bytes(packet[8:12])


def frame(packet: bytes, decrypt: Decrypt) -> Frame:
    """Open a packet of which `source` said that it is audio.

    Raises `ValueError` if it is too short or does not authenticate.
    """
    first, _, sequence, timestamp, _ = _HEADER.unpack_from(packet)
    if first == 0x80:  # what Discord documents, and all that most clients send
        header, extension = 12, 0
    else:
        header, extension = _clear_header(packet, first)
    if len(packet) < header + _TAG_BYTES + _NONCE_BYTES:
        raise ValueError("too short")
    payload = decrypt(packet, header)
    if extension:
        payload = payload[extension:]
    if first & 0x20 and payload:
        payload = payload[: -payload[-1]]
    return Frame(sequence, timestamp, payload)


def _clear_header(packet: bytes, first: int) -> tuple[int, int]:
    """Return (bytes of header in the clear, bytes of header extension among what is encrypted)."""
    header = _HEADER.size + 4 * (first & 0x0F)
    if not first & 0x10:
        return header, 0
    return header + 4, 4 * int.from_bytes(packet[header + 2 : header + 4])


def discovery_response(packet: bytes, address: str, port: int) -> tuple[int, bytes] | None:
    """Answer an IP discovery request that came from there: (its SSRC, the 74 bytes), or `None` if it is none."""
    if len(packet) != _DISCOVERY.size:
        return None
    kind, length, ssrc, _, _ = _DISCOVERY.unpack(packet)
    if kind != _DISCOVERY_REQUEST or length != _DISCOVERY.size - 4:
        return None
    return ssrc, _DISCOVERY.pack(_DISCOVERY_RESPONSE, length, ssrc, address.encode(), port)
