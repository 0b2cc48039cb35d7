"""Voice packets as Discord's voice servers take them: RTP in both `rtpsize` modes, and IP discovery.

https://discord.com/developers/docs/topics/voice-connections (Transport Encryption and Sending Voice; IP Discovery).
No sockets here but the one a link sends on; everything else is bytes in, bytes out.
"""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Callable, Iterable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

SAMPLES_PER_FRAME = 960
"""Samples per channel in an Opus frame of 20 ms at 48 kHz: the step of the RTP timestamp."""
SILENCE = b"\xf8\xff\xfe"
"""An Opus frame of silence; five of them go out before a pause, so that decoders don't interpolate."""
AES_GCM = "aead_aes256_gcm_rtpsize"
XCHACHA = "aead_xchacha20_poly1305_rtpsize"
DISCOVERY_LENGTH = 74

Seal = Callable[[bytes | memoryview, bytes, bytes], bytes]
"""(frame, header to authenticate, 4 counted bytes of the nonce) -> the frame encrypted, with its tag."""

_HEADER = struct.Struct(">BBHII")
_COUNTER = struct.Struct(">I")
_DISCOVERY = struct.Struct(">HHI64sH")
_VERSION = 0x80
_PAYLOAD_TYPE = 0x78


class DiscoveryError(ValueError):
    """A datagram that is no answer to our IP discovery."""


def discovery_request(ssrc: int) -> bytes:
    """The 74 bytes that ask a voice server from which address it sees us."""
    return _DISCOVERY.pack(1, 70, ssrc, b"", 0)


def discovery_response(datagram: bytes) -> tuple[str, int]:
    """Address and port from a voice server's answer. Raises DiscoveryError for anything else."""
    if len(datagram) != DISCOVERY_LENGTH:
        raise DiscoveryError(f"an answer of {len(datagram)} bytes, not {DISCOVERY_LENGTH}")
    kind, length, _ssrc, address, port = _DISCOVERY.unpack(datagram)
    if kind != 2 or length != 70:
        raise DiscoveryError(f"an answer of type {kind} and length {length}")
    return address.split(b"\0", 1)[0].decode("ascii"), port


def choose_mode(offered: Iterable[str]) -> str | None:
    """The mode to take: AES-GCM, which is cheaper, where the server offers it. None if there is none that we know."""
    known = set(offered)
    return next((mode for mode in (AES_GCM, XCHACHA) if mode in known), None)


def sealer(mode: str, key: bytes) -> Seal:
    """What encrypts in this mode with this 32-byte key. Raises KeyError for an unknown mode."""
    return {AES_GCM: _aes_gcm, XCHACHA: _xchacha}[mode](key)


def _aes_gcm(key: bytes) -> Seal:
    encrypt = AESGCM(key).encrypt
    return lambda frame, header, counter: encrypt(counter + b"\0\0\0\0\0\0\0\0", frame, header)


def _xchacha(key: bytes) -> Seal:
    def seal(frame: bytes | memoryview, header: bytes, counter: bytes) -> bytes:
        return crypto_aead_xchacha20poly1305_ietf_encrypt(bytes(frame), header, counter + bytes(20), key)

    return seal


class RtpLink:
    """One encrypted RTP stream to one voice server; used by the pump's thread only, once it is handed over.

    Sequence and timestamp start anywhere and go on by 1 and 960 for each packet, across pauses too.
    """

    __slots__ = ("_counter", "_seal", "_sequence", "_socket", "_timestamp", "dropped", "ssrc")

    def __init__(self, sock: socket.socket, ssrc: int, key: bytes, mode: str = AES_GCM) -> None:
        self._socket = sock
        self._seal = sealer(mode, key)
        self._sequence = secrets.randbits(16)
        self._timestamp = secrets.randbits(32)
        self._counter = 0
        self.ssrc = ssrc
        self.dropped = 0

    def packet(self, opus: bytes | memoryview) -> bytes:
        """The next packet: 12 bytes of header, the sealed frame with its tag, the 4 counted bytes of the nonce."""
        header = _HEADER.pack(_VERSION, _PAYLOAD_TYPE, self._sequence, self._timestamp, self.ssrc)
        counter = _COUNTER.pack(self._counter)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + SAMPLES_PER_FRAME) & 0xFFFFFFFF
        self._counter = (self._counter + 1) & 0xFFFFFFFF
        return b"".join((header, self._seal(opus, header, counter), counter))

    def send(self, opus: bytes | memoryview) -> None:
        """Seal and send a frame. A full or closed socket costs the packet, never the pump."""
        try:
            self._socket.send(self.packet(opus))
        except OSError:
            self.dropped += 1
