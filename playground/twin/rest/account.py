"""The bot itself and where its gateway is (Discord documentation, "User", "Application" and "Gateway")."""

from __future__ import annotations

from playground.twin import payloads
from playground.twin.errors import DiscordError, Problem, invalid_form
from playground.twin.model import Json
from playground.twin.rest.calls import Call, Result, Route, Services

DISABLED, ENABLED = 1, 2
"""Application event webhook status."""

INTERACTIONS_URL, EVENTS_URL = "interactions_endpoint_url", "event_webhooks_url"
MODELLED = {INTERACTIONS_URL, EVENTS_URL, "event_webhooks_status", "event_webhooks_types"}


def application(services: Services) -> Json:
    """Return the application object as its bot sees it."""
    world, url = services.world, services.desk.url
    return {
        "id": str(world.application_id),
        "name": world.bot.name,
        "icon": None,
        "description": "",
        "type": None,
        "bot": payloads.user(world.bot),
        "bot_public": True,
        "bot_require_code_grant": False,
        "integration_types_config": {"0": {}},
        "verify_key": services.desk.signer.public_key,
        "flags": 0,
        "flags_new": "0",
        "redirect_uris": [],
        "interactions_endpoint_url": url,
        "role_connections_verification_url": None,
        "owner": payloads.user(world.owner),
        "approximate_guild_count": sum(guild.bot_joined for guild in world.guilds.values()),
        "approximate_user_install_count": 0,
        "approximate_user_authorization_count": 0,
        "explicit_content_filter": 0,
        "team": None,
        "eligible_oauth2_scopes": ["bot", "applications.commands"],
        "rpc_origins": [],
        "event_webhooks_url": services.events.url,
        "event_webhooks_status": ENABLED if services.events.enabled and services.events.url else DISABLED,
        "event_webhooks_types": services.events.types or [],
    }


async def _gateway(services: Services, _: Call) -> Result:
    return Result({"url": services.hub.url})


async def _gateway_bot(services: Services, _: Call) -> Result:
    settings, reset_after = services.hub.settings, services.hub.starts_reset_after()
    shards = max(1, sum(guild.bot_joined for guild in services.world.guilds.values()) // 1000)
    limit = {
        "total": max(settings.session_starts_total, settings.session_starts),
        "remaining": max(0, settings.session_starts),
        "reset_after": round(reset_after * 1000),
        "max_concurrency": settings.max_concurrency,
    }
    return Result({"url": services.hub.url, "shards": shards, "session_start_limit": limit})


async def _me(services: Services, _: Call) -> Result:
    return Result(payloads.own_user(services.world.bot))


async def _application(services: Services, _: Call) -> Result:
    return Result(application(services))


async def _edit_application(services: Services, call: Call) -> Result:
    """Nothing is changed where a URL can't be verified."""
    changes = call.object()
    if unknown := changes.keys() - MODELLED:
        raise DiscordError(400, 0, f"The twin does not model a change of {', '.join(sorted(unknown))}", violation=True)
    problems = []
    if url := changes.get(INTERACTIONS_URL):
        trial = await services.endpoints.try_interactions(url, services.builder.ping().payload)
        problems += [] if trial.refusal is None else [_UNVERIFIED_INTERACTIONS]
    if url := changes.get(EVENTS_URL):
        trial = await services.endpoints.try_events(url, services.events.ping_payload())
        problems += [] if trial.refusal is None else [_UNVERIFIED_EVENTS]
    if problems:
        refusal = invalid_form(problems)
        refusal.violation = False  # a correct bot can't know how its endpoint is reached
        raise refusal
    if INTERACTIONS_URL in changes:
        services.desk.url = changes[INTERACTIONS_URL] or None
    if EVENTS_URL in changes:
        services.events.url = changes[EVENTS_URL] or None
    if (status := changes.get("event_webhooks_status")) is not None:
        services.events.enabled = status == ENABLED
    if (types := changes.get("event_webhooks_types")) is not None:
        services.events.types = list(types)
    return Result(application(services))


_UNVERIFIED_INTERACTIONS = Problem(
    (INTERACTIONS_URL,),
    "APPLICATION_INTERACTIONS_ENDPOINT_URL_INVALID",
    "The specified interactions endpoint url could not be verified.",
)
# Discord documents neither; the form is that of the one above.
_UNVERIFIED_EVENTS = Problem(
    (EVENTS_URL,), "APPLICATION_EVENT_WEBHOOKS_URL_INVALID", "The specified event webhooks url could not be verified."
)

ROUTES = [
    Route("GET", "/gateway", _gateway, bot=False),
    Route("GET", "/gateway/bot", _gateway_bot),
    Route("GET", "/users/@me", _me),
    Route("GET", "/applications/@me", _application),
    Route("PATCH", "/applications/@me", _edit_application),
    Route("GET", "/oauth2/applications/@me", _application),
]
