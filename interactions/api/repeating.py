"""The Idempotency-Key: a POST is done once, and answered the same again, marked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.responses import Response

from interactions.api import problems
from interactions.api.operation import Call, Reply
from tonearm.errors import Problem
from tonearm.postgres import idempotency
from tonearm.postgres.idempotency import Standing
from tonearm.postgres.pool import FAILURES, Pool
from tonearm.telemetry import LOG, context

KEY_PATTERN = "^[A-Za-z0-9_-]{8,128}$"
REPLAYED = "Idempotent-Replayed"
_KEY = re.compile(KEY_PATTERN)
_PASSING = frozenset({429})
"""Statuses below 500 that a repetition may find otherwise."""


def require_key(headers: Mapping[str, str]) -> str:
    """The Idempotency-Key.

    Raises:
        Problem: there is none, or it does not fit.
    """
    key = headers.get("idempotency-key", "")
    if not _KEY.fullmatch(key):
        raise Problem(
            "idempotency-key-missing",
            "Send an Idempotency-Key of 8 to 128 letters, digits, - and _, a new one for each new wish.",
        )
    return key


def identity_of(key_id: str, idempotency_key: str) -> str:
    """The name of what a request does, the same for each repetition."""
    return "a:" + hashlib.sha256(f"{key_id}\0{idempotency_key}".encode()).hexdigest()


class Repeatable:
    """One request under an Idempotency-Key. ``kept`` says what of its answer is given again.

    ``is_job``: where PostgreSQL can't say whether it was done before, it is done all the same. Redis knows the job by
    its name; only that another body came with the same key is not seen then.
    """

    def __init__(self, pool: Pool, key_id: str, key: str, kept: Callable[[Any], Any], *, is_job: bool) -> None:
        self._pool = pool
        self._key_id = key_id
        self._key = key
        self._kept = kept
        self._is_job = is_job

    async def do(
        self,
        method: str,
        path: str,
        raw: bytes,
        call: Call,
        run: Callable[[], Awaitable[Reply | Response]],
        rendered: Callable[[Reply | Response], Response],
    ) -> Response:
        """Its answer: the first one again, or what ``run`` says now.

        Raises:
            Problem: the key was used for something else, the first request is still running, or nobody can say.
        """
        print = idempotency.fingerprint(method, path, raw)
        try:
            begun = await idempotency.begin(self._pool, self._key_id, self._key, print, now=call.now)
        except FAILURES as error:
            if self._is_job:
                LOG.warning("A job is handed over without the database: %r", error, extra=context(key=self._key_id))
                return rendered(await run())
            raise problems.database_away() from error
        match begun.standing:
            case Standing.OTHER:
                raise Problem("idempotency-key-reused", "Another request was made with this key. Take a new one.")
            case Standing.RUNNING:
                raise Problem(
                    "still-running",
                    "The first request with this key is still running. Ask again in a second.",
                    headers={"Retry-After": "1"},
                )
            case Standing.DONE:
                assert begun.kept is not None
                kept = begun.kept
                return Response(kept.body, kept.status, {**kept.headers, REPLAYED: "true"})
        try:
            answer = await run()
        except Problem as problem:
            if problems.CATALOGUE[problem.kind].status >= 500 or problems.CATALOGUE[problem.kind].status in _PASSING:
                await self._abandon()
            else:
                await self._finish(problems.render(problem, call.request_id))
            raise
        response = rendered(answer)
        keeping = response
        if isinstance(answer, Reply):
            keeping = rendered(Reply(self._kept(answer.body), answer.status, answer.headers))
        await self._finish(keeping)
        return response

    async def _finish(self, response: Response) -> None:
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        try:
            await idempotency.finish(
                self._pool,
                self._key_id,
                self._key,
                status=response.status_code,
                headers=headers,
                body=bytes(response.body),
            )
        except FAILURES as error:
            # It will be done again when asked again, under the same name: that does nothing more.
            LOG.warning("An answer was not kept: %r", error, extra=context(key=self._key_id))

    async def _abandon(self) -> None:
        try:
            await idempotency.abandon(self._pool, self._key_id, self._key)
        except FAILURES as error:
            LOG.warning("A request was not given back: %r", error, extra=context(key=self._key_id))
