"""What a guild has set."""

from __future__ import annotations

from typing import Annotated

import msgspec

from interactions.api.etags import changed, require_match, tag_of
from interactions.api.operation import Call, Reply, operation
from tonearm.errors import Conflict, Problem, Refused
from tonearm.music.guild_settings import MOST_SECONDS, GuildSettings
from tonearm.music.player import MAX_VOLUME
from tonearm.postgres.grants import fetch_effective_plan
from tonearm.postgres.guild_settings import fetch_versioned, save_guild_settings
from tonearm.premium.gate import require_feature
from tonearm.premium.plans import Feature

PATH = "/guilds/{guild_id}/settings"

Volume = Annotated[int, msgspec.Meta(ge=0, le=MAX_VOLUME)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=MOST_SECONDS)]


class SettingsView(msgspec.Struct, frozen=True):
    """All settings; see there for what they mean."""

    guild_id: str
    default_volume: int
    alone_seconds: int
    idle_seconds: int
    always_on: bool
    announcements: bool


class SettingsWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The settings to change; what is missing stays."""

    default_volume: Volume | msgspec.UnsetType = msgspec.UNSET
    alone_seconds: Seconds | msgspec.UnsetType = msgspec.UNSET
    idle_seconds: Seconds | msgspec.UnsetType = msgspec.UNSET
    always_on: bool | msgspec.UnsetType = msgspec.UNSET
    announcements: bool | msgspec.UnsetType = msgspec.UNSET


@operation("GET", PATH, scope="settings:read", answer=SettingsView, has_etag=True, statuses=(200, 304))
async def get_settings(call: Call) -> Reply:
    """What the guild has set."""
    found, version = await fetch_versioned(call.parts.pools.write, call.guild)
    return _reply(call.guild, found, version)


@operation("PATCH", PATH, scope="settings:write", body=SettingsWish, answer=SettingsView, needs_match=True)
async def change_settings(call: Call) -> Reply:
    """Changes some, if they are as the caller has seen them."""
    pool = call.parts.pools.write
    before, version = await fetch_versioned(pool, call.guild)
    require_match(call.headers, _tag(call.guild, before, version))
    wished = {name: value for name, value in msgspec.structs.asdict(call.body).items() if value is not msgspec.UNSET}
    after = msgspec.structs.replace(before, **wished)
    if after == before:
        return _reply(call.guild, before, version)
    access = await fetch_effective_plan(pool, call.guild, call.now, base=call.parts.base_plan)
    try:
        if after.default_volume > before.default_volume:
            require_feature(access.plan, Feature.VOLUME, after.default_volume)
        if after.always_on and not before.always_on:
            require_feature(access.plan, Feature.ALWAYS_ON)
    except Refused as refusal:
        raise Problem("plan-limit", str(refusal)) from None
    try:
        await save_guild_settings(pool, call.guild, after, version=version)
    except Conflict:
        raise changed() from None
    await call.parts.forget(call.guild)
    return _reply(call.guild, after, version + 1)


def _reply(guild: int, settings: GuildSettings, version: int) -> Reply:
    s = settings
    body = SettingsView(str(guild), s.default_volume, s.alone_seconds, s.idle_seconds, s.always_on, s.announcements)
    return Reply(body, headers={"ETag": _tag(guild, settings, version)})


def _tag(guild: int, settings: GuildSettings, version: int) -> str:
    return tag_of((guild, version, settings))
