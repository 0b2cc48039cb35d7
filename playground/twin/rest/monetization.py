"""Entitlements and SKUs (Discord documentation, "Entitlement Resource" and "SKU Resource")."""

from __future__ import annotations

from playground.twin import payloads
from playground.twin.errors import Problem, invalid_form, unknown
from playground.twin.model import Entitlement
from playground.twin.rest.calls import Call, Result, Route, Services

GUILD_OWNER = 1


def _own(services: Services, call: Call) -> None:
    if call.id("application_id") != services.world.application_id:
        raise unknown("Application")


def _entitlement(services: Services, call: Call) -> Entitlement:
    _own(services, call)
    found = services.world.entitlements.get(call.id("entitlement_id"))
    if found is None:
        raise unknown("Entitlement")
    return found


async def _list(services: Services, call: Call) -> Result:
    _own(services, call)
    world, query = services.world, call.query
    skus = [each for each in query.get("sku_ids", "").split(",") if each]
    hidden, deleted = call.flag("exclude_ended"), query.get("exclude_deleted", "true") != "false"
    before, after = int(query.get("before", 1 << 63)), int(query.get("after", 0))
    found = [
        shown
        for shown in (payloads.entitlement(world, each) for each in world.entitlements.values())
        if query.get("user_id") in (None, shown["user_id"])
        and query.get("guild_id") in (None, shown.get("guild_id"))
        and (not skus or shown["sku_id"] in skus)
        and not (hidden and world.has_ended(int(shown["id"])))
        and not (deleted and shown["deleted"])
        and after < int(shown["id"]) < before
    ]
    return Result(found[: int(query.get("limit", 100))])


async def _get(services: Services, call: Call) -> Result:
    return Result(payloads.entitlement(services.world, _entitlement(services, call)))


async def _create_test(services: Services, call: Call) -> Result:
    _own(services, call)
    body, world = call.object(), services.world
    sku, owner = int(body["sku_id"]), int(body["owner_id"])
    if str(sku) not in {each["id"] for each in world.skus}:
        raise invalid_form([Problem(("sku_id",), "UNKNOWN_SKU", f"{sku} is no SKU of this application")])
    ids = (None, owner) if body["owner_type"] == GUILD_OWNER else (owner, None)
    made = Entitlement(world.snowflakes.make(), sku, 4, *ids)
    world.entitle(made, "ENTITLEMENT_CREATE")
    return Result(payloads.entitlement(world, made))


async def _delete_test(services: Services, call: Call) -> Result:
    found = _entitlement(services, call)
    found.deleted = True
    services.world.entitle(found, "ENTITLEMENT_DELETE")
    return Result(status=204)


async def _consume(services: Services, call: Call) -> Result:
    _entitlement(services, call).consumed = True
    return Result(status=204)


async def _skus(services: Services, call: Call) -> Result:
    _own(services, call)
    return Result(services.world.skus)


_ALL = "/applications/{application_id}/entitlements"

ROUTES = [
    Route("GET", _ALL, _list),
    Route("POST", _ALL, _create_test),
    Route("GET", f"{_ALL}/{{entitlement_id}}", _get),
    Route("DELETE", f"{_ALL}/{{entitlement_id}}", _delete_test),
    Route("POST", f"{_ALL}/{{entitlement_id}}/consume", _consume),
    Route("GET", "/applications/{application_id}/skus", _skus),
]
