"""Starts the stores, an API and a voice node that does every job, and lets schemathesis at them."""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from interactions.api.app import create_api
from playground.stores.postgres import Postgres
from playground.stores.valkey import Valkey
from playground.stripe.server import SECRET_KEY, StripeDouble
from tests.support.api.serving import ALL_SCOPES, api_settings
from tests.support.aws import running_moto
from tests.support.interactions.stub_node import StubNode
from tonearm.jobs.job import Result
from tonearm.postgres.api_keys import create_key
from tonearm.postgres.migrate import migrate
from tonearm.postgres.pool import Pool
from tonearm.redis import guilds
from tonearm.redis.client import connect

HERE = Path(__file__).parent
PRICES = ("price_1", "price_2")
BUCKET = "api-check"
SHORT_S, LONG_S = 120, 600
"""Seconds that the trying may take."""


async def main() -> int:
    """The exit code of schemathesis."""
    parser = argparse.ArgumentParser(prog="python -m tests.api_check", description=__doc__)
    parser.add_argument("--long", action="store_true", help="many more cases")
    parser.add_argument("--seed", type=int, help="the same cases again")
    asked = parser.parse_args()
    async with Postgres() as postgres, Valkey() as valkey:
        database = await postgres.create_database(name="api_check")
        await migrate(database)
        async with Pool(database) as pool, connect(valkey.url, timeout=5) as redis:
            made = await create_key(pool, "check", ALL_SCOPES, now=datetime.now(UTC))
            node = StubNode(redis)
            await node.own(life_ms=3_600_000)
            doing = asyncio.create_task(do_all(node))
            try:
                async with running_moto() as moto, StripeDouble(PRICES) as stripe:
                    os.environ.update(moto.environ)
                    await moto.make_bucket(BUCKET)
                    async with listening(database, valkey.url, stripe.url) as url:
                        return await run(url, made.secret, asked.long, asked.seed)
            finally:
                doing.cancel()
                await asyncio.gather(doing, return_exceptions=True)


async def do_all(node: StubNode) -> None:
    """Ends every job at once, until cancelled."""
    while True:
        with contextlib.suppress(AssertionError):  # none came for a while
            entry, job = await node.take()
            await guilds.commit(
                node.redis,
                shard=0,
                guild=job.guild,
                token=node.token,
                id=job.id,
                now_ms=0,
                before=await guilds.fetch_view(node.redis, 0, job.guild),
                stream_entry=entry,
                user=job.user,
                result=Result("refused", "nothing_playing", "Nothing is playing."),
                result_to=job.result_to or "",
            )


@contextlib.asynccontextmanager
async def listening(database: str, redis: str, stripe: str):
    """An API on a port of its own; its URL."""
    settings = api_settings(
        database,
        redis,
        api_requests_per_minute=1_000_000,
        s3_bucket=BUCKET,
        default_plan="pro",
        stripe_api_url=stripe,
        stripe_secret_key=SECRET_KEY,
        stripe_prices="premium={},pro={}".format(*PRICES),
        stripe_return_url="https://shop.example",
    )
    app = create_api(settings, stream_seconds=0.02)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="on", access_log=False))
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:  # noqa: ASYNC110 - uvicorn tells in no other way
                await asyncio.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def run(url: str, secret: str, long: bool, seed: int | None) -> int:
    """Runs schemathesis; prints what it did."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        arguments = [
            *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"{url}/api/v1/openapi.json", "--checks", "all", "--workers", "1", "--continue-on-failure"),
            *("--max-time", str(LONG_S if long else SHORT_S)),
            *("--max-examples", "200" if long else "15", "--request-timeout", "5", "--generation-database", "none"),
            *("--report-json-path", str(report), "--no-color"),
            *(["--seed", str(seed)] if seed is not None else []),
        ]
        process = await asyncio.create_subprocess_exec(
            *arguments,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.api_check.hooks", "API_CHECK_KEY": secret},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout((LONG_S if long else SHORT_S) + 60):
                out, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            raise
        print(out.decode())
        return process.returncode or 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
