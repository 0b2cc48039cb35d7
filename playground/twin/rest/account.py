"""The bot itself and where its gateway is (Discord documentation, "User", "Application" and "Gateway")."""

from __future__ import annotations

from playground.twin import payloads
from playground.twin.errors import unknown
from playground.twin.model import Json
from playground.twin.rest.calls import Call, Result, Route, Services

_DAY_MS = 24 * 60 * 60 * 1000


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
    settings = services.hub.settings
    shards = max(1, sum(guild.bot_joined for guild in services.world.guilds.values()) // 1000)
    limit = {
        "total": 1000,
        "remaining": settings.session_starts,
        "reset_after": _DAY_MS,
        "max_concurrency": settings.max_concurrency,
    }
    return Result({"url": services.hub.url, "shards": shards, "session_start_limit": limit})


async def _me(services: Services, _: Call) -> Result:
    return Result(payloads.own_user(services.world.bot))


async def _application(services: Services, _: Call) -> Result:
    return Result(application(services))


async def _entitlements(services: Services, call: Call) -> Result:
    _own(services, call)
    now = payloads.entitlement
    user, guild = call.query.get("user_id"), call.query.get("guild_id")
    skus = [each for each in call.query.get("sku_ids", "").split(",") if each]
    found = [now(services.world, each) for each in services.world.entitlements.values()]
    hidden = call.flag("exclude_ended")
    found = [
        each
        for each in found
        if (user is None or each["user_id"] == user)
        and (guild is None or each.get("guild_id") == guild)
        and (not skus or each["sku_id"] in skus)
        and not (hidden and services.world.has_ended(int(each["id"])))
        and not (call.query.get("exclude_deleted", "true") != "false" and each["deleted"])
    ]
    before, after = int(call.query.get("before", 1 << 63)), int(call.query.get("after", 0))
    found = [each for each in found if after < int(each["id"]) < before]
    return Result(found[: int(call.query.get("limit", 100))])


async def _entitlement(services: Services, call: Call) -> Result:
    _own(services, call)
    found = services.world.entitlements.get(call.id("entitlement_id"))
    if found is None:
        raise unknown("Entitlement")
    return Result(payloads.entitlement(services.world, found))


def _own(services: Services, call: Call) -> None:
    if call.id("application_id") != services.world.application_id:
        raise unknown("Application")


ROUTES = [
    Route("GET", "/gateway", _gateway, bot=False),
    Route("GET", "/gateway/bot", _gateway_bot),
    Route("GET", "/users/@me", _me),
    Route("GET", "/applications/@me", _application),
    Route("GET", "/oauth2/applications/@me", _application),
    Route("GET", "/applications/{application_id}/entitlements", _entitlements),
    Route("GET", "/applications/{application_id}/entitlements/{entitlement_id}", _entitlement),
]
