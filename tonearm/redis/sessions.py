"""What the next owner of a shard needs to go on: gateway session, Lavalink sessions, voice connections, guilds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from tonearm.errors import LeaseLost
from tonearm.redis import keys
from tonearm.redis.client import Client
from tonearm.redis.script import Script
from tonearm.telemetry import LOG

T = TypeVar("T")


class SavedGateway(msgspec.Struct, frozen=True):
    """A gateway session that can be resumed (Discord's documentation, Gateway, *Resuming*).

    ``user`` is the bot's own user object, reduced.
    """

    session: str
    sequence: int
    url: str
    user: dict[str, Any]


class SavedVoice(msgspec.Struct, frozen=True):
    """A voice connection, and the Lavalink server (its URL) that holds it."""

    session: str
    token: str
    endpoint: str
    channel: int
    server: str


class SavedShard(msgspec.Struct, frozen=True):
    """Everything saved of a shard. ``lavalink`` are session ids by server, ``guilds`` reduced GUILD_CREATE payloads."""

    gateway: SavedGateway | None = None
    lavalink: dict[str, str] = {}
    guilds: dict[int, dict[str, Any]] = {}
    voices: dict[int, SavedVoice] = {}


_save = Script("save")
_decode_gateway = msgspec.json.Decoder(SavedGateway).decode
_decode_voice = msgspec.json.Decoder(SavedVoice).decode
_decode_guild = msgspec.json.Decoder(dict[str, Any]).decode


async def save(
    client: Client,
    shard: int,
    token: str,
    *,
    gateway: SavedGateway | None = None,
    lavalink: Mapping[str, str | None] | None = None,
    guilds: Mapping[int, dict[str, Any] | None] | None = None,
    voices: Mapping[int, SavedVoice | None] | None = None,
) -> None:
    """Write what changed, in one step; ``None`` as a value removes it.

    Raises:
        LeaseLost: the shard is another's. Nothing was written.
        RedisError: Redis doesn't answer.
    """
    args: list[str | bytes | int | float] = [
        token,
        msgspec.json.encode(gateway) if gateway else b"",
        len(lavalink or {}),
        len(guilds or {}),
        len(voices or {}),
    ]
    for name, session in (lavalink or {}).items():
        args += [name, session or ""]
    for guild, value in (guilds or {}).items():
        args += [guild, msgspec.json.encode(value) if value is not None else b""]
    for guild, voice in (voices or {}).items():
        args += [guild, msgspec.json.encode(voice) if voice is not None else b""]
    names = [keys.lease(shard), keys.sessions(shard), keys.guilds(shard), keys.voices(shard)]
    if not await _save(client, names, args):
        raise LeaseLost(f"shard {shard} has another owner")


async def fetch(client: Client, shard: int) -> SavedShard:
    """What the owner before saved. What can't be read is left out; a gateway session is of no use without all guilds.

    Raises:
        RedisError: Redis doesn't answer.
    """
    pipe = client.pipeline(transaction=False)
    pipe.hgetall(keys.sessions(shard))
    pipe.hgetall(keys.guilds(shard))
    pipe.hgetall(keys.voices(shard))
    sessions, guilds, voices = await pipe.execute()
    gateway = sessions.pop(b"gateway", None)
    read = {int(guild): _read(_decode_guild, value) for guild, value in guilds.items()}
    known = {guild: value for guild, value in read.items() if value is not None}
    connected = ((int(guild), _read(_decode_voice, value)) for guild, value in voices.items())
    return SavedShard(
        gateway=_read(_decode_gateway, gateway) if gateway and len(known) == len(read) else None,
        lavalink={server.decode(): session.decode() for server, session in sessions.items()},
        guilds=known,
        voices={guild: voice for guild, voice in connected if voice is not None},
    )


def _read(decode: Callable[[bytes], T], value: bytes) -> T | None:
    try:
        return decode(value)
    except msgspec.DecodeError as error:
        LOG.error("What the owner before saved can't be read: %s", error)
        return None
