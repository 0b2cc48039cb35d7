"""The client of a Redis Cluster: redis-py's, with another idea of what a dead master means.

redis-py takes a connection error for a sign that the cluster has changed: before the next command, whichever it is for,
it asks for the slots anew, closes connections that work, and waits. Here a dead master costs the commands for its own
slots and no others; how the cluster looks is asked for in the background; and nothing is tried twice, except that a
server's word that a slot lies elsewhere is followed. The docstrings say which parts of redis-py are leaned on.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Self

from redis.asyncio.client import PubSub
from redis.asyncio.cluster import ClusterNode, ClusterPipeline, PipelineCommand, RedisCluster
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ClusterError,
    ConnectionError,
    MovedError,
    RedisClusterException,
    SlotNotCoveredError,
    TimeoutError,
    TryAgainError,
)

from tonearm.redis.prompt import prompt
from tonearm.telemetry import LOG

MOST_REDIRECTIONS = 5
LOOK_TIMEOUT = 1.0
"""Seconds in which one of the masters has to tell how the cluster looks."""

LOOK_AFTER = 0.25
"""Seconds between an error and the question how the cluster looks now, and between two of them."""

TRY_AGAIN_AFTER = 0.02
"""Seconds to wait while a slot with several of a script's keys is under way to another master."""

AWAY = (ConnectionError, TimeoutError, ClusterDownError, SlotNotCoveredError, OSError)


class ClusterClient(RedisCluster):
    """Commands go to the master of their key. All keys of a command lie in one slot, as :mod:`tonearm.redis.keys` says.

    Leans on redis-py's ``ClusterNode`` (a pool of connections), ``NodesManager`` (the map of the slots) and
    ``ClusterPipeline``; replaces the way of a command from the one to the other.
    """

    def __init__(self, host: str, port: int, **settings: Any) -> None:
        super().__init__(host=host, port=port, require_full_coverage=False, reinitialize_steps=0, **settings)
        self._named = (host, port)
        self._looking: asyncio.Task[None] | None = None
        self._subscriptions = itertools.count()
        kind = prompt(self.nodes_manager.connection_kwargs["connection_class"])
        self.nodes_manager.connection_kwargs["connection_class"] = kind
        for node in self.nodes_manager.startup_nodes.values():
            node.connection_class = kind

    async def initialize(self, *args: Any, **kwargs: Any) -> ClusterClient:
        """Learn how the cluster looks, if that is not known yet.

        Raises:
            RedisError: none of the known masters answers.
        """
        if self._initialize:
            if self._lock is None:
                self._lock = asyncio.Lock()
            async with self._lock:
                if self._initialize:
                    try:
                        await self.nodes_manager.initialize()
                    except RedisClusterException as error:  # which is none of redis-py's RedisErrors
                        raise ConnectionError(str(error)) from error
                    self._initialize = False
        return self

    async def __aenter__(self) -> Self:
        """Connects to nothing: the cluster may be down for now."""
        await self._increment_usage()
        return self

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """The reply to a command.

        Raises:
            RedisError: the master of its key is down or refuses.
        """
        if self._initialize:
            await self.initialize()
        if "target_nodes" in kwargs or args[0] in self.command_flags:
            return await super().execute_command(*args, **kwargs)
        slot = self.keyslot(_key(args))
        node, asking = self._master(slot), False
        for _ in range(MOST_REDIRECTIONS):
            try:
                if asking:
                    return await _ask(node, args, kwargs)
                return await node.execute_command(*args, **kwargs)
            except AskError as error:
                asking, node = True, self._node(error.host, error.port)
            except MovedError as error:
                await self.nodes_manager.move_slot(error)
                asking, node = False, self._master(slot)
                self._look_again()
            except TryAgainError:
                await asyncio.sleep(TRY_AGAIN_AFTER)
            except AWAY:
                await self.lost(node)
                raise
        raise ClusterError("the slot moves too often")

    async def _execute_command(self, target_node: ClusterNode, *args: Any, **kwargs: Any) -> Any:
        """For commands without a key, which name their masters."""
        return await target_node.execute_command(*args, **kwargs)

    async def _determine_slot(self, command: str, *args: Any) -> int:
        """Used by redis-py's pipeline."""
        return int(self.keyslot(_key((command, *args))))

    def pipeline(self, transaction: Any | None = None, shard_hint: Any | None = None) -> ClusterPipeline:
        """Commands for one round trip to each of their masters; never a transaction."""
        return _Pipeline(self)  # type: ignore[abstract]

    async def lost(self, node: ClusterNode) -> None:
        """A master did not answer: the connections that lie ready are as dead, and the next command makes its own."""
        await node.disconnect_free_connections()
        self._look_again()

    def pubsub(self, *args: Any, **kwargs: Any) -> PubSub:  # type: ignore[override]
        """A subscription on a connection of its own to one master, each time to another one.

        What is published on any master is heard on all.
        """
        nodes = sorted(self.get_primaries() or self.startup_nodes, key=lambda node: str(node.name))
        node = nodes[next(self._subscriptions) % len(nodes)]
        settings = {name: value for name, value in node.connection_kwargs.items() if name != "max_connections"}
        pool = ConnectionPool(connection_class=node.connection_class, **{**settings, "socket_timeout": None})
        return PubSub(pool, encoder=self.encoder, **kwargs)

    async def aclose(self) -> None:
        """Closes everything."""
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        await self.nodes_manager.aclose()
        await self.nodes_manager.aclose("startup_nodes")
        self._initialize = True

    def _master(self, slot: int) -> ClusterNode:
        nodes = self.nodes_manager.slots_cache.get(slot)
        if not nodes:
            self._look_again()
            raise SlotNotCoveredError(f"slot {slot} has no master")
        return nodes[0]

    def _node(self, host: str, port: int) -> ClusterNode:
        node = self.get_node(host=host, port=port)
        if node is None:
            self._look_again()
            raise SlotNotCoveredError(f"{host}:{port} is not known")
        return node

    def _look_again(self) -> None:
        """Ask in the background how the cluster looks now."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="redis cluster")

    async def _look(self) -> None:
        await asyncio.sleep(LOOK_AFTER)
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                await self.nodes_manager.initialize()
        except Exception as error:
            LOG.warning("The cluster can't be looked at: %r", error)
            # All addresses may have changed: the one of the URL leads to the new ones.
            host, port = self._named
            named = ClusterNode(host, port, **self.nodes_manager.connection_kwargs)
            self.nodes_manager.startup_nodes.setdefault(named.name, named)


class _Pipeline(ClusterPipeline):
    """Tells the client when a master did not answer."""

    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:
        """The replies, in the order of the commands.

        Raises:
            RedisError: a master is down or refuses.
        """
        client = self.cluster_client
        assert isinstance(client, ClusterClient)
        queued = self._execution_strategy._command_queue  # type: ignore[attr-defined]
        slots = {client.keyslot(_key(command.args)) for command in queued}
        try:
            return await super().execute(raise_on_error, allow_redirections)
        except AWAY:
            masters = client.nodes_manager.slots_cache
            for node in {masters[slot][0] for slot in slots if masters.get(slot)}:
                await client.lost(node)
            raise


async def _ask(node: ClusterNode, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The command right after ASKING, on the same connection."""
    pair = [PipelineCommand(0, "ASKING"), PipelineCommand(1, *args, **kwargs)]
    await node.execute_pipeline(pair)
    if isinstance(pair[1].result, Exception):
        raise pair[1].result
    return pair[1].result


def _key(args: tuple[Any, ...]) -> Any:
    """A key of a command, by which its slot is known: the first one, wherever it stands."""
    command = args[0].upper()
    if command in ("EVAL", "EVALSHA"):
        return args[3]
    if command in ("XREAD", "XREADGROUP"):
        words = [word.encode() if isinstance(word, str) else word for word in args]
        return args[words.index(b"STREAMS") + 1]
    return args[1]
