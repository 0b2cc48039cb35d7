"""Finding Lavalink's servers, judging them, and keeping a session open to each.

It leans on these internals of wavelink: ``Websocket.connect``, ``Websocket.keep_alive``, ``Websocket.cleanup``,
``Node._websocket``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import wavelink
import wavelink.backoff
from wavelink.websocket import Websocket

from tonearm.addresses import DNS, addresses_of, session_to
from tonearm.errors import SettingsError
from tonearm.settings import LavalinkNode
from tonearm.telemetry import LOG, context
from voice_nodes.backoff import Backoff
from voice_nodes.gateway import Gateway

INFO_TIMEOUT = 2.0
REQUEST_TIMEOUT = 20.0
"""Seconds that any request may take, also those that wavelink makes by itself."""

LONGEST_PAUSE = 5.0
"""Seconds between two attempts to reach a server that is away."""

RESUME_SECONDS = 60
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Server(msgspec.Struct, frozen=True):
    """One server. ``address`` is where it is asked, if its name stands for several; ``name`` is for people."""

    url: str
    password: str
    name: str
    address: str | None = None


async def find_servers(node: LavalinkNode) -> list[Server]:
    """The servers that a setting stands for; waits until the name of ``dns+http(s)://`` has an address."""
    if not node.url.startswith(DNS):
        return [Server(node.url, node.password, urlsplit(node.url).netloc)]
    url = node.url.removeprefix(DNS)
    backoff = Backoff()
    while True:
        try:
            return [
                Server(url, node.password, f"{each}#{urlsplit(url).netloc}", each) for each in await addresses_of(url)
            ]
        except OSError as error:
            LOG.warning("%s has no address: %s", urlsplit(url).hostname, str(error) or "nobody answers")
        await backoff.wait()


class _Socket(Websocket):
    """wavelink's WebSocket, which is opened again by :func:`keep_session` and by nobody else.

    wavelink's own reader ends for good when it meets an error (a server that hung for longer than a heartbeat is one),
    and lets its task for the next connection go unwatched.
    """

    def __init__(self, node: wavelink.Node) -> None:
        super().__init__(node=node)
        self.backoff = wavelink.backoff.Backoff(maximum_time=LONGEST_PAUSE)

    async def connect(self) -> None:
        """What wavelink starts when the socket was closed."""

    async def open(self) -> None:
        await super().connect()

    async def read(self) -> None:
        assert self.keep_alive_task is not None
        try:
            await self.keep_alive_task
        except Exception as error:
            LOG.warning("Lavalink's socket broke: %r", error, extra=context(node=self.node.identifier))
        if self.socket is not None:
            await self.socket.close()


@contextlib.asynccontextmanager
async def make_node(server: Server, shard: int, client: Gateway) -> AsyncIterator[wavelink.Node]:
    """wavelink's idea of a server, with an HTTP session of its own."""
    async with session_to(server.address, REQUEST_TIMEOUT) as http:
        yield wavelink.Node(
            identifier=f"s{shard}@{server.name}",
            uri=server.url,
            password=server.password,
            session=http,
            client=client,
            resume_timeout=RESUME_SECONDS,
            inactive_player_timeout=None,
            inactive_channel_tokens=None,
        )


async def keep_session(node: wavelink.Node, *, api_url: str, check: Callable[[], None]) -> None:
    """Keep a session open until cancelled. Then the socket is closed, and the session outlives it.

    ``check`` is called before the socket is opened: whoever does not own the shard must not take its sessions.

    Raises:
        LeaseLost: ``check`` says so.
        SettingsError: at the start, the server refuses its password, is no Lavalink, or is not for this Discord.
    """
    await _judge(node, api_url)
    socket = _Socket(node)
    backoff = Backoff()
    opened = False
    try:
        while True:
            node._websocket = socket
            check()
            try:
                await socket.open()
                opened = True
                backoff.reset()
                await socket.read()
            except wavelink.AuthorizationFailedException:
                await _complain(node, "refuses its password", opened, backoff)
            except wavelink.NodeException:
                await _complain(node, "is not a Lavalink 4 server", opened, backoff)
    finally:
        await socket.cleanup()


async def _complain(node: wavelink.Node, what: str, opened: bool, backoff: Backoff) -> None:
    """At the start it is a wrong setting; later on somebody is working at the server."""
    if not opened:
        raise SettingsError(f"TONEARM_LAVALINK_NODES: {node.uri} {what}.") from None
    LOG.error("%s %s", node.uri, what, extra=context(node=node.identifier))
    await backoff.wait()


async def _judge(node: wavelink.Node, api_url: str) -> None:
    """Wait until the server answers; see what it is.

    The playground's audio node has no end-to-end encryption, so it is for a Discord on this machine only.
    """
    info = await _fetch_info(node)
    audio_node = info.get("tonearm", {}).get("audioNode")
    if audio_node and urlsplit(api_url).hostname not in LOOPBACK:
        raise SettingsError(
            f"TONEARM_LAVALINK_NODES: {node.uri} is the playground's audio node, which has no end-to-end "
            "encryption (DAVE) and so can't be heard in the real Discord: use Lavalink 4.2.2 or newer."
        )


async def _fetch_info(node: wavelink.Node) -> dict[str, Any]:
    backoff = Backoff()
    while True:
        try:
            async with asyncio.timeout(INFO_TIMEOUT):
                headers = {"Authorization": node.password}
                async with node._session.get(f"{node.uri}/v4/info", headers=headers) as response:
                    status, body = response.status, await response.read()
            if status < 500:
                return _read_info(node, status, body)
            reason = f"status {status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = repr(error)
        LOG.warning("Lavalink does not answer: %s", reason, extra=context(node=node.identifier))
        await backoff.wait()


def _read_info(node: wavelink.Node, status: int, body: bytes) -> dict[str, Any]:
    if status in (401, 403):
        raise SettingsError(f"TONEARM_LAVALINK_NODES: {node.uri} refuses its password.")
    try:
        info: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        info = {}
    if status != 200 or "version" not in info:
        raise SettingsError(f"TONEARM_LAVALINK_NODES: {node.uri} is not a Lavalink 4 server.")
    return info
