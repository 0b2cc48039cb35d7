"""The least that can be done with an interaction: verify it, append it to a stream, defer. What a process costs more
than this is ours."""

from __future__ import annotations

import socket

import redis.asyncio as aioredis
import uvicorn
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from tonearm import settings as tonearm_settings
from tonearm.telemetry import announce_ready

JOBS = "floor"
KEEP_ALIVE_S = 75
CONNECTIONS = 1_000
DEFERRED = b'{"type":5}'


def main() -> None:
    """Serve on a free port until SIGTERM."""
    settings = tonearm_settings.load(("discord_public_key", "redis_url"))
    key = VerifyKey(settings.discord_public_key[0])
    redis = aioredis.from_url(settings.redis_url, max_connections=CONNECTIONS)

    async def app(scope, receive, send):
        headers = dict(scope["headers"])
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        status, said = 200, DEFERRED
        try:
            signature = bytes.fromhex(headers[b"x-signature-ed25519"].decode())
            key.verify(headers[b"x-signature-timestamp"] + body, signature)
            await redis.xadd(JOBS, {"j": body})
        except (BadSignatureError, KeyError, ValueError):
            status, said = 401, b"{}"
        answered = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(said))]
        await send({"type": "http.response.start", "status": status, "headers": answered})
        await send({"type": "http.response.body", "body": said})

    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    announce_ready(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
