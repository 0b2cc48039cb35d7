"""A twin in this process, a gateway client that hides nothing, and a receiver of interactions."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from playground.twin.actors import TwinClient
from playground.twin.app import Twin
from playground.twin.gateway.settings import GatewaySettings

Json = dict[str, Any]

PLAY = {
    "name": "play",
    "description": "Play a track",
    "contexts": [0],
    "integration_types": [0],
    "options": [
        {"type": 3, "name": "query", "description": "What to play", "required": True, "autocomplete": True},
        {"type": 4, "name": "at", "description": "Second to begin at", "min_value": 0},
        {"type": 6, "name": "for", "description": "Whom to play it for"},
    ],
}


@asynccontextmanager
async def running_twin(**settings: Any) -> AsyncIterator[tuple[Twin, TwinClient]]:
    """Start a twin that identifies as often as wanted, and a client of it."""
    twin = Twin(settings=GatewaySettings(**{"identify_interval": 0.0} | settings))
    await twin.start()
    try:
        async with TwinClient(twin.about()["control_url"]) as client:
            yield twin, client
    finally:
        await twin.close()


class RawGateway:
    """A gateway connection; everything received is kept in ``received``."""

    def __init__(self, http: aiohttp.ClientSession, about: Json) -> None:
        self.received: list[Json] = []
        self.session_id = ""
        self._http = http
        self._about = about
        self.ws: aiohttp.ClientWebSocketResponse

    async def open(self, query: str = "?v=10&encoding=json") -> "RawGateway":
        self.ws = await self._http.ws_connect(self._about["gateway_url"] + query)
        assert (await self.next())["op"] == 10
        return self

    async def send(self, op: int, data: Any) -> None:
        await self.ws.send_str(json.dumps({"op": op, "d": data}))

    async def next(self, within: float = 5.0) -> Json:
        message = await self.ws.receive(timeout=within)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        payload: Json = json.loads(message.data)
        self.received.append(payload)
        return payload

    async def closed(self, within: float = 5.0) -> int:
        """Read to the end; return the close code."""
        while True:
            message = await self.ws.receive(timeout=within)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING):
                assert self.ws.close_code is not None
                return self.ws.close_code

    async def event(self, name: str, within: float = 5.0, **fields: Any) -> Json:
        """Read until an event with these fields; return its data."""
        async with asyncio.timeout(within):
            while True:
                payload = await self.next(within)
                data = payload["d"]
                if payload.get("t") == name and all(data.get(key) == value for key, value in fields.items()):
                    found: Json = data
                    return found

    async def identify(self, intents: int = 1 | 1 << 7 | 1 << 9, shard: tuple[int, int] = (0, 1)) -> Json:
        properties = {"os": "linux", "browser": "test", "device": "test"}
        data = {"token": self._about["bot_token"], "intents": intents, "shard": shard, "properties": properties}
        await self.send(2, data)
        ready = await self.event("READY")
        self.session_id = ready["session_id"]
        return ready

    async def resume(self, other: "RawGateway", sequence: int | None = None) -> None:
        self.session_id = other.session_id
        seq = other.sequence if sequence is None else sequence
        await self.send(6, {"token": self._about["bot_token"], "session_id": other.session_id, "seq": seq})

    @property
    def sequence(self) -> int:
        return max((each["s"] for each in self.received if each.get("s") is not None), default=0)

    async def voice(self, guild: str, channel: str | None) -> None:
        data = {"guild_id": guild, "channel_id": channel, "self_mute": False, "self_deaf": True}
        await self.send(4, data)


Answer = Callable[[Json], Awaitable[Any]]


class Receiver:
    """An interactions endpoint that verifies signatures and answers as the test says."""

    def __init__(self, public_key: str) -> None:
        self.answer: Answer | Json = {"type": 5}
        self.received: list[Json] = []
        self.url = ""
        self._key = VerifyKey(bytes.fromhex(public_key))
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=8 << 20)
        app.router.add_post("/interactions", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/interactions"

    async def close(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            signature = bytes.fromhex(request.headers["X-Signature-Ed25519"])
            self._key.verify(request.headers["X-Signature-Timestamp"].encode() + body, signature)
        except (KeyError, ValueError, BadSignatureError):
            return web.json_response({"error": "invalid request signature"}, status=401)
        payload = json.loads(body)
        self.received.append(payload)
        answer = self.answer if isinstance(self.answer, dict) else await self.answer(payload)
        return answer if isinstance(answer, web.StreamResponse) else web.json_response(answer)


@asynccontextmanager
async def receiving(twin: Twin, client: TwinClient) -> AsyncIterator[Receiver]:
    """Start a receiver and let the twin send there."""
    receiver = Receiver(twin.desk.signer.public_key)
    await receiver.start()
    await client.set_interactions_url(receiver.url)
    try:
        yield receiver
    finally:
        await client.set_interactions_url(None)
        await receiver.close()


class Api:
    """REST as the bot uses it."""

    def __init__(self, http: aiohttp.ClientSession, about: Json) -> None:
        self._http = http
        self.about = about

    async def __call__(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bot {token or self.about['bot_token']}"}
        url = self.about["api_url"] + path
        async with self._http.request(method, url, json=body, headers=headers) as response:
            if response.status == 204:
                return 204, None
            assert response.headers["Content-Type"] == "application/json"
            assert "Date" in response.headers
            return response.status, await response.json()

    async def register(self, *commands: Json) -> Any:
        status, made = await self("PUT", f"/applications/{self.about['application_id']}/commands", list(commands))
        assert status == 200, made
        return made

    async def edit_original(self, token: str, body: Json) -> tuple[int, Any]:
        return await self("PATCH", f"/webhooks/{self.about['application_id']}/{token}/messages/@original", body)
