"""The world on disk, so that a demo finds its guilds again; messages, sessions and the bot's voice are not kept."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec

from playground.twin.model import Entitlement, Guild, Json, User
from playground.twin.world import World


class Saved(msgspec.Struct, frozen=True):
    """What is in the file. ``seed`` is the signing key's, in base64."""

    application_id: int
    token: str
    seed: str
    bot: User
    owner: User
    users: dict[int, User]
    guilds: dict[int, Guild]
    entitlements: dict[int, Entitlement]
    commands: dict[int, dict[int, Json]]
    skus: list[Json]


def save(path: Path, world: World, seed: bytes) -> None:
    """Write the world; the file is replaced in one step and readable by its owner only.

    Raises:
        OSError: it cannot be written.
    """
    saved = Saved(
        world.application_id,
        world.token,
        base64.b64encode(seed).decode(),
        world.bot,
        world.owner,
        world.users,
        world.guilds,
        world.entitlements,
        world.commands.scopes,
        world.skus,
    )
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(msgspec.json.encode(saved))
    fresh.replace(path)


def load(path: Path) -> tuple[World, bytes]:
    """Read a world and the seed of its signing key.

    Raises:
        OSError: it cannot be read.
        msgspec.DecodeError: it is no such file.
    """
    saved = msgspec.json.decode(path.read_bytes(), type=Saved)
    world = World(name=saved.bot.name, token=saved.token)
    world.application_id = saved.application_id
    world.bot, world.owner = saved.bot, saved.owner
    world.users, world.guilds, world.entitlements = saved.users, saved.guilds, saved.entitlements
    world.channels = {each.id: each for guild in saved.guilds.values() for each in guild.channels.values()}
    world.skus = saved.skus
    world.commands.load(saved.application_id, saved.commands)
    for guild in world.guilds.values():
        guild.voice_states.pop(saved.bot.id, None)
    return world, base64.b64decode(saved.seed)
