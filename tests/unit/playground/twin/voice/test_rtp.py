"""Packets are opened as Discord documents it, checked against published vectors and a second opinion."""

import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from playground.twin.voice import rtp
from playground.twin.voice.protocol import AES_GCM, MODES, XCHACHA

KEY = bytes(range(32))
SSRC = 0x01020304


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """Derive a subkey from 16 bytes of nonce, written after draft-irtf-cfrg-xchacha, section 2.2."""
    state = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter(a: int, b: int, c: int, d: int) -> None:
        for x, y, z, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xFFFFFFFF
            mixed = state[z] ^ state[x]
            state[z] = (mixed << bits | mixed >> (32 - bits)) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        for column in range(4):
            quarter(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return struct.pack("<8I", *state[:4], *state[12:])


def seal(mode: str, header: bytes, plain: bytes, nonce: bytes) -> bytes:
    """Encrypt without any code that decrypts here."""
    if mode == AES_GCM:
        return header + AESGCM(KEY).encrypt(nonce + bytes(8), plain, header) + nonce
    long_nonce = nonce + bytes(20)
    cipher = ChaCha20Poly1305(hchacha20(KEY, long_nonce[:16]))
    return header + cipher.encrypt(bytes(4) + long_nonce[16:], plain, header) + nonce


def test_second_opinion_agrees_with_the_draft() -> None:
    """draft-irtf-cfrg-xchacha-03, section 2.2.1."""
    subkey = hchacha20(KEY, bytes.fromhex("000000090000004a0000000031415927"))
    assert subkey.hex() == "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"


def test_aes_gcm_vector() -> None:
    """Test case 14 of the GCM specification: key, nonce and 16 bytes of zeros."""
    sealed = bytes.fromhex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
    assert rtp.decrypter(AES_GCM, bytes(32))(sealed + bytes(4), 0) == bytes(16)


@given(
    mode=st.sampled_from(MODES),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(min_size=1, max_size=400),
    nonce=st.binary(min_size=4, max_size=4),
    sources=st.integers(0, 15),
    extension=st.none() | st.integers(0, 4),
    padding=st.none() | st.integers(1, 8),
    marker=st.booleans(),
)
def test_what_was_sent_is_read(
    mode: str,
    sequence: int,
    timestamp: int,
    payload: bytes,
    nonce: bytes,
    sources: int,
    extension: int | None,
    padding: int | None,
    marker: bool,
) -> None:
    first = 0x80 | sources | (0x10 if extension is not None else 0) | (0x20 if padding is not None else 0)
    header = struct.pack(">BBHII", first, 0xF8 if marker else 0x78, sequence, timestamp, SSRC)
    header += bytes(4 * sources)
    plain = payload
    if extension is not None:
        header += struct.pack(">HH", 0xBEDE, extension)
        plain = b"\xee" * (4 * extension) + plain
    if padding is not None:
        plain += bytes(padding - 1) + bytes([padding])
    packet = seal(mode, header, plain, nonce)
    assert rtp.source(packet) == SSRC
    assert rtp.frame(packet, rtp.decrypter(mode, KEY)) == (sequence, timestamp, payload)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", [1, 3, 12, -1, -6])
def test_one_changed_bit_anywhere_is_refused(mode: str, place: int) -> None:
    packet = bytearray(seal(mode, struct.pack(">BBHII", 0x80, 0x78, 1, 2, SSRC), b"music", b"\0\0\0\1"))
    packet[place] ^= 1
    with pytest.raises(ValueError, match="key"):
        rtp.frame(bytes(packet), rtp.decrypter(mode, KEY))


@pytest.mark.parametrize("mode", MODES)
def test_too_short_is_refused(mode: str) -> None:
    packet = struct.pack(">BBHII", 0x80, 0x78, 1, 2, SSRC) + bytes(19)
    with pytest.raises(ValueError, match="short"):
        rtp.frame(packet, rtp.decrypter(mode, KEY))


@given(st.binary(max_size=100))
def test_noise_is_never_audio(noise: bytes) -> None:
    assert rtp.source(b"\x00" + noise) is None
    assert rtp.source(b"\x80\xc8" + noise) is None  # RTCP
    packet = b"\x9f\x78" + noise
    if rtp.source(packet) is not None:
        with pytest.raises(ValueError, match=r"key|short"):
            rtp.frame(packet, rtp.decrypter(XCHACHA, KEY))


def test_discovery_is_74_bytes_both_ways() -> None:
    asked = struct.pack(">HHI", 1, 70, SSRC) + bytes(66)
    answer = rtp.discovery_response(asked, "127.0.0.1", 50_001)
    assert answer is not None
    ssrc, told = answer
    assert ssrc == SSRC
    assert told == struct.pack(">HHI64sH", 2, 70, SSRC, b"127.0.0.1", 50_001)
    assert len(asked) == len(told) == rtp.DISCOVERY_BYTES == 74


@pytest.mark.parametrize("wrong", [b"", bytes(74), struct.pack(">HHI", 2, 70, 1) + bytes(66), bytes(73)])
def test_what_is_no_discovery_gets_no_answer(wrong: bytes) -> None:
    assert rtp.discovery_response(wrong, "127.0.0.1", 1) is None
