"""Keys: made (and shown once), listed, revoked. A key reaches no further than itself: not for other guilds, and what
it makes has no scope, guild or time that it has not."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from interactions.api.moments import require_future
from interactions.api.operation import SNOWFLAKE_PATTERN, Call, Page, Reply, operation
from interactions.api.paging import decode_cursor, encode_cursor, next_link
from interactions.api.problems import not_found
from tonearm.errors import Problem
from tonearm.postgres.api_keys import ApiKey, create_key, fetch_keys, is_within_reach, revoke_key
from tonearm.scopes import GIVEN, spread

ScopeName = Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(scope.replace('*', '[*]') for scope in GIVEN)})$")]
GuildId = Annotated[str, msgspec.Meta(pattern=SNOWFLAKE_PATTERN)]


class KeyWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to make. Without ``guild_ids`` it is for all that the maker's is for; ``null`` is no end."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern="^[!-~]([ -~]*[!-~])?$")]
    scopes: Annotated[list[ScopeName], msgspec.Meta(min_length=1, max_length=20)]
    guild_ids: Annotated[list[GuildId], msgspec.Meta(min_length=1, max_length=100)] | None = None
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class KeyView(msgspec.Struct, frozen=True):
    """A key without itself. ``hint`` is how it begins and ends."""

    id: str
    name: str
    hint: str
    scopes: list[str]
    guild_ids: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewKeyView(KeyView, frozen=True):
    """A key that was made. ``secret`` is the key itself, and ``null`` where the answer is repeated."""

    secret: str | None


class KeysView(msgspec.Struct, frozen=True):
    """A page of keys."""

    data: list[KeyView]
    next_cursor: str | None


def _without_secret(body: NewKeyView) -> NewKeyView:
    return msgspec.structs.replace(body, secret=None)


@operation("POST", "/keys", scope="keys:write", body=KeyWish, answer=NewKeyView, statuses=(201,), kept=_without_secret)
async def create_api_key(call: Call) -> Reply:
    """Makes a key."""
    wish: KeyWish = call.body
    owner = call.owner
    if not spread(wish.scopes) <= spread(owner.scopes):
        raise Problem("beyond-own-reach", "A key can only give scopes that it has.")
    guilds = frozenset(map(int, wish.guild_ids)) if wish.guild_ids is not None else owner.guilds
    if owner.guilds is not None and (guilds is None or not guilds <= owner.guilds):
        raise Problem("beyond-own-reach", "A key can only be made for guilds that this one is for.")
    expires_at = wish.expires_at
    if expires_at is not None:
        expires_at = require_future(expires_at, call.now)
    if owner.expires_at is not None:
        expires_at = min(expires_at or owner.expires_at, owner.expires_at)
    made = await create_key(
        call.parts.pools.write, wish.name, wish.scopes, guilds=guilds, expires_at=expires_at, now=call.now
    )
    fields = msgspec.structs.asdict(_view(made.key))
    return Reply(NewKeyView(**fields, secret=made.secret), 201)


@operation("GET", "/keys", scope="keys:read", query=Page, answer=KeysView)
async def list_api_keys(call: Call) -> Reply:
    """A page of keys, those that the asking key's guilds include."""
    page: Page = call.query
    after = decode_cursor(page.cursor) if page.cursor else ""
    found = await fetch_keys(call.parts.pools.write, within=call.owner.guilds, after=after, most=page.limit + 1)
    shown = found[: page.limit]
    cursor = encode_cursor(shown[-1].id) if len(found) > page.limit else None
    return Reply(KeysView([_view(key) for key in shown], cursor), headers=next_link("/keys", page, cursor))


@operation("DELETE", "/keys/{key_id}", scope="keys:write", statuses=(204,))
async def revoke_api_key(call: Call) -> Reply:
    """Ends a key for good, and its streams; doing it again changes nothing."""
    pool = call.parts.pools.write
    name = call.path["key_id"]
    if "\0" in name or not await is_within_reach(pool, name, call.owner.guilds):
        raise not_found("There is no such key, or it is not in this key's reach.")
    revoked = await revoke_key(pool, name, call.now)
    if revoked is not None:
        await call.parts.keyring.forget(revoked.hash)
    return Reply(None, 204)


def _view(key: ApiKey) -> KeyView:
    return KeyView(
        key.id,
        key.name,
        key.hint,
        sorted(key.scopes),
        sorted(map(str, key.guilds), key=int) if key.guilds is not None else None,
        key.created_at,
        key.expires_at,
        key.last_used_at,
        key.revoked_at,
    )
