"""An API over real stores, in this process, and its callers."""

import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx

from interactions.api.app import create_api
from tonearm.postgres.api_keys import create_key
from tonearm.postgres.pool import Pool
from tonearm.settings import load

GUILD, OTHER = 772904309264089089, 772904309264089090
USER, CHANNEL = 786008729715212338, 772908445358620702
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
ALL_SCOPES = ("premium:*", "settings:*", "music:*", "data:*", "keys:*")


class Clock:
    """A clock that tests move."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now.timestamp()


class Caller:
    """Somebody with a key; POSTs get an Idempotency-Key of their own unless they bring one."""

    def __init__(self, http: httpx.AsyncClient, secret: str | None) -> None:
        self.http = http
        self.secret = secret

    async def ask(self, method: str, path: str, *, json=None, **headers: str) -> httpx.Response:
        """One request; header names are written with underscores."""
        given = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        if self.secret is not None:
            given.setdefault("Authorization", f"Bearer {self.secret}")
        if method == "POST" and "Idempotency-Key" not in given and "no-key" not in given:
            given["Idempotency-Key"] = secrets.token_hex(16)
        given.pop("no-key", None)
        return await self.http.request(method, "/api/v1" + path, json=json, headers=given)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.ask("GET", path, **headers)

    async def post(self, path: str, json=None, **headers: str) -> httpx.Response:
        return await self.ask("POST", path, json=json, **headers)

    async def patch(self, path: str, json=None, **headers: str) -> httpx.Response:
        return await self.ask("PATCH", path, json=json, **headers)


def api_settings(database_url: str, redis_url: str, **others: object):
    """Settings of an API."""
    environment = {
        "TONEARM_DATABASE_URL": database_url,
        "TONEARM_REDIS_URL": redis_url,
        **{f"TONEARM_{name.upper()}": str(value) for name, value in others.items()},
    }
    return load((), environment)


@asynccontextmanager
async def serving(
    database_url: str,
    redis_url: str,
    *,
    clock: Clock | None = None,
    stream_seconds: float = 0.2,
    listening=True,
    **others,
) -> AsyncIterator[httpx.AsyncClient]:
    """An API; ``http.app`` is the application."""
    app = create_api(
        api_settings(database_url, redis_url, **others), clock=clock or Clock(), stream_seconds=stream_seconds
    )
    async with app.router.lifespan_context(app):
        if listening and stream_seconds > 0:
            await app.state.parts.replies.wait_until_listening()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tonearm") as client:
            client.app = app
            yield client


async def make_caller(
    http: httpx.AsyncClient,
    pool: Pool,
    scopes: Iterable[str] = ALL_SCOPES,
    guilds: Iterable[int] | None = None,
    expires_at: datetime | None = None,
) -> Caller:
    """A caller with a new key."""
    made = await create_key(pool, "test", scopes, guilds=guilds, expires_at=expires_at, now=NOW)
    caller = Caller(http, made.secret)
    caller.key = made.key
    return caller


def problem(response: httpx.Response) -> str:
    """The kind of a problem, whose form is checked."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    body = response.json()
    assert body["status"] == response.status_code
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["title"]
    assert body["detail"].endswith((".", "`", ")"))
    base, _, kind = body["type"].partition("#")
    assert base == "/api/v1/docs"
    return kind
