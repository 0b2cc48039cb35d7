"""The one client for Discord's REST API (Discord's documentation, *API Reference* and *Rate Limits*).

A call has one deadline for everything: waiting for its turn, its attempts, and the pauses between them. Errors and
logs name a call by its route, because the addresses of interactions hold tokens.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import logging
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from tonearm import __version__
from tonearm.discord.components import Message
from tonearm.discord.limits import Limits
from tonearm.errors import DiscordAway, DiscordError

log = logging.getLogger(__name__)

TIMEOUT = 5.0
"""Seconds that a call may take in all, unless it is told otherwise."""

ATTEMPT = 2.5
"""Seconds after which one attempt is given up, so that there is time for another."""

BACKOFF = (0.1, 0.4)
"""Seconds between the attempts of a call that met no answer or an answer of 500 and above."""

UNKNOWN_MESSAGE = 10_008
UNKNOWN_WEBHOOK = 10_015
INVALID_WEBHOOK_TOKEN = 50_027
UNKNOWN_VOICE_STATE = 10_065
"""Codes of Discord's refusals that are told apart somewhere."""

Json = dict[str, Any]

ORIGINAL = "/webhooks/{application}/{token}/messages/@original"
FOLLOW_UP = "/webhooks/{application}/{token}"
MESSAGES = "/channels/{channel}/messages"
ONE_MESSAGE = "/channels/{channel}/messages/{message}"


class _Call(NamedTuple):
    """What is asked for. ``once``: it may have had its effect though no answer came, so it is not made again."""

    method: str
    route: str
    values: dict[str, str | int]
    body: Any = None
    query: dict[str, str] | None = None
    once: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} {self.route}"

    @property
    def bucket(self) -> str | None:
        """Whose turn it has to wait for; interactions have no limit in common with anything."""
        if self.route.startswith("/webhooks/"):
            return None
        major = self.values.get("channel", self.values.get("guild", ""))
        return f"{self.name} {major}"

    @property
    def address(self) -> str:
        return self.route.format_map({key: quote(str(value), safe="") for key, value in self.values.items()})


class _Met(NamedTuple):
    """What an attempt met: an answer or, with ``status`` 0, why there was none. ``arrived``: the request may have."""

    status: int
    body: Any = None
    detail: str = ""
    arrived: bool = True
    retry_after: float = 0.0


def nonce_for(job: str) -> str:
    """A nonce for the message that ``job`` posts: the same each time, and within Discord's 25 characters."""
    return hashlib.sha256(job.encode()).hexdigest()[:24]


class RestClient:
    """Discord's REST API. Use it as an async context manager, in one event loop.

    Each method raises :class:`~tonearm.errors.DiscordAway` when Discord doesn't answer, answers with 500 and above, or
    asks to wait longer than the call's ``timeout`` (seconds in all) allows, and
    :class:`~tonearm.errors.DiscordError` when Discord refuses.
    """

    def __init__(self, api_url: str, *, bot_token: str = "", timeout: float = TIMEOUT) -> None:
        self._base = api_url.rstrip("/")
        self._headers = {"User-Agent": f"DiscordBot (tonearm, {__version__})"}
        if bot_token:
            self._headers["Authorization"] = f"Bot {bot_token}"
        self._timeout = timeout
        self._limits = Limits()
        self._session: aiohttp.ClientSession | None = None
        self._check: Callable[[], None] = lambda: None
        self._dated: tuple[str, float] | None = None

    def checked(self, check: Callable[[], None]) -> RestClient:
        """This client, open as it is, for somebody who may lose the right to act: ``check`` is called before each
        attempt, and what it raises is raised."""
        same = copy.copy(self)
        same._check = check
        return same

    @property
    def clock_ahead(self) -> float | None:
        """Seconds that our clock is ahead of Discord's, by its last answer; ``None`` where no answer was dated."""
        if self._dated is None:
            return None
        said, at = self._dated
        try:
            return at - parsedate_to_datetime(said).timestamp()
        except ValueError:
            return None

    async def __aenter__(self) -> RestClient:
        self._session = aiohttp.ClientSession(
            headers=self._headers, timeout=aiohttp.ClientTimeout(total=None), cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # Interactions: addressed by their token, no bot token needed.

    async def edit_original(
        self, application: int, token: str, message: Message, *, timeout: float | None = None
    ) -> Json:
        """Give the interaction's first answer the content ``message`` (*Edit Original Interaction Response*)."""
        values: dict[str, str | int] = {"application": application, "token": token}
        return await self._object(_Call("PATCH", ORIGINAL, values, message), timeout)

    async def fetch_original(self, application: int, token: str, *, timeout: float | None = None) -> Json:
        """The interaction's first answer as Discord has it (*Get Original Interaction Response*)."""
        return await self._object(_Call("GET", ORIGINAL, {"application": application, "token": token}), timeout)

    async def delete_original(self, application: int, token: str, *, timeout: float | None = None) -> None:
        """Remove the interaction's first answer (*Delete Original Interaction Response*)."""
        await self._call(_Call("DELETE", ORIGINAL, {"application": application, "token": token}), timeout)

    async def follow_up(self, application: int, token: str, message: Message, *, timeout: float | None = None) -> Json:
        """A further answer (*Create Followup Message*).

        Right after a deferral it would be an edit of the original, with the visibility of that one: remove or answer
        the original first. It has no nonce, so it is tried again only if it can't have arrived.
        """
        values: dict[str, str | int] = {"application": application, "token": token}
        return await self._object(_Call("POST", FOLLOW_UP, values, message, {"wait": "true"}, once=True), timeout)

    # Channels.

    async def create_message(self, channel: int, message: Message, *, nonce: str, timeout: float | None = None) -> int:
        """The id of a new message in ``channel``; with the same ``nonce`` again within minutes, that of the first one.

        *Create Message*; ``nonce`` has at most 25 characters, see :func:`nonce_for`.
        """
        body = {**message, "nonce": nonce, "enforce_nonce": True}
        call = _Call("POST", MESSAGES, {"channel": channel}, body)
        id = str((await self._object(call, timeout)).get("id"))
        if not id.isdecimal():
            raise DiscordAway(f"{call.name}: the answer names no message")
        return int(id)

    async def edit_message(self, channel: int, id: int, message: Message, *, timeout: float | None = None) -> Json:
        """Give a message of ours the content ``message`` (*Edit Message*)."""
        return await self._object(_Call("PATCH", ONE_MESSAGE, {"channel": channel, "message": id}, message), timeout)

    async def delete_message(self, channel: int, id: int, *, timeout: float | None = None) -> None:
        """Remove a message (*Delete Message*)."""
        await self._call(_Call("DELETE", ONE_MESSAGE, {"channel": channel, "message": id}), timeout)

    # The application.

    async def fetch_application(self, *, timeout: float | None = None) -> Json:
        """The bot's own application (*Get Current Application*)."""
        return await self._object(_Call("GET", "/applications/@me", {}), timeout)

    async def edit_application(self, changes: Json, *, timeout: float | None = None) -> Json:
        """Change the bot's own application (*Edit Current Application*).

        A new URL is tried by Discord before it answers, so this takes a while.
        """
        return await self._object(_Call("PATCH", "/applications/@me", {}, changes), timeout)

    async def fetch_commands(
        self, application: int, guild: int | None = None, *, timeout: float | None = None
    ) -> list[Json]:
        """The registered commands, with their translations (*Get Global*, *Guild Application Commands*)."""
        route, values = _commands(application, guild)
        return await self._list(_Call("GET", route, values, query={"with_localizations": "true"}), timeout)

    async def put_commands(
        self, application: int, commands: list[Json], guild: int | None = None, *, timeout: float | None = None
    ) -> list[Json]:
        """Register exactly ``commands`` (*Bulk Overwrite Global*, *Guild Application Commands*)."""
        route, values = _commands(application, guild)
        return await self._list(_Call("PUT", route, values, commands), timeout)

    async def fetch_entitlement(self, application: int, id: int, *, timeout: float | None = None) -> Json:
        """An entitlement as it is now (*Get Entitlement*)."""
        route = "/applications/{application}/entitlements/{id}"
        return await self._object(_Call("GET", route, {"application": application, "id": id}), timeout)

    async def fetch_entitlements(
        self, application: int, *, after: int = 0, most: int = 100, timeout: float | None = None
    ) -> list[Json]:
        """A page of the entitlements that have not ended; ``after`` is the id of the last one seen
        (*List Entitlements*)."""
        query = {"exclude_ended": "true", "limit": str(most)} | ({"after": str(after)} if after else {})
        route = "/applications/{application}/entitlements"
        return await self._list(_Call("GET", route, {"application": application}, query=query), timeout)

    # Guilds and the gateway.

    async def fetch_voice_state(self, guild: int, user: int, *, timeout: float | None = None) -> Json | None:
        """Where ``user`` is in ``guild``, ``None`` when in no voice channel (*Get User Voice State*)."""
        call = _Call("GET", "/guilds/{guild}/voice-states/{user}", {"guild": guild, "user": user})
        try:
            return await self._object(call, timeout)
        except DiscordError as error:
            if error.status == 404 and error.code == UNKNOWN_VOICE_STATE:
                return None
            raise

    async def fetch_gateway_bot(self, *, timeout: float | None = None) -> Json:
        """The gateway's address, and how many sessions may still be started (*Get Gateway Bot*)."""
        return await self._object(_Call("GET", "/gateway/bot", {}), timeout)

    # How it is done.

    async def _object(self, call: _Call, timeout: float | None) -> Json:
        found = await self._call(call, timeout)
        if not isinstance(found, dict):
            raise DiscordAway(f"{call.name}: the answer is not an object")
        return found

    async def _list(self, call: _Call, timeout: float | None) -> list[Json]:
        found = await self._call(call, timeout)
        if not isinstance(found, list):
            raise DiscordAway(f"{call.name}: the answer is not a list")
        return found

    async def _call(self, call: _Call, timeout: float | None) -> Any:
        allowed = self._timeout if timeout is None else timeout
        deadline = asyncio.get_running_loop().time() + allowed
        met: _Met | None = None
        try:
            async with asyncio.timeout_at(deadline), self._limits.turn(call.bucket, deadline):
                met = await self._attempts(call, deadline)
        except TimeoutError:
            pass
        # Raised out here, so that nothing which could hold an address hangs on the error.
        if met is None:
            raise DiscordAway(f"{call.name}: no answer within {allowed:g} s")
        if 200 <= met.status < 300:
            return met.body
        if met.status == 0 or met.status == 429 or met.status >= 500:
            raise DiscordAway(f"{call.name}: {met.detail or met.status}")
        body = met.body if isinstance(met.body, dict) else {}
        code = body.get("code")
        raise DiscordError(
            call.name,
            met.status,
            code if isinstance(code, int) else 0,
            str(body.get("message", ""))[:200],
            fields=_fields(body.get("errors")),
        )

    async def _attempts(self, call: _Call, deadline: float) -> _Met:
        loop = asyncio.get_running_loop()
        tried = 0
        while True:
            await self._limits.global_turn(call.bucket is not None)
            self._check()
            met = await self._attempt(call, deadline - loop.time())
            log.debug("%s: %s", call.name, met.status or met.detail)
            if met.status == 429:
                if loop.time() + met.retry_after >= deadline:
                    return met
                await asyncio.sleep(met.retry_after)
                continue
            again = met.status == 0 or met.status >= 500
            if not again or (call.once and met.arrived) or tried >= len(BACKOFF):
                return met
            if loop.time() + BACKOFF[tried] >= deadline:
                return met
            await asyncio.sleep(BACKOFF[tried])
            tried += 1

    async def _attempt(self, call: _Call, left: float) -> _Met:
        assert self._session is not None, "use the client as a context manager"
        data = None if call.body is None else msgspec.json.encode(call.body)
        url = URL(self._base + call.address, encoded=True).with_query(call.query)
        headers = {"Content-Type": "application/json"} if data is not None else {}
        try:
            async with asyncio.timeout(min(left, ATTEMPT)):
                async with self._session.request(
                    call.method, url, data=data, headers=headers, allow_redirects=False
                ) as response:
                    raw = await response.read()
        except TimeoutError:
            return _Met(0, detail="no answer")
        except aiohttp.ClientConnectorError as error:
            return _Met(0, detail=type(error).__name__, arrived=False)
        except (aiohttp.ClientError, OSError) as error:
            return _Met(0, detail=type(error).__name__)
        if "Date" in response.headers:
            self._dated = response.headers["Date"], time.time()
        body = _decoded(raw)
        if response.status == 429:
            return self._limited(call, response, body)
        self._limits.note(call.bucket, response.headers)
        if 300 <= response.status < 400:
            return _Met(0, detail=f"an answer with status {response.status}")
        return _Met(response.status, body)

    def _limited(self, call: _Call, response: aiohttp.ClientResponse, body: Any) -> _Met:
        said = body.get("retry_after") if isinstance(body, dict) else None
        try:
            wait = float(said if said is not None else response.headers.get("Retry-After", "1"))
        except ValueError:
            wait = 1.0
        wait = max(wait, 0.05)
        everywhere = response.headers.get("X-RateLimit-Scope") == "global" or (
            isinstance(body, dict) and body.get("global") is True
        )
        log.warning("%s: Discord asks to wait %.3g s%s", call.name, wait, " with everything" if everywhere else "")
        self._limits.hold(call.bucket, wait, everywhere=everywhere)
        return _Met(429, detail=f"Discord asks to wait {wait:.3g} s", retry_after=wait)


def _commands(application: int, guild: int | None) -> tuple[str, dict[str, str | int]]:
    if guild is None:
        return "/applications/{application}/commands", {"application": application}
    return "/applications/{application}/guilds/{guild}/commands", {"application": application, "guild": guild}


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw) if raw else None
    except msgspec.DecodeError:  # a page of HTML from something in between
        return None


def _fields(errors: Any, path: str = "") -> dict[str, str]:
    """What is wrong with which field, from Discord's nested form (*Error Messages*)."""
    if not isinstance(errors, dict):
        return {}
    found: dict[str, str] = {}
    for name, inner in errors.items():
        if name == "_errors" and isinstance(inner, list):
            said = [str(each.get("message") or each.get("code")) for each in inner if isinstance(each, dict)]
            found[path] = "; ".join(said)[:200]
        else:
            found |= _fields(inner, f"{path}.{name}" if path else str(name))
    return found
