"""A script that makes music through the API."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

from tests.chaos.cluster import Cluster
from tests.chaos.rooms import Room
from tests.chaos.told import DONE, UNKNOWN

QUEUED = 202
NO_ANSWER = (OSError, aiohttp.ClientError, TimeoutError, ValueError)
"""What is raised where there was no answer, or half of one."""
NOT_FINAL = frozenset({"still-running", "too-many-requests", "changed-meanwhile"})
"""Problems after which the same request is tried again; so are all of 500 and more."""
REQUEST_SECONDS = 5.0
AGAIN_AFTER = 0.5
"""Seconds until what was not answered is asked again."""
ASK_EVERY = 0.25
"""Seconds between two looks at a job."""


@dataclass(frozen=True)
class Answer:
    """What the API said."""

    status: int
    body: dict[str, Any]

    @property
    def word(self) -> str:
        """That it is done, or the name of the sentence or problem that says why not."""
        if self.status >= 400:
            return str(self.body.get("type", UNKNOWN)).rpartition("#")[2]
        if self.body.get("status") == "done":
            return DONE
        return str(self.body.get("code") or UNKNOWN).upper()

    @property
    def text(self) -> str:
        """The sentence."""
        return str(self.body.get("detail", ""))


class Script:
    """An async context manager."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._turns = itertools.count()
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self.cluster.api_key}"}
        self._http = aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._http is not None
        await self._http.close()

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request.

        Raises:
            NO_ANSWER: there was none.
        """
        assert self._http is not None
        url = f"{self.cluster.api_url}/api/v1{path}"
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._http.request(method, url, json=body, headers=given) as response:
            return Answer(response.status, await response.json(content_type=None))

    async def post(self, path: str, room: Room, *, key: str | None = None, **wish: Any) -> Answer:
        """Somebody in the room, by turns, wishes for something, and is ready to wait 2 s for it.

        Raises:
            NO_ANSWER: there was none.
        """
        body = {
            "guild_id": str(room.guild.id),
            "actor": str(room.people[next(self._turns) % len(room.people)].id),
            **wish,
        }
        return await self.ask("POST", path, body, Idempotency_Key=key or secrets.token_hex(16), Prefer="wait=2")

    async def insist(self, path: str, body: Any, key: str, within: float, **headers: str) -> tuple[Answer, int]:
        """Ask, with the same key, until there is an answer that is final; and how often it was asked.

        Raises:
            TimeoutError: there was none.
        """
        tries = 0
        async with asyncio.timeout(within):
            while True:
                tries += 1
                with suppress(*NO_ANSWER):
                    answer = await self.ask("POST", path, body, Idempotency_Key=key, **headers)
                    if answer.status < 500 and answer.word not in NOT_FINAL:
                        return answer, tries
                await asyncio.sleep(AGAIN_AFTER)

    async def read(self, path: str) -> dict[str, Any]:
        """What there is, asked for until it is given; the caller says for how long."""
        while True:
            with suppress(*NO_ANSWER):
                found = await self.ask("GET", path)
                if found.status == 200:
                    return found.body
            await asyncio.sleep(AGAIN_AFTER)

    async def ended(self, answer: Answer, within: float) -> Answer:
        """How a job ended that was queued.

        Raises:
            TimeoutError: it did not end.
        """
        path = f"/guilds/{answer.body['guild_id']}/jobs/{answer.body['id']}"
        async with asyncio.timeout(within):
            while (found := await self.read(path))["status"] == "queued":  # noqa: ASYNC110 - it is not told
                await asyncio.sleep(ASK_EVERY)
            return Answer(200, found)
