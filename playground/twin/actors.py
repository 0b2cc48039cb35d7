"""The Python API of the twin, for tests and the demo, in this process or another.

    async with TwinClient(control_url) as twin:
        guild = await twin.create_guild(name="Vinyl")
        alice = await twin.create_user("Alice")
        await alice.join_guild(guild)
        await alice.join(guild.voice_channels[0])
        reply = await alice.command(guild, guild.text_channels[0], "play", query="tone-440")
        message = await reply.answer(timeout=5)

Everything raises :class:`TwinError` where Discord's clients would not offer it. Ids are strings of digits.
"""

from __future__ import annotations

import base64
from typing import Any, Literal

from playground.twin.client import GRACE, Link, TwinError
from playground.twin.handles import Actor, Channel, Guild, Role
from playground.twin.model import Json
from playground.twin.permissions import Permission
from playground.twin.seen import RawReply, Reply, SeenMessage, Unanswered, raw_reply
from playground.twin.voice.client import ListenerClient

__all__ = [
    "Actor",
    "Channel",
    "Guild",
    "Hold",
    "ListenerClient",
    "Permission",
    "RawReply",
    "Reply",
    "Role",
    "SeenMessage",
    "TwinClient",
    "TwinError",
    "Unanswered",
]


class Hold:
    """REST requests that are held; see :meth:`TwinClient.hold_rest`."""

    def __init__(self, twin: TwinClient, hold_id: int, since: int) -> None:
        self._twin = twin
        self._id = hold_id
        self._since = since

    async def hit(self, timeout: float = 5.0) -> Json:
        """Wait until a request was caught; return its ``method`` and ``path``.

        Raises:
            TimeoutError: none was.
        """
        entry = await self._twin.wait_for("request_held", since=self._since, timeout=timeout, hold=self._id)
        data: Json = entry["data"]
        return data

    async def release(self) -> None:
        """Let the caught requests go, and catch no more."""
        await self._twin.link.call("release_rest", hold=self._id)


class TwinClient:
    """A client of one twin; use it with ``async with``. ``grace`` (s) is for a twin that has much to do."""

    def __init__(self, control_url: str, grace: float = GRACE) -> None:
        self.link = Link(control_url, grace)

    async def __aenter__(self) -> TwinClient:
        self.link.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.link.close()

    # --- people and places -------------------------------------------------------------------------------------------

    async def about(self) -> Json:
        """Return the URLs, ids, public key and bot token of the twin's ready line, ``bot_id`` and ``owner_id``."""
        found: Json = await self.link.call("about")
        return found

    async def create_user(self, name: str, locale: str = "en-US") -> Actor:
        """Make a person who is nowhere yet."""
        raw = await self.link.call("create_user", name=name, locale=locale)
        return Actor(self.link, raw["id"], raw["name"])

    async def owner(self) -> Actor:
        """Return the owner of all guilds, who may do everything."""
        return Actor(self.link, (await self.about())["owner_id"], "Olga Owner")

    async def create_guild(
        self,
        name: str = "Guild",
        *,
        shard: int | None = None,
        shard_count: int | None = None,
        bot: bool = True,
        **options: Any,
    ) -> Guild:
        """Make a guild with a text channel and two voice channels.

        Args:
            shard: the shard its id must fall on.
            shard_count: of how many; None for that of the last IDENTIFY.
            bot: the bot is a member; otherwise only its commands are installed.
            options: ``bot_permissions``, ``text_channels``, ``voice_channels``, ``roles``, ``locale``.
        """
        raw = await self.link.call("create_guild", name=name, shard=shard, shard_count=shard_count, bot=bot, **options)
        return Guild(self.link, raw)

    async def create_guilds(
        self, name: str, count: int, *, shard: int | None = None, shard_count: int | None = None, **options: Any
    ) -> list[Guild]:
        """Make many guilds at once."""
        arguments: Json = {"name": name, "count": count, "shard": shard, "shard_count": shard_count} | options
        return [Guild(self.link, raw) for raw in await self.link.call("create_guilds", wait=60, **arguments)]

    async def guild(self, guild_id: str) -> Guild:
        """Return a guild by id, as it is now."""
        return Guild(self.link, await self.link.call("guild", guild=guild_id))

    # --- raw interactions --------------------------------------------------------------------------------------------

    async def set_interactions_url(self, url: str | None) -> None:
        """Say where interactions are posted; None sends them through the gateway."""
        await self.link.call("set_interactions_url", url=url)

    async def ping(self) -> Reply:
        """Send a PING, as Discord does when an interactions URL is saved."""
        return Reply(self.link, await self.link.call("ping", wait=5))

    async def sign(self, body: bytes, timestamp: int | None = None) -> list[tuple[str, str]]:
        """Return the headers Discord would send with a body, signed at a time (Unix seconds; None for now)."""
        raw = await self.link.call("sign", body=base64.b64encode(body).decode(), timestamp=timestamp)
        return [(name, value) for name, value in raw]

    async def send_raw(self, body: bytes, headers: list[tuple[str, str]], timeout: float = 10.0) -> RawReply:
        """POST a body with exactly these headers; Host and Content-Length are added where missing."""
        arguments: Json = {"body": base64.b64encode(body).decode(), "headers": headers, "timeout": timeout}
        return raw_reply(await self.link.call("send_raw", wait=timeout, **arguments))

    async def message(self, message_id: str) -> SeenMessage | None:
        """Return a message as it is now; None if it is gone."""
        raw = await self.link.call("message", message=message_id)
        return SeenMessage(raw) if raw else None

    # --- gateway and REST --------------------------------------------------------------------------------------------

    async def sessions(self) -> list[Json]:
        """Describe the gateway sessions that live: id, shard, count, intents, sequence, connected."""
        found: list[Json] = await self.link.call("sessions")
        return found

    async def wait_ready(self, shard: int | None = None, timeout: float = 10.0) -> Json:
        """Wait until a session of a shard (None: of any) is connected and was sent all its guilds.

        Raises:
            TimeoutError: there was none.
        """
        found: Json | None = await self.link.call("wait_ready", wait=timeout, shard=shard, timeout=timeout)
        if found is None:
            raise TimeoutError(f"no session of shard {shard} within {timeout:g} s")
        return found

    async def wait_command(self, name: str, guild: Guild | None = None, timeout: float = 10.0) -> None:
        """Wait until a command is registered.

        Raises:
            TimeoutError: it was not.
        """
        arguments: Json = {"name": name, "guild": guild and guild.id, "timeout": timeout}
        if not await self.link.call("wait_command", wait=timeout, **arguments):
            raise TimeoutError(f"no command /{name} within {timeout:g} s")

    async def commands(self, guild: Guild | None = None) -> list[Json]:
        """Return the registered commands, global or of a guild."""
        found: list[Json] = await self.link.call("registered", guild=guild and guild.id)
        return found

    async def drop_gateway(self, shard: int | None = None, code: int | None = None) -> None:
        """Close the sockets of a shard (of all for None) with a code, or cut TCP; the sessions stay resumable."""
        await self.link.call("drop_gateway", shard=shard, code=code)

    async def reconnect(self, shard: int | None = None) -> None:
        """Ask the clients of a shard to reconnect (op 7)."""
        await self.link.call("reconnect", shard=shard)

    async def forget_session(self, shard: int | None = None) -> None:
        """Lose the sessions of a shard and cut their connections: a RESUME will be refused."""
        await self.link.call("forget_session", shard=shard)

    async def configure(self, **changes: Any) -> None:
        """Change settings: any of ``GatewaySettings``, ``rate_limits`` (on or off), ``refuse_early_edits`` (how many
        edits after a deferral meet 404), ``refuse_early_seconds`` (for how long they do), ``invalid_requests`` (answers
        with 401, 403 or 429 in ten minutes that bring a ban), ``ban_seconds``."""
        await self.link.call("configure", **changes)

    async def limit_rest(
        self,
        scope: Literal["user", "global", "shared", "ban"] = "user",
        *,
        seconds: float = 1.0,
        method: str | None = None,
        pattern: str = "/",
    ) -> None:
        """Let a rate limit of REST be reached for so many seconds: requests are answered 429 and do nothing.

        Args:
            scope: ``user``: the bot's own buckets of the requests that match; ``shared``: others emptied them;
                ``global``: all requests with the bot's token; ``ban``: everything, from the network before Discord,
                so without ``Via`` and JSON.
            seconds: what Retry-After says, rounded up there.
            method: HTTP method; None for all.
            pattern: a regular expression for the path, as for :meth:`hold_rest`.
        """
        arguments: Json = {"scope": scope, "seconds": seconds, "method": method, "pattern": pattern}
        await self.link.call("limit_rest", **arguments)

    async def unlimit_rest(self) -> None:
        """End at once what :meth:`limit_rest` began, and a ban."""
        await self.link.call("unlimit_rest")

    async def offer_voice_modes(self, *modes: str) -> None:
        """Offer only these modes of encryption in all guilds that have no own; without arguments, all."""
        await self.link.call("offer_voice_modes", modes=list(modes) or None)

    async def hold_rest(
        self,
        method: str,
        pattern: str,
        *,
        count: int | None = 1,
        delay: float | None = None,
        status: int | None = None,
    ) -> Hold:
        """Treat the next ``count`` (None: all) REST requests whose path begins with ``pattern`` specially.

        Args:
            method: HTTP method.
            pattern: a regular expression for the path without the API's prefix, such as ``/webhooks/.*``.
            delay: wait so many seconds; None waits until the release, but not when only ``status`` is given.
            status: answer with this instead of acting.
        """
        since = await self.mark()
        arguments: Json = {"method": method, "pattern": pattern, "count": count, "delay": delay, "status": status}
        return Hold(self, (await self.link.call("hold_rest", **arguments))["id"], since)

    # --- voice, time, access -----------------------------------------------------------------------------------------

    async def bot_voice_state(self, guild: Guild) -> Json | None:
        """Return the bot's voice state in a guild, None when it is in no channel."""
        found: Json | None = await self.link.call("voice_state", guild=guild.id)
        return found

    async def advance_clock(self, seconds: float) -> None:
        """Let interaction tokens and nonces age; sockets, ids and signatures keep the real time."""
        await self.link.call("advance_clock", seconds=seconds)

    async def create_sku(self, name: str, type: int = 5) -> Json:
        """Add a SKU (type 5: a subscription)."""
        found: Json = await self.link.call("create_sku", name=name, type=type)
        return found

    async def create_entitlement(self, sku: str, **fields: Any) -> Json:
        """Give access to a SKU: ``user`` or ``guild`` (ids), ``starts_at``, ``ends_at`` (ISO 8601), ``type``."""
        found: Json = await self.link.call("create_entitlement", sku=sku, **fields)
        return found

    async def change_entitlement(
        self, entitlement_id: str, *, ends_at: str | None = None, deleted: bool = False
    ) -> Json:
        """End or delete an entitlement."""
        arguments: Json = {"entitlement": entitlement_id, "ends_at": ends_at, "deleted": deleted}
        found: Json = await self.link.call("change_entitlement", **arguments)
        return found

    async def set_events_url(self, url: str | None, delays: list[float] | None = None) -> None:
        """Say where webhook events are posted, and after how many seconds they come again when not answered 204.

        Changes of entitlements are told there by themselves.
        """
        await self.link.call("set_events_url", url=url, delays=delays)

    async def ping_events(self) -> RawReply:
        """Send the PING (type 0) of webhook events."""
        return raw_reply(await self.link.call("ping_events", wait=5))

    async def tell_event(self, type: str, data: Json) -> None:
        """Deliver a webhook event, such as ``APPLICATION_AUTHORIZED``, in the background; the log tells how it went
        (``webhook_event_delivered``, ``_refused``, ``_lost``)."""
        await self.link.call("tell_event", type=type, data=data)

    # --- the log -----------------------------------------------------------------------------------------------------

    async def mark(self) -> int:
        """Return the number of the last entry of the log, for ``since``."""
        number: int = await self.link.call("mark")
        return number

    async def log(self, since: int = 0, *, name: str | None = None, kind: str | None = None) -> list[Json]:
        """Return the log after ``since``: entries with ``seq``, ``at_ns``, ``kind``, ``name`` and ``data``."""
        found: list[Json] = await self.link.call("log", since=since, name=name, kind=kind)
        return found

    async def violations(self, since: int = 0) -> list[Json]:
        """Return what the bot did that a correct bot never does; tests assert that there is nothing."""
        found: list[Json] = await self.link.call("violations", since=since)
        return found

    async def wait_for(self, name: str, *, since: int | None = None, timeout: float = 5.0, **fields: Any) -> Json:
        """Return the first entry of the log with this name whose data has all ``fields``.

        Args:
            name: of an event in snake case (``voice_state_update``, ``message_create``, ``command_registered``,
                ``session_ready``, ``session_resumed``, ``session_ended``, ``identify``, ``interaction_answered`` ...).
            since: only entries after this number (see :meth:`mark`); None waits for one from now on.
            timeout: seconds to wait at most.
            fields: what ``data`` must hold; objects match by the keys given.

        Raises:
            TimeoutError: there was none.
        """
        arguments: Json = {"name": name, "fields": fields, "since": since, "timeout": timeout}
        found: Json | None = await self.link.call("wait_for", wait=timeout, **arguments)
        if found is None:
            raise TimeoutError(f"no {name} with {fields} within {timeout:g} s")
        return found
