"""POST /interactions: raw ASGI, because every request of Discord runs through it.

The order: read (bounded), verify, decode, route, hand over and wait, respond, confirm. Whatever happens to a signed
interaction, its person gets a response with a sentence.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from prometheus_client import Counter
from starlette.types import Receive, Scope, Send

from interactions.answering import VOID_AFTER_MS, Answering
from interactions.commands import Catalogue
from interactions.commands.declare import Button, Command
from interactions.commands.forms import Form
from interactions.discord import respond
from interactions.discord.decode import MAX_BODY, ChoicesWanted, Interaction, ModalSubmitted, Ping, decode
from interactions.discord.route import Target, label, route
from interactions.discord.verify import Verifier
from interactions.memory import Memory
from tonearm.discord.snowflake import made_ms
from tonearm.errors import Away, InvalidInteraction, RedisAway, Refused
from tonearm.jobs.errand import AnyErrand, AnyJob, ErrandJob
from tonearm.jobs.job import Job, Reply
from tonearm.music.actions import AnyAction
from tonearm.sentences import Sentence
from tonearm.telemetry import ANSWER_SECONDS, ANSWERS, INTERACTIONS, context

LOG = logging.getLogger("tonearm.interactions")

BODY_TIMEOUT = 2.0
"""Seconds within which a body that comes in pieces has to be here."""

_Headers = list[tuple[bytes, bytes]]
_JSON = (b"content-type", b"application/json")
_TRACE_LENGTH = 55


class Handled(msgspec.Struct, frozen=True):
    """The response, how it is counted, and the job to confirm once it is written."""

    body: bytes
    outcome: str
    status: int = 200
    confirm: AnyJob | None = None


class Endpoint:
    """The ASGI application behind ``POST /interactions``. ``clock`` tells the time in seconds since 1970."""

    def __init__(
        self,
        verifier: Verifier,
        catalogue: Catalogue,
        memory: Memory,
        answering: Answering,
        reply_channel: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._verified = verifier
        self._bad_signature = Handled(verifier.refusal, "bad_signature", 401)
        self._catalogue = catalogue
        self._memory = memory
        self._answering = answering
        self._reply_channel = reply_channel
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
            await _send(send, _problem(error), closing=True)
            return
        if body is None:  # whoever asked is gone
            return
        if not self._verified(signature, timestamp, body):
            self._counters.count("unknown", "bad_signature")
            await _send(send, self._bad_signature)
            return
        try:
            interaction = decode(body)
        except InvalidInteraction as error:
            self._counters.count("unknown", "invalid")
            await _send(send, _problem(error))
            return
        await self._answer(interaction, trace, receive, send)

    async def _answer(self, interaction: Interaction, trace: bytes | None, receive: Receive, send: Send) -> None:
        handled = await self._handle(interaction, trace)
        job = handled.confirm
        # A response to a closed connection is written nowhere, and the answer stays owed.
        if job is not None and _is_gone(receive):
            job = None
        await _send(send, handled)
        ANSWER_SECONDS.observe(max(0.0, self._clock() - made_ms(interaction.id) / 1000))
        self._counters.count(_name(self._catalogue, interaction), handled.outcome)
        if job is not None:
            try:
                await self._memory.confirm(job)
            except RedisAway:
                ANSWERS.labels("unconfirmed").inc()

    async def _handle(self, interaction: Interaction, trace: bytes | None) -> Handled:
        if type(interaction) is Ping:
            return _PONG
        if type(interaction) is ChoicesWanted:
            return _NO_CHOICES
        try:
            age_ms = int(self._clock() * 1000) - made_ms(interaction.id)
            if age_ms > VOID_AFTER_MS:
                return Handled(respond.sentence(Sentence.TOO_LATE.format(seconds=age_ms // 1000)), "void")
            target = route(self._catalogue, self._memory, interaction)
            result = target.declared.handler(target.call, **target.arguments)
            if isinstance(result, Coroutine):
                return Handled(_shown(target, await result), "read")
            if isinstance(result, Form):
                return Handled(respond.form(result.declaration()), "answered")
            job = self._job(interaction, target, result, trace)
            answered = await self._answering.answer(job, age_ms)
            return Handled(answered.body, answered.outcome, confirm=job if answered.confirm else None)
        except Refused as refusal:
            return Handled(respond.sentence(str(refusal)), "refused")
        except Away as away:
            LOG.warning("not done", extra=context(interaction=interaction.id, error=away.detail))
            return Handled(respond.sentence(str(away)), "away")
        except InvalidInteraction as error:
            return _problem(error)
        except Exception:
            LOG.exception("an interaction failed", extra=context(interaction=interaction.id))
            return Handled(respond.sentence(Sentence.INTERNAL.format(id=interaction.id)), "failed")

    def _job(
        self, interaction: Interaction, target: Target, action: AnyAction | AnyErrand, trace: bytes | None
    ) -> AnyJob:
        declared, call = target.declared, target.call
        reply = Reply(
            interaction.application_id,
            interaction.token,
            self._reply_channel,
            private=isinstance(declared, Command) and declared.private,
            component=isinstance(declared, Button)
            or (isinstance(interaction, ModalSubmitted) and interaction.message is not None),
        )
        id = f"i:{interaction.id}"
        traced = trace.decode() if trace is not None and len(trace) == _TRACE_LENGTH and trace.isascii() else None
        about = (declared.valid_ms, reply, traced)
        if isinstance(action, AnyErrand):
            return ErrandJob(id, call.guild, call.user, call.channel, action, *about)
        return Job(id, call.guild, call.user, call.channel, action, *about)


class _Counters:
    """The children of the counter, looked up once each."""

    def __init__(self) -> None:
        self._children: dict[tuple[str, str], Counter] = {}

    def count(self, command: str, outcome: str) -> None:
        child = self._children.get((command, outcome))
        if child is None:
            child = self._children[command, outcome] = INTERACTIONS.labels(command, outcome)
        child.inc()


def _shown(target: Target, message: dict[str, Any]) -> bytes:
    declared = target.declared
    if isinstance(declared, Command):
        return respond.message(message, private=declared.private)
    assert isinstance(declared, Button)
    return respond.message(message, private=True, updates=declared.updates)


def _name(catalogue: Catalogue, interaction: Interaction) -> str:
    if type(interaction) is Ping:
        return "ping"
    return label(catalogue, interaction)


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


def _problem(error: InvalidInteraction) -> Handled:
    return Handled(msgspec.json.encode({"error": str(error)}), "invalid", error.status)


async def _send(send: Send, handled: Handled, *, closing: bool = False) -> None:
    headers: _Headers = [_JSON, (b"content-length", b"%d" % len(handled.body))]
    if closing:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": handled.status, "headers": headers})
    await send({"type": "http.response.body", "body": handled.body})


_PONG = Handled(respond.PONG, "answered")
_NO_CHOICES = Handled(respond.NO_CHOICES, "answered")
