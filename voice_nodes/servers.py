"""Finding Lavalink's servers, judging them, and keeping a session open to each.

It leans on these internals of wavelink: ``Websocket.keep_alive``, ``Websocket.headers``, ``Websocket.dispatch``,
``Node._status``, ``Node._session``, ``Node._session_id``, ``Node._players``, ``Node._websocket``.
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
from wavelink.enums import NodeStatus
from wavelink.websocket import Websocket

from tonearm.addresses import DNS, addresses_of, session_to
from tonearm.backoff import Backoff
from tonearm.errors import SettingsError
from tonearm.settings import LavalinkNode
from tonearm.telemetry import LOG, context
from voice_nodes.gateway import Gateway
from voice_nodes.resuming import abort

INFO_TIMEOUT = 2.0
OPEN_TIMEOUT = 3.0
"""Seconds that opening a socket may take."""

REQUEST_TIMEOUT = 20.0
"""Seconds that any request may take, also those that wavelink makes by itself."""

CLOSE_TIMEOUT = 1.0
RESUME_SECONDS = 60
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Server(msgspec.Struct, frozen=True):
    """One server. ``address`` is where it is asked, if its name stands for several; ``name`` is for people."""

    url: str
    password: str
    name: str
    address: str | None = None
    regions: tuple[str, ...] = ()


async def find_servers(node: LavalinkNode) -> list[Server]:
    """The servers that a setting stands for, now.

    Raises:
        OSError: the name of a ``dns+http(s)://`` has no address, or nobody could be asked.
    """
    if not node.url.startswith(DNS):
        return [Server(node.url, node.password, urlsplit(node.url).netloc, None, node.regions)]
    url = node.url.removeprefix(DNS)
    return [
        Server(url, node.password, f"{each}#{urlsplit(url).netloc}", each, node.regions)
        for each in await addresses_of(url)
    ]


class Socket(Websocket):
    """wavelink's WebSocket, which is opened and closed by :class:`voice_nodes.station.Station` and by nobody else.

    wavelink's own reader ends for good when it meets an error, lets its task for the next connection go unwatched,
    waits for a server that hangs, and forgets the players of one that refuses once. ``on_message`` is called for
    each message, and ``on_stats`` with the server's figures, which wavelink tells without saying whose they are.
    """

    def __init__(
        self,
        node: wavelink.Node,
        *,
        on_message: Callable[[], None],
        on_stats: Callable[[wavelink.StatsEventPayload], None],
    ) -> None:
        super().__init__(node=node)
        self._on_message = on_message
        self._on_stats = on_stats

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        if event != "node_disconnected":
            self._on_message()
        if event == "stats_update":
            self._on_stats(*args)
        super().dispatch(event, *args, **kwargs)

    async def connect(self) -> None:
        """What wavelink starts when the socket was closed."""

    async def open(self) -> None:
        """Open it, and begin to take what comes.

        Raises:
            aiohttp.ClientError: it is refused.
            OSError: nobody is there.
            TimeoutError: nobody answers.
        """
        node = self.node
        uri = f"{node.uri}/v4/websocket"
        async with asyncio.timeout(OPEN_TIMEOUT):
            self.socket = await node._session.ws_connect(uri, heartbeat=node.heartbeat, headers=self.headers)
        self.keep_alive_task = asyncio.create_task(self.keep_alive())

    async def read(self) -> None:
        """Take what comes until the socket is gone."""
        assert self.keep_alive_task is not None
        try:
            await self.keep_alive_task
        except Exception as error:
            LOG.warning("Lavalink's socket broke: %r", error, extra=context(node=self.node.identifier))

    def lost(self) -> None:
        """Tell that the session's socket is gone, if it was open."""
        if self.node._status is NodeStatus.CONNECTED:
            self.node._status = NodeStatus.CONNECTING
            self.dispatch("node_disconnected", wavelink.NodeDisconnectedEventPayload(node=self.node))
        self.node._status = NodeStatus.CONNECTING

    async def close(self, *, at_once: bool = False) -> None:
        """Close it; the session outlives it. ``at_once``: cut it, as its server would not answer."""
        if self.keep_alive_task is not None:
            self.keep_alive_task.cancel()
            await asyncio.wait([self.keep_alive_task])
        if at_once:
            abort(self.socket)
        elif self.socket is not None:
            with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self.socket.close()

    async def cleanup(self) -> None:
        """What wavelink does where it gives a server up: here nothing, as nothing is given up."""


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


async def judge(node: wavelink.Node, api_url: str) -> None:
    """Wait until the server answers; see what it is.

    The playground's audio node has no end-to-end encryption, so it is for a Discord on this machine only.

    Raises:
        SettingsError: the server refuses its password, is no Lavalink, or is not for this Discord.
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
