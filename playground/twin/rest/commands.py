"""Application commands (Discord documentation, "Application Commands", "Endpoints")."""

from __future__ import annotations

from playground.twin.errors import DiscordError, unknown
from playground.twin.model import Json
from playground.twin.rest.calls import Call, Handler, Result, Route, Services


def _scope(services: Services, call: Call) -> int | None:
    if call.id("application_id") != services.world.application_id:
        raise unknown("Application")
    if "guild_id" not in call.params:
        return None
    guild = services.world.guilds.get(call.id("guild_id"))
    if guild is None or not guild.commands_installed:
        raise DiscordError(403, 50001, "Missing Access")
    return guild.id


def _shown(call: Call, command: Json) -> Json:
    if call.flag("with_localizations"):
        return command
    return {key: value for key, value in command.items() if not key.endswith("_localizations")}


def _changed(services: Services, scope: int | None, command: Json) -> None:
    about = {"command": command["name"], "guild_id": None if scope is None else str(scope), "id": command["id"]}
    services.journal.add("event", "command_registered", about)


async def _list(services: Services, call: Call) -> Result:
    scope = _scope(services, call)
    return Result([_shown(call, each) for each in services.world.commands.registered(scope)])


async def _get(services: Services, call: Call) -> Result:
    return Result(services.world.commands.get(_scope(services, call), call.id("command_id")))


async def _replace(services: Services, call: Call) -> Result:
    scope = _scope(services, call)
    if not isinstance(call.body, list):
        raise DiscordError(400, 50109, "The request body contains invalid JSON.", violation=True)
    made = services.world.commands.replace(scope, call.body)
    for command in made:
        _changed(services, scope, command)
    return Result(made)


async def _create(services: Services, call: Call) -> Result:
    scope = _scope(services, call)
    made, new = services.world.commands.create(scope, call.object())
    _changed(services, scope, made)
    return Result(made, 201 if new else 200)


async def _edit(services: Services, call: Call) -> Result:
    scope = _scope(services, call)
    made = services.world.commands.edit(scope, call.id("command_id"), call.object())
    _changed(services, scope, made)
    return Result(made)


async def _delete(services: Services, call: Call) -> Result:
    services.world.commands.delete(_scope(services, call), call.id("command_id"))
    return Result(status=204)


_HANDLERS: list[tuple[str, str, Handler]] = [
    ("GET", "", _list),
    ("PUT", "", _replace),
    ("POST", "", _create),
    ("GET", "/{command_id}", _get),
    ("PATCH", "/{command_id}", _edit),
    ("DELETE", "/{command_id}", _delete),
]

ROUTES = [
    Route(method, f"/applications/{{application_id}}{scope}/commands{rest}", handler)
    for scope in ("", "/guilds/{guild_id}")
    for method, rest, handler in _HANDLERS
]
