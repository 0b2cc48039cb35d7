"""POST /interactions: raw ASGI, because every request of Discord runs through it.

The order: read (bounded), verify, decode, have it handled, respond, confirm.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Protocol

import msgspec

from interactions.discord.at_once import NO_CHOICES, PONG
from interactions.discord.decode import MAX_BODY, ChoicesWanted, Interaction, Ping, decode
from interactions.discord.verify import Verifier
from tonearm.discord.snowflake import made_ms
from tonearm.errors import InvalidInteraction, RedisAway
from tonearm.telemetry import ANSWER_SECONDS, ANSWERS, FIRST_ANSWERS, INTERACTIONS, SIGNATURES_REFUSED

if TYPE_CHECKING:
    from prometheus_client import Counter
    from starlette.types import Receive, Scope, Send

    from tonearm.jobs.errand import AnyJob

BODY_TIMEOUT = 2.0
"""Seconds within which a body that comes in pieces has to be here."""

IN_TIME = 3.0
"""Seconds after the making of an interaction in which Discord takes its first answer."""

_Headers = list[tuple[bytes, bytes]]
_JSON = (b"content-type", b"application/json")


class Handled(msgspec.Struct, frozen=True):
    """The response, how it is counted, and the job to confirm once it is written."""

    body: bytes
    outcome: str
    status: int = 200
    confirm: AnyJob | None = None


class Handling(Protocol):
    """What becomes of an interaction that is neither a PING nor an autocompletion."""

    async def handle(self, interaction: Interaction, trace: bytes | None) -> Handled:
        """Never raises: whoever sent it gets a sentence."""

    def label(self, interaction: Interaction) -> str:
        """Its name among the metrics: bounded, whatever is sent."""

    async def confirm(self, job: AnyJob) -> None:
        """The response with the answer of ``job`` is written.

        Raises:
            RedisAway: Redis doesn't answer; the answer will be edited in once more, which changes nothing.
        """


class Endpoint:
    """The ASGI application behind ``POST /interactions``.

    ``handling`` is asked for when it is first needed. ``clock`` tells the time in seconds since 1970.
    """

    def __init__(
        self, verifier: Verifier, handling: Callable[[], Handling], clock: Callable[[], float] = time.time
    ) -> None:
        self._verified = verifier
        self._handling = handling
        self._clock = clock
        self._counters = _Counters()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        signature = timestamp = trace = None
        for name, value in scope["headers"]:
            if name == b"x-signature-ed25519":
                signature = value if signature is None else b""  # given twice, it is none
            elif name == b"x-signature-timestamp":
                timestamp = value if timestamp is None else b""
            elif name == b"traceparent":
                trace = value
        try:
            body = await _read(receive)
        except InvalidInteraction as error:
            self._counters.count("unknown", "invalid")
            await _send(send, problem(error), closing=True)
            return
        if body is None:  # whoever asked is gone
            return
        if not self._verified(signature, timestamp, body):
            self._counters.count("unknown", "bad_signature")
            SIGNATURES_REFUSED.inc()
            await _send(send, Handled(self._verified.refusal, "bad_signature", 401))
            return
        try:
            interaction = decode(body)
        except InvalidInteraction as error:
            self._counters.count("unknown", "invalid")
            await _send(send, problem(error))
            return
        if type(interaction) is Ping:
            await self._respond(send, Handled(PONG, "answered"), interaction, "ping")
        elif type(interaction) is ChoicesWanted:
            await self._respond(send, Handled(NO_CHOICES, "answered"), interaction, "unknown")
        else:
            await self._answer(self._handling(), interaction, trace, receive, send)

    async def _answer(
        self, handling: Handling, interaction: Interaction, trace: bytes | None, receive: Receive, send: Send
    ) -> None:
        handled = await handling.handle(interaction, trace)
        job = handled.confirm
        # A response to a closed connection is written nowhere, and the answer stays owed.
        if job is not None and _is_gone(receive):
            job = None
        await self._respond(send, handled, interaction, handling.label(interaction))
        if job is not None:
            try:
                await handling.confirm(job)
            except RedisAway:
                ANSWERS.labels("unconfirmed").inc()

    async def _respond(self, send: Send, handled: Handled, interaction: Interaction, label: str) -> None:
        await _send(send, handled)
        age_s = max(0.0, self._clock() - made_ms(interaction.id) / 1000)
        ANSWER_SECONDS.observe(age_s)
        self._counters.count(label, handled.outcome)
        if handled.status == 200:
            self._counters.count_first(handled.outcome, age_s)


class _Counters:
    """The children of the counters, looked up once each."""

    def __init__(self) -> None:
        self._children: dict[tuple[str, str], Counter] = {}
        self._first = {how: FIRST_ANSWERS.labels(how) for how in ("inline", "deferred")}
        self._direct, self._late = FIRST_ANSWERS.labels("direct"), FIRST_ANSWERS.labels("late")

    def count(self, command: str, outcome: str) -> None:
        child = self._children.get((command, outcome))
        if child is None:
            child = self._children[command, outcome] = INTERACTIONS.labels(command, outcome)
        child.inc()

    def count_first(self, outcome: str, age_s: float) -> None:
        child = self._late if age_s > IN_TIME else self._first.get(outcome, self._direct)
        child.inc()


async def _read(receive: Receive) -> bytes | None:
    """The body; ``None`` when the connection was closed.

    Raises:
        InvalidInteraction: it is too long, or does not come.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > MAX_BODY:
            raise _too_long()
        return body
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await _read_on(receive, body)
    except TimeoutError:
        raise InvalidInteraction("the body did not come") from None


async def _read_on(receive: Receive, first: bytes) -> bytes | None:
    pieces, size = [first], len(first)
    while size <= MAX_BODY:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece = message.get("body", b"")
        size += len(piece)
        pieces.append(piece)
        if not message.get("more_body", False) and size <= MAX_BODY:
            return b"".join(pieces)
    raise _too_long()


def _too_long() -> InvalidInteraction:
    return InvalidInteraction(f"longer than {MAX_BODY} bytes", status=413)


def _is_gone(receive: Receive) -> bool:
    """Whether the connection has been closed: asks once, without waiting."""
    step = receive()
    assert isinstance(step, Coroutine)
    try:
        step.send(None)
    except StopIteration as received:
        return bool(received.value["type"] == "http.disconnect")
    step.close()
    return False


def problem(error: InvalidInteraction) -> Handled:
    """What a body that is no interaction is answered with."""
    return Handled(msgspec.json.encode({"error": str(error)}), "invalid", error.status)


async def _send(send: Send, handled: Handled, *, closing: bool = False) -> None:
    headers: _Headers = [_JSON, (b"content-length", b"%d" % len(handled.body))]
    if closing:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": handled.status, "headers": headers})
    await send({"type": "http.response.body", "body": handled.body})
