"""The bot itself and where its gateway is (Discord documentation, "User", "Application" and "Gateway")."""

from __future__ import annotations

from playground.twin import payloads
from playground.twin.model import Json
from playground.twin.rest.calls import Call, Result, Route, Services


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
        "event_webhooks_url": None,
        "event_webhooks_status": 1,
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


ROUTES = [
    Route("GET", "/gateway", _gateway, bot=False),
    Route("GET", "/gateway/bot", _gateway_bot),
    Route("GET", "/users/@me", _me),
    Route("GET", "/applications/@me", _application),
    Route("GET", "/oauth2/applications/@me", _application),
]
