"""The messages of voice gateway version 8: what a client may say, and what the server answers.

Source: https://docs.discord.com/developers/topics/voice-connections and
https://docs.discord.com/developers/topics/opcodes-and-status-codes#voice
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

import msgspec

VERSION: Final = 8
AES_GCM: Final = "aead_aes256_gcm_rtpsize"
XCHACHA: Final = "aead_xchacha20_poly1305_rtpsize"
MODES: Final = (AES_GCM, XCHACHA)

Json = dict[str, Any]
"""A message as it goes over the wire."""


class Op(IntEnum):
    """The opcodes that are spoken here."""

    IDENTIFY = 0
    SELECT_PROTOCOL = 1
    READY = 2
    HEARTBEAT = 3
    SESSION_DESCRIPTION = 4
    SPEAKING = 5
    HEARTBEAT_ACK = 6
    RESUME = 7
    HELLO = 8
    RESUMED = 9
    CLIENTS_CONNECT = 11
    VIDEO = 12
    CLIENT_DISCONNECT = 13
    MEDIA_SINK_WANTS = 15


IGNORED: Final = frozenset({Op.VIDEO, Op.MEDIA_SINK_WANTS})
"""Undocumented, yet sent by clients in the wild: they say something about video, which a music bot has none of."""


class Close(IntEnum):
    """The close codes, and what each of them tells the client."""

    UNKNOWN_OPCODE = 4001
    FAILED_TO_DECODE = 4002
    NOT_AUTHENTICATED = 4003
    AUTHENTICATION_FAILED = 4004
    ALREADY_AUTHENTICATED = 4005
    SESSION_NO_LONGER_VALID = 4006
    SESSION_TIMEOUT = 4009
    SERVER_NOT_FOUND = 4011
    UNKNOWN_PROTOCOL = 4012
    DISCONNECTED = 4014
    SERVER_CRASHED = 4015
    UNKNOWN_ENCRYPTION_MODE = 4016
    DAVE_REQUIRED = 4017
    BAD_REQUEST = 4020
    RATE_LIMITED = 4021
    CALL_TERMINATED = 4022

    @property
    def reason(self) -> str:
        """The words that go with the code in the close frame, such as "Session no longer valid"."""
        return self.name.replace("_", " ").capitalize()


RESUMABLE: Final = frozenset({Close.SERVER_CRASHED})
"""Closes by the server after which the client may RESUME."""

VOIDING: Final = frozenset(
    {
        Close.AUTHENTICATION_FAILED,
        Close.SESSION_NO_LONGER_VALID,
        Close.SERVER_NOT_FOUND,
        Close.DISCONNECTED,
        Close.RATE_LIMITED,
        Close.CALL_TERMINATED,
    }
)
"""Closes after which the same token is refused. After the others a client may identify with it once more."""

LEAVING: Final = frozenset({Close.DISCONNECTED, Close.RATE_LIMITED, Close.CALL_TERMINATED})
"""The codes that Discord words as "Disconnected": the user is not in the channel any more."""


class Refused(Exception):
    """The server will not go on with this connection, and closes it with `code`."""

    def __init__(self, code: Close) -> None:
        super().__init__(f"{code.value} {code.reason}")
        self.code = code


class Identify(msgspec.Struct, frozen=True):
    """Op 0: who connects, with the token and session id that the main gateway told it."""

    server_id: str
    user_id: str
    session_id: str
    token: str
    max_dave_protocol_version: int = 0


class Address(msgspec.Struct, frozen=True):
    """Where the client sends from, as IP discovery told it, and the encryption it chose."""

    address: str
    port: int
    mode: str


class SelectProtocol(msgspec.Struct, frozen=True):
    """Op 1: how audio will come."""

    protocol: str
    data: Address


class Heartbeat(msgspec.Struct, frozen=True):
    """Op 3: `t` is a nonce to be given back, `seq_ack` the last numbered message received (-1: none)."""

    t: int
    seq_ack: int


class Speaking(msgspec.Struct, frozen=True):
    """Op 5: wanted once before any audio."""

    speaking: int
    delay: int
    ssrc: int


class Resume(msgspec.Struct, frozen=True):
    """Op 7: go on with a session whose socket was lost, from `seq_ack`."""

    server_id: str
    session_id: str
    token: str
    seq_ack: int


Message = Identify | SelectProtocol | Heartbeat | Speaking | Resume

_TYPES: Final[dict[int, type[Message]]] = {
    Op.IDENTIFY: Identify,
    Op.SELECT_PROTOCOL: SelectProtocol,
    Op.HEARTBEAT: Heartbeat,
    Op.SPEAKING: Speaking,
    Op.RESUME: Resume,
}


class _Envelope(msgspec.Struct, frozen=True):
    op: int
    d: msgspec.Raw


def decode(text: str) -> Message | None:
    """Read one client message; `None` for one that is tolerated and means nothing here.

    Raises `Refused`: 4002 for what is no message at all or a broken identify, 4001 for an unknown opcode
    (the DAVE opcodes are among them), 4020 for wrong fields.
    """
    try:
        envelope = msgspec.json.decode(text, type=_Envelope)
    except msgspec.DecodeError as error:
        raise Refused(Close.FAILED_TO_DECODE) from error
    if envelope.op in IGNORED:
        return None
    wanted = _TYPES.get(envelope.op)
    if wanted is None:
        raise Refused(Close.UNKNOWN_OPCODE)
    try:
        return msgspec.json.decode(envelope.d, type=wanted)
    except msgspec.DecodeError as error:
        broken = Close.FAILED_TO_DECODE if wanted is Identify else Close.BAD_REQUEST
        raise Refused(broken) from error


def hello(heartbeat_interval: float) -> Json:
    """Op 8; the interval is in ms."""
    return {"op": Op.HELLO, "d": {"v": VERSION, "heartbeat_interval": heartbeat_interval}}


def ready(ssrc: int, ip: str, port: int, modes: Sequence[str] = MODES) -> Json:
    """Op 2: the source id to send with, where to, and the encryption to choose from."""
    return {"op": Op.READY, "d": {"ssrc": ssrc, "ip": ip, "port": port, "modes": list(modes)}}


def session_description(mode: str, secret_key: bytes) -> Json:
    """Op 4: the 32-byte key. `dave_protocol_version` 0 says that there is no end-to-end encryption."""
    return {
        "op": Op.SESSION_DESCRIPTION,
        "d": {"mode": mode, "secret_key": list(secret_key), "dave_protocol_version": 0},
    }


def heartbeat_ack(t: int) -> Json:
    """Op 6."""
    return {"op": Op.HEARTBEAT_ACK, "d": {"t": t}}


def resumed() -> Json:
    """Op 9."""
    return {"op": Op.RESUMED, "d": None}


def clients_connect(user_ids: Sequence[int]) -> Json:
    """Op 11: these users are in the channel now."""
    return {"op": Op.CLIENTS_CONNECT, "d": {"user_ids": [str(user_id) for user_id in user_ids]}}


def client_disconnect(user_id: int) -> Json:
    """Op 13: this user is not any more."""
    return {"op": Op.CLIENT_DISCONNECT, "d": {"user_id": str(user_id)}}
