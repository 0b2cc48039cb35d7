"""The control API as HTTP: ``POST /control/<verb>`` with a JSON object of arguments."""

from __future__ import annotations

import inspect
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from playground.twin.control import interaction_verbs, log_verbs, session_verbs, voice_verbs, world_verbs
from playground.twin.errors import DiscordError, NotPossible

if TYPE_CHECKING:
    from playground.twin.app import Twin

log = logging.getLogger(__name__)

Verb = Callable[..., Awaitable[Any]]

VERBS: dict[str, Verb] = {
    name: function
    for module in (world_verbs, voice_verbs, session_verbs, interaction_verbs, log_verbs)
    for name, function in vars(module).items()
    if inspect.iscoroutinefunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
}
"""Every public coroutine of the verb modules, by name."""


class Control:
    """Carries out verbs."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to mount."""
        return [web.post("/control/{verb}", self._handle)]

    async def _handle(self, request: web.Request) -> web.Response:
        if request.remote is None or not ipaddress.ip_address(request.remote).is_loopback:
            return _answer({"error": "the control API is for this machine only"}, 403)
        verb = VERBS.get(request.match_info["verb"])
        if verb is None:
            return _answer({"error": f"there is no verb {request.match_info['verb']!r}"}, 404)
        raw = await request.read()
        try:
            arguments = msgspec.json.decode(raw, type=dict[str, Any]) if raw else {}
            inspect.signature(verb).bind(self._twin, **arguments)
        except (TypeError, msgspec.DecodeError) as error:
            return _answer({"error": f"bad arguments: {error}"}, 400)
        try:
            return _answer(await verb(self._twin, **arguments), 200)
        except NotPossible as error:
            return _answer({"error": str(error)}, 409)
        except DiscordError as error:
            return _answer({"error": str(error.args[0])}, 409)
        except (ValueError, KeyError) as error:
            return _answer({"error": f"{type(error).__name__}: {error}"}, 400)
        except Exception as error:
            log.exception("verb %s failed", request.match_info["verb"])
            return _answer({"error": f"the twin failed: {type(error).__name__}: {error}"}, 500)


def _answer(body: Any, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")
