"""Verbs on gateway sessions, limits and REST requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playground.twin.control.interaction_verbs import about_sent
from playground.twin.errors import NotPossible
from playground.twin.model import Json
from playground.twin.rest.limits import Scope

if TYPE_CHECKING:
    from playground.twin.app import Twin


async def sessions(twin: Twin) -> list[Json]:
    """Describe the gateway sessions that live."""
    return [
        {
            "id": each.id,
            "shard": each.shard,
            "count": each.count,
            "intents": each.intents,
            "sequence": each.sequence,
            "connected": each.socket is not None,
        }
        for each in twin.hub.sessions.values()
    ]


async def drop_gateway(twin: Twin, shard: int | None = None, code: int | None = None) -> None:
    """Close the sockets of a shard (of all for None) with a code, or cut the connection."""
    twin.hub.drop(shard, code)


async def reconnect(twin: Twin, shard: int | None = None) -> None:
    """Send op 7."""
    twin.hub.reconnect(shard)


async def forget_session(twin: Twin, shard: int | None = None) -> None:
    """End the sessions of a shard, so that a RESUME is refused."""
    twin.hub.forget(shard)


async def configure(twin: Twin, **changes: Any) -> None:
    """Change settings: see :meth:`TwinClient.configure`."""
    for name, value in changes.items():
        if name == "rate_limits":
            twin.limiter.enabled = value
        elif name in ("invalid_requests", "ban_seconds"):
            setattr(twin.limiter, name, value)
        elif name in ("refuse_early_edits", "refuse_early_seconds"):
            setattr(twin.answers, name, value)
        elif hasattr(twin.hub.settings, name):
            setattr(twin.hub.settings, name, value)
        else:
            raise NotPossible(f"there is no setting {name!r}")


async def set_interactions_url(twin: Twin, url: str | None) -> None:
    """Say where interactions are posted; None sends them through the gateway."""
    twin.desk.url = url


async def set_events_url(twin: Twin, url: str | None, delays: list[float] | None = None) -> None:
    """Say where all webhook events are posted, and after how many seconds again when they are refused."""
    twin.events.url, twin.events.enabled, twin.events.types = url, url is not None, None
    if delays is not None:
        twin.events.delays = tuple(delays)


async def ping_events(twin: Twin) -> Json | None:
    """Send the PING of webhook events."""
    return about_sent(await twin.events.ping())


async def tell_event(twin: Twin, type: str, data: Json) -> None:
    """Deliver a webhook event in the background."""
    twin.events.tell(type, data)


async def limit_rest(
    twin: Twin, scope: str, seconds: float = 1.0, method: str | None = None, pattern: str = "/"
) -> None:
    """Let a rate limit of REST be reached, or a ban begin."""
    twin.limiter.impose(Scope(scope), seconds, method, pattern)


async def unlimit_rest(twin: Twin) -> None:
    """End what ``limit_rest`` began, and a ban."""
    twin.limiter.lift()


async def hold_rest(
    twin: Twin,
    method: str,
    pattern: str,
    count: int | None = 1,
    delay: float | None = None,
    status: int | None = None,
) -> Json:
    """Hold, delay or fail REST requests."""
    return {"id": twin.holds.add(method, pattern, count, delay, status).id}


async def release_rest(twin: Twin, hold: int) -> None:
    """Let held requests go."""
    twin.holds.release(hold)
