"""The audio node as a process, and a client of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.audio_node.log import Log

PASSWORD = "a password for tests"
USER_ID = "4242"
Message = dict[str, Any]


@asynccontextmanager
async def running_node(ca: Path, library: Path) -> AsyncIterator[str]:
    """A node on a free port; yields its address. It must be gone within 2 s of SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "playground.audio_node", "--password", PASSWORD, "--voice-ca", str(ca), "--library", str(library)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 50)
        yield json.loads(line)["url"]
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 2) == 0
        assert await process.stdout.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


class Client:
    """A client with one session. `messages` is everything its socket got."""

    def __init__(self, http: aiohttp.ClientSession, url: str, user_id: str = USER_ID) -> None:
        self._http = http
        self._url = url
        self._user_id = user_id
        self.messages: Log[Message] = Log()
        self.session_id = ""
        self.resumed = False
        self.headers: dict[str, str] = {}

    async def connect(self, session_id: str | None = None) -> None:
        headers = {"Authorization": PASSWORD, "User-Id": self._user_id, "Client-Name": "test/1"}
        if session_id is not None:
            headers["Session-Id"] = session_id
        self._ws = await self._http.ws_connect(f"{self._url}/v4/websocket", headers=headers)
        self.headers = dict(self._ws._response.headers)
        self._reader = asyncio.create_task(self._read())
        ready = await self.messages.until(lambda message: message["op"] == "ready")
        self.session_id, self.resumed = ready["sessionId"], ready["resumed"]

    async def close(self) -> None:
        await self._ws.close()
        await self._reader

    async def _read(self) -> None:
        async for message in self._ws:
            self.messages.add(json.loads(message.data))

    async def request(
        self, method: str, path: str, body: Any = None, *, password: str | None = PASSWORD
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, body (JSON, or text) and headers of a request."""
        headers = {} if password is None else {"Authorization": password}
        async with self._http.request(method, self._url + path, json=body, headers=headers) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(text) if is_json else text, dict(response.headers)

    async def patch(self, guild: int, body: Message, query: str = "") -> Message:
        """PATCH a player that must succeed."""
        status, answer, _ = await self.request("PATCH", self.player_path(guild) + query, body)
        assert status == 200, answer
        return answer

    async def player(self, guild: int) -> Message:
        status, answer, _ = await self.request("GET", self.player_path(guild))
        assert status == 200, answer
        return answer

    async def join(self, guild: int, endpoint: str, session: str = "voice", token: str = "token") -> Message:
        voice = {"token": token, "endpoint": endpoint, "sessionId": session, "channelId": "777"}
        return await self.patch(guild, {"voice": voice})

    def player_path(self, guild: int) -> str:
        return f"/v4/sessions/{self.session_id}/players/{guild}"

    async def event(self, kind: str, guild: int, *, start: int = 0, timeout: float = 10.0) -> Message:
        return await self.messages.until(
            lambda message: message.get("type") == kind and message["guildId"] == str(guild),
            start=start,
            timeout=timeout,
        )
