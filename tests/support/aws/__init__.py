"""AWS on this machine: a moto server, a process of its own."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import aioboto3

from playground.stores._server import locked, on_a_free_port, start_server

REGION = "eu-central-1"
START_TIMEOUT = 60.0
"""Seconds; moto imports a lot."""


class Moto:
    """A running server, and AWS' own variables for who talks to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.environ = {
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str):
        """An administrator's client, as an async context manager."""
        return aioboto3.Session().client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    async def make_bucket(self, name: str) -> None:
        """A new bucket."""
        async with self.client("s3") as s3:
            await s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})


@asynccontextmanager
async def running_moto() -> AsyncIterator[Moto]:
    """A moto server on a free port."""
    with TemporaryDirectory(prefix="tonearm-moto-") as name:
        child = None

        async def start(port: int) -> None:
            nonlocal child
            child = await start_server(
                "moto",
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
                ready="Running on",
                port_taken="Address already in use",
                timeout=START_TIMEOUT,
                log=lambda _: None,
                cwd=Path(name),
                lock=lock,
            )

        async with locked(Path(name)) as lock:
            port = await on_a_free_port(Path(name), None, start)
        try:
            yield Moto(f"http://127.0.0.1:{port}")
        finally:
            await child.stop(timeout=5)
