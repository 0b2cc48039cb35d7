"""``tonearm up`` as a process, on the stores, the Discord and the audio node of a whole system."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import redis.asyncio

from tonearm.redis import keys
from tonearm.settings import PREFIX
from tonearm.up import tonearm

if TYPE_CHECKING:
    from playground.system import System

Gone = Callable[..., Awaitable[None]]


@asynccontextmanager
async def started(system: System, *words: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command with the settings of ``system`` and some of its own."""
    own = {f"{PREFIX}{name}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        *tonearm(*words),
        env={**os.environ, **system.environ, **own},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(process: asyncio.subprocess.Process, words: str) -> str:
    """The line with ``words``."""
    assert process.stdout is not None
    lines = []
    async with asyncio.timeout(30):
        while line := (await process.stdout.readline()).decode():
            lines.append(line)
            if words in line:
                return line.strip()
    raise AssertionError("".join(lines))


async def test_up_starts_both_processes_and_stops_them_in_order(
    system: System, process_gone: Gone, descendants: Callable[[int], set[int]]
) -> None:
    async with started(system, "up") as process:
        node = await until(process, "voice-node answers at")
        web = await until(process, "interactions answers at")
        async with aiohttp.ClientSession() as http:
            for line in (node, web):
                async with http.get(f"{line.rsplit(' ', 1)[1]}/readyz") as response:
                    assert response.status == 200, line
        family = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        await until(process, "interactions was stopped")
        await until(process, "voice-node was stopped: it exited with code 0")
        assert await asyncio.wait_for(process.wait(), 15) == 0
        for member in family:
            await process_gone(member)


async def said_at_the_end(system: System, *words: str, **settings: str) -> tuple[int, str]:
    """The exit code and all that was said."""
    async with started(system, *words, **settings) as process:
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()


async def test_a_missing_setting_is_one_sentence(system: System) -> None:
    for command in ("up", "voice-node"):
        code, said = await said_at_the_end(system, command, LAVALINK_NODES="")
        assert code == 1
        assert said.startswith(f"tonearm {command}: {PREFIX}LAVALINK_NODES is missing. ")
        assert len(said.splitlines()) == 1


async def test_another_number_of_shards_is_one_sentence(system: System) -> None:
    code, said = await said_at_the_end(system, "voice-node", SHARD_COUNT="3")
    assert code == 1
    assert f"{PREFIX}SHARD_COUNT is 3, but this installation has 2 shards." in said
    assert "Traceback" not in said


async def test_a_taken_port_is_one_sentence(system: System) -> None:
    pid = system.supervisor.pid("voice-node")
    assert pid is not None
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code, said = await said_at_the_end(system, "voice-node", PORT=str(port))
    server.close()
    assert code == 1
    assert f"the port {port} can't be listened on" in said
    assert "Traceback" not in said


async def test_a_voice_node_ends_while_redis_is_away(system: System) -> None:
    async with started(system, "voice-node", REDIS_URL="redis://127.0.0.1:1") as process:
        await until(process, "Redis does not answer")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_a_second_voice_node_leaves_the_shards_to_their_owner(system: System) -> None:
    async with redis.asyncio.from_url(system.environ[f"{PREFIX}REDIS_URL"]) as client:
        before = [await client.hget(keys.lease(shard), "token") for shard in (0, 1)]
        async with started(system, "voice-node", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none") as process:
            await until(process, '"ready":true')
            assert [await client.hget(keys.lease(shard), "token") for shard in (0, 1)] == before
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 5) == 0
