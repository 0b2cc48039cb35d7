"""The twin as a process of its own: its ready line, its end, its state on disk."""

import asyncio
import json
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from playground.twin.actors import TwinClient
from tests.support.twin import RawGateway


@asynccontextmanager
async def twin_process(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "playground.twin", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            line = await process.stdout.readline()
        yield process, json.loads(line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_is_and_ends_when_asked(number: signal.Signals, tmp_path: Path) -> None:
    state = str(tmp_path / "twin.json")
    async with twin_process("--state", state) as (process, ready), TwinClient(ready["control_url"]) as twin:
        assert ready["ready"] is True
        assert ssl.create_default_context(cafile=ready["voice_ca"]).get_ca_certs()
        guild = await twin.create_guild("Kept")
        async with aiohttp.ClientSession() as http:
            gateway = await RawGateway(http, ready).open()
            await gateway.identify()
            await gateway.voice(guild.id, guild.voice_channels[0].id)
            await gateway.event("VOICE_SERVER_UPDATE")
            polling = asyncio.create_task(twin.wait_for("nothing", timeout=60))
            await twin.mark()
            began = time.monotonic()
            process.send_signal(number)
            assert await gateway.closed() == 1001
            async with asyncio.timeout(5):
                assert await process.wait() == 0
            assert time.monotonic() - began < 2
            await asyncio.gather(polling, return_exceptions=True)
    async with twin_process("--state", state) as (_, again), TwinClient(again["control_url"]) as twin:
        same = ("application_id", "public_key", "bot_token")
        assert [again[key] for key in same] == [ready[key] for key in same]
        assert (await twin.guild(guild.id)).name == "Kept"
        assert await guild_voice(twin, guild.id) is None


async def guild_voice(twin: TwinClient, guild_id: str) -> Any:
    return await (await twin.guild(guild_id)).bot_voice_state()


async def test_voice_can_be_reached_at_an_address_of_its_own() -> None:
    where = ("--host", "0.0.0.0", "--voice-host", "127.0.0.2")
    async with twin_process(*where) as (_, ready), TwinClient(ready["control_url"]) as twin:
        assert ready["api_url"].startswith("http://127.0.0.1:")
        guild = await twin.create_guild("Elsewhere")
        async with aiohttp.ClientSession() as http:
            gateway = await RawGateway(http, ready).open()
            await gateway.identify()
            await gateway.voice(guild.id, guild.voice_channels[0].id)
            told = await gateway.event("VOICE_SERVER_UPDATE")
            assert told["endpoint"].startswith("127.0.0.2:")
            trusting = ssl.create_default_context(cafile=ready["voice_ca"])
            async with http.ws_connect(f"wss://{told['endpoint']}/?v=8", ssl=trusting) as voice:
                assert (await voice.receive_json(timeout=5))["op"] == 8
