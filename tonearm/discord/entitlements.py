"""Entitlements: what Discord sold (Discord's documentation, *Entitlement Resource*)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec

from tonearm.discord.rest import Json, RestClient
from tonearm.errors import DiscordAway, DiscordError

PAGE = 100
EVENTS = ("ENTITLEMENT_CREATE", "ENTITLEMENT_UPDATE", "ENTITLEMENT_DELETE")
"""The webhook events that tell of them (Discord's documentation, *Webhook Events*); no other is acted on."""

UNKNOWN_ENTITLEMENT = 404


class Entitlement(msgspec.Struct, frozen=True):
    """Access to a SKU. Without dates it has no end yet; test entitlements have none at all."""

    id: int
    sku_id: str
    user_id: int | None = None
    guild_id: int | None = None
    deleted: bool = False
    starts_at: datetime | None = None
    ends_at: datetime | None = None


def read(found: Json) -> Entitlement:
    """An entitlement from its JSON, whose ids are texts.

    Raises:
        DiscordAway: it is none.
    """
    try:
        return msgspec.convert(found, Entitlement, strict=False)
    except msgspec.ValidationError as error:
        raise DiscordAway(f"an entitlement can't be read: {error}") from None


async def fetch_one(rest: RestClient, application: int, id: int) -> Entitlement | None:
    """How it is now; ``None`` where Discord knows it no more.

    Raises:
        DiscordAway: Discord doesn't answer.
        DiscordError: Discord refuses.
    """
    try:
        return read(await rest.fetch_entitlement(application, id))
    except DiscordError as error:
        if error.status == UNKNOWN_ENTITLEMENT:
            return None
        raise


async def fetch_all(rest: RestClient, application: int) -> AsyncIterator[Entitlement]:
    """All that have not ended, page by page, by id.

    Raises:
        DiscordAway: Discord doesn't answer.
        DiscordError: Discord refuses.
    """
    after = 0
    while True:
        page = [read(each) for each in await rest.fetch_entitlements(application, after=after, most=PAGE)]
        for each in page:
            yield each
        if len(page) < PAGE:
            return
        after = max(each.id for each in page)
