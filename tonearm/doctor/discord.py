"""What ``tonearm doctor`` looks at in Discord. Each check is one function of what Discord said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tonearm.discord.registration import compare, declared
from tonearm.discord.rest import RestClient
from tonearm.doctor import reach
from tonearm.doctor.finding import TIMEOUT, Finding
from tonearm.errors import DiscordAway, DiscordError
from tonearm.settings import PREFIX, Settings

Json = dict[str, Any]

CLOCK_WRONG = 60.0
"""Seconds of difference to Discord's clock from which on it is an error: signatures are judged by their time."""

CLOCK_DOUBTFUL = 20.0

EVENTS_ENABLED, EVENTS_DISABLED_BY_DISCORD = 2, 3
"""Application event webhook status (Discord's documentation, *Application Object*)."""

SETUP = "Run `tonearm setup`."


class Seen(NamedTuple):
    """What Discord says, beside what it is compared with. ``clock_ahead`` is in seconds."""

    settings: Settings
    application: Json
    registered: list[Json]
    declared: list[Json] | None
    clock_ahead: float | None


async def examine(settings: Settings) -> list[Finding]:
    """Every check of the application at Discord, and of the way from Discord to us."""
    try:
        async with RestClient(settings.discord_api_url, bot_token=settings.discord_bot_token) as rest:
            application = await rest.fetch_application(timeout=TIMEOUT)
            registered = await rest.fetch_commands(int(application["id"]), timeout=TIMEOUT)
            seen = Seen(settings, application, registered, declared(), rest.clock_ahead)
    except (DiscordAway, DiscordError) as error:
        return [refused(error)]
    found = [finding for check in CHECKS if (finding := check(seen)) is not None]
    if settings.public_url:
        url = settings.public_url + reach.INTERACTIONS
        found.append(reach.judge("Public URL", url, await reach.ask(url), str(application["verify_key"])))
    return found


def refused(error: DiscordAway | DiscordError) -> Finding:
    """Why Discord can't be asked."""
    if isinstance(error, DiscordAway):
        remedy = f"Check {PREFIX}DISCORD_API_URL and the way out to the internet; after a 429, wait that long."
        return Finding("Discord", f"does not answer ({error.detail})", remedy)
    return Finding("Discord", str(error), f"Check {PREFIX}DISCORD_BOT_TOKEN.")


def name(seen: Seen) -> Finding:
    """Whose token it is."""
    return Finding("Discord", f"application {seen.application['name']}")


def code_grant(application: Json) -> Finding | None:
    """The invite link is enough."""
    if not application.get("bot_require_code_grant"):
        return None
    remedy = "In Discord's developer portal, *Bot*, turn *Requires OAuth2 Code Grant* off."
    return Finding("Invite link", "would not add the bot: the application asks for a code grant", remedy)


def application_id(seen: Seen) -> Finding | None:
    """The id is this application's."""
    ours, theirs = seen.settings.discord_application_id, str(seen.application["id"])
    if not ours:
        return None
    if int(theirs) != ours:
        return Finding("Application id", f"is {ours}", f"Set {PREFIX}DISCORD_APPLICATION_ID to {theirs}.")
    return Finding("Application id", "is this application's")


def public_key(seen: Seen) -> Finding | None:
    """The key is this application's: with another, every request of Discord is refused."""
    ours, theirs = seen.settings.discord_public_key, str(seen.application["verify_key"])
    if not ours:
        return None
    if bytes.fromhex(theirs) not in ours:
        return Finding("Public key", "is not this application's", f"Set {PREFIX}DISCORD_PUBLIC_KEY to {theirs}.")
    return Finding("Public key", "is this application's")


def clock(seen: Seen) -> Finding | None:
    """Requests are taken within -300 s to +30 s of their time, and tokens die by Discord's clock."""
    ahead = seen.clock_ahead
    if ahead is None:
        return None
    off = abs(ahead)
    found = f"is {off:.0f} s {'ahead of' if ahead > 0 else 'behind'} Discord's" if off >= 2 else "agrees with Discord's"
    remedy = "Set the clock, and keep it right by NTP (timedatectl set-ntp true)." if off > CLOCK_DOUBTFUL else ""
    return Finding("Clock", found, remedy, minor=off <= CLOCK_WRONG)


def commands(seen: Seen) -> Finding:
    """Discord knows the commands as this version declares them."""
    if seen.declared is None:
        return Finding("Commands", f"{len(seen.registered)} registered (the HTTP side is not installed to compare)")
    rows = [(change, command) for change, command in compare(seen.declared, seen.registered) if change != "unchanged"]
    if not rows:
        return Finding("Commands", f"{len(seen.registered)} registered, as declared")
    words = {"added": "missing", "changed": "old", "removed": "no longer declared"}
    told = ", ".join(f"{command} is {words[change]}" for change, command in rows)
    return Finding("Commands", told, "Run `tonearm commands sync`.")


def interactions_url(seen: Seen) -> Finding:
    """Discord posts interactions to us: without a URL they go through the gateway, where nobody answers them."""
    theirs, ours = seen.application.get("interactions_endpoint_url"), seen.settings.public_url
    if not theirs:
        return Finding("Interactions URL", "is not set, so no command is answered", SETUP)
    if ours and theirs != ours + reach.INTERACTIONS:
        remedy = f"{SETUP} It is set to what {PREFIX}PUBLIC_URL says, {ours}{reach.INTERACTIONS}."
        return Finding("Interactions URL", f"is {theirs}", remedy)
    return Finding("Interactions URL", f"is {theirs}")


def events_url(seen: Seen) -> Finding:
    """What is sold through Discord is told by webhook events; without sales nothing depends on them."""
    status, url = seen.application.get("event_webhooks_status"), seen.application.get("event_webhooks_url")
    if status == EVENTS_DISABLED_BY_DISCORD:
        remedy = (
            "Discord gave up on it after too many failures: see that `tonearm api` answers, then run `tonearm setup`."
        )
        return Finding("Webhook events", f"are disabled by Discord ({url})", remedy)
    if status == EVENTS_ENABLED and url:
        return Finding("Webhook events", f"go to {url}")
    needed = bool(seen.settings.discord_skus)
    return Finding("Webhook events", "are off", SETUP if needed else "")


CHECKS: tuple[Callable[[Seen], Finding | None], ...] = (
    name,
    lambda seen: code_grant(seen.application),
    application_id,
    public_key,
    clock,
    commands,
    interactions_url,
    events_url,
)
