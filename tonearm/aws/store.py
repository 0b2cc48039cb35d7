"""The bucket (Amazon S3, or what speaks its protocol): guilds' exports and imports, and dead letters that are old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any

import aioboto3
import aiohttp
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tonearm.aws.places import AREAS, key_of
from tonearm.errors import StorageAway

FAILURES = (BotoCoreError, ClientError, aiohttp.ClientError, OSError, TimeoutError)

TIMEOUT = 30.0
"""Seconds that a call may take in all, with its repetitions."""

LONGEST_LINK = 7 * 24 * 60 * 60
"""Seconds; S3 accepts no presigned link that is valid for longer (Amazon S3, *Sharing objects with presigned URLs*)."""

_CONFIG = Config(
    signature_version="s3v4",
    connect_timeout=2,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 3},
    # Other stores that speak S3 know no checksums in trailers, and a presigned upload must need none.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class Store:
    """A bucket, as an async context manager. Its client is made when it is first needed, which takes a moment."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._open = AsyncExitStack()
        self._making = asyncio.Lock()
        self._client: Any = None

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client = None
        await self._open.aclose()

    async def put(self, key: str, body: bytes, *, content_type: str = "application/json") -> None:
        """Keep ``body`` as ``key``; what was there is replaced.

        Raises:
            StorageAway: the store doesn't answer, or refuses. It may be kept.
        """
        async with self._asking("put") as client:
            await client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)

    async def get(self, key: str, *, most: int) -> bytes | None:
        """What is kept as ``key``, as far as its first ``most + 1`` bytes; ``None`` where there is nothing.

        Raises:
            StorageAway: the store doesn't answer, or refuses.
        """
        async with self._asking("get") as client:
            try:
                answer = await client.get_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                    return None
                raise
            stream = answer["Body"]
            async with stream:
                pieces = bytearray()
                while len(pieces) <= most:
                    piece: bytes = await stream.read(most + 1 - len(pieces))
                    if not piece:
                        break
                    pieces += piece
                return bytes(pieces)

    async def remove(self, key: str) -> None:
        """Delete ``key``, if it is there.

        Raises:
            StorageAway: the store doesn't answer, or refuses. It may be deleted.
        """
        async with self._asking("remove") as client:
            await client.delete_object(Bucket=self._bucket, Key=key)

    async def remove_guild(self, guild: int) -> None:
        """Delete all that is kept of ``guild``.

        Raises:
            StorageAway: the store doesn't answer, or refuses. Some may be deleted.
        """
        for area in AREAS:
            for key in await self.list_keys(area, guild):
                await self.remove(key)

    async def list_keys(self, area: str, guild: int) -> list[str]:
        """What is kept of ``guild`` in ``area``.

        Raises:
            StorageAway: the store doesn't answer, or refuses.
        """
        async with self._asking("list") as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=key_of(area, guild))
            return [each["Key"] async for page in pages for each in page.get("Contents", ())]

    async def link_to_get(self, key: str, *, seconds: float, name: str) -> str:
        """A link that needs no further right, valid for ``seconds``; a browser saves what it gives as ``name``.

        With credentials that end sooner (those of a role), so does the link.

        Raises:
            StorageAway: there are no credentials to sign it with.
        """
        given = {"Bucket": self._bucket, "Key": key, "ResponseContentDisposition": f'attachment; filename="{name}"'}
        return await self._link("get_object", given, seconds)

    async def link_to_put(self, key: str, *, size: int, seconds: float) -> str:
        """A link to which exactly ``size`` bytes can be sent by PUT, for ``seconds``.

        Raises:
            StorageAway: there are no credentials to sign it with.
        """
        given = {"Bucket": self._bucket, "Key": key, "ContentLength": size}
        return await self._link("put_object", given, seconds)

    async def _link(self, method: str, given: Mapping[str, object], seconds: float) -> str:
        async with self._asking("link") as client:
            life = max(1, min(LONGEST_LINK, int(seconds)))
            link: str = await client.generate_presigned_url(method, Params=given, ExpiresIn=life)
            return link

    @asynccontextmanager
    async def _asking(self, what: str) -> AsyncIterator[Any]:
        try:
            async with asyncio.timeout(TIMEOUT):
                yield await self._connected()
        except FAILURES as error:
            # A refusal names its operation and its code; other texts can hold addresses with signatures.
            said = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
            raise StorageAway(f"{what}: {said}") from error

    async def _connected(self) -> Any:
        async with self._making:
            if self._client is None:
                made = aioboto3.Session().client("s3", config=_CONFIG)
                self._client = await self._open.enter_async_context(made)
        return self._client
