"""What others send: kept before it is acknowledged, and acted on later by the worker."""

from __future__ import annotations

from collections.abc import Callable

from starlette.routing import Route

from tonearm.postgres.pools import Pools
from tonearm.settings import Settings


def routes(pools: Pools, settings: Settings, clock: Callable[[], float]) -> list[Route]:
    """The routes of those of whom it is known by what they are to be verified. ``clock`` tells the time in seconds
    since 1970."""
    from interactions.api.webhooks import discord

    found = []
    if settings.discord_public_key:
        found += discord.routes(pools.write, lambda: settings.discord_public_key, clock=clock)
    if settings.stripe_webhook_secrets:
        from interactions.api.webhooks import stripe  # slow to import, so only where it is used

        found += stripe.routes(pools.write, lambda: settings.stripe_webhook_secrets, clock=clock)
    return found
