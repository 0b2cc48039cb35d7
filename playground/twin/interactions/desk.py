"""Where interactions leave the twin and their first answers come back: by HTTP, or through the gateway."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from playground.twin.errors import DiscordError, NotPossible
from playground.twin.interactions.answering import Answers
from playground.twin.interactions.records import ANSWER_WITHIN, Interaction
from playground.twin.interactions.sending import Headers, Sender, Sent, Signer
from playground.twin.journal import Journal
from playground.twin.model import Json
from playground.twin.world import World


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an interaction is sent where it is not sent plainly.

    Attributes:
        twice: send the same bytes again, at once, as a network may; the answer that comes first counts, unless it is
            none and the other is one.
        timestamp: sign for this Unix time instead of now.
    """

    twice: bool = False
    timestamp: int | None = None


class Desk:
    """Sends interactions and waits for their first answers.

    Attributes:
        url: where interactions are posted; None sends them through the gateway.
    """

    def __init__(self, world: World, answers: Answers, journal: Journal, signer: Signer) -> None:
        self.url: str | None = None
        self.signer = signer
        self._world = world
        self._answers = answers
        self._journal = journal
        self._sender = Sender()
        self._waiting: dict[int, asyncio.Event] = {}

    async def close(self) -> None:
        """Close the connections to the receiver."""
        await self._sender.close()

    async def send(self, interaction: Interaction, delivery: Delivery) -> Sent | None:
        """Deliver an interaction and judge its first answer; return what came of the delivery that did not count.

        Raises:
            NotPossible: a PING needs an interactions URL.
        """
        about = {"id": str(interaction.id), "type": int(interaction.kind), "data": interaction.payload.get("data")}
        self._journal.add("interaction", "interaction_create", about)
        if self.url is None:
            if interaction.guild_id == 0:
                raise NotPossible("there is no interactions URL to ping")
            await self._through_gateway(interaction)
            return None
        body = msgspec.json.encode(interaction.payload)
        headers = self.signer.headers(body, delivery.timestamp)
        if not delivery.twice:
            self._take(interaction, await self._sender.post(self.url, body, headers, seconds=ANSWER_WITHIN))
            return None
        posts = [self._sender.post(self.url, body, headers, seconds=ANSWER_WITHIN) for _ in range(2)]
        first, second = asyncio.as_completed(posts)
        one = await first
        if one.status == HTTPStatus.OK:
            self._take(interaction, one)
            return await second
        two = await second
        counts, other = (two, one) if two.status == HTTPStatus.OK else (one, two)
        self._take(interaction, counts)
        return other

    async def again(self, interaction: Interaction) -> Sent:
        """Deliver an interaction once more, newly signed; its answer changes nothing.

        Raises:
            NotPossible: there is no interactions URL.
        """
        body = msgspec.json.encode(interaction.payload)
        return await self.raw(body, self.signer.headers(body))

    async def raw(self, body: bytes, headers: Headers, *, seconds: float = 10.0) -> Sent:
        """POST anything to the interactions URL.

        Raises:
            NotPossible: there is no interactions URL.
        """
        if self.url is None:
            raise NotPossible("there is no interactions URL")
        return await self._sender.post(self.url, body, headers, seconds=seconds)

    def _take(self, interaction: Interaction, sent: Sent) -> None:
        interaction.status = sent.status
        interaction.sent_at_ns, interaction.written_at_ns = sent.sent_at_ns, sent.written_at_ns
        interaction.answered_at_ns = sent.answered_at_ns
        if sent.error is not None:
            self._answers.fail(interaction, sent.error)
            return
        if sent.status == 202:
            if interaction.answered is None:
                self._answers.fail(interaction, "202, and no call of the callback endpoint before")
            return
        if sent.status != 200:
            self._answers.fail(interaction, f"HTTP status {sent.status}")
            return
        content_type = sent.headers.get("content-type", "").split(";")[0].strip()
        if content_type != "application/json":
            self._answers.fail(interaction, f"content type {content_type!r}", violation=True)
            return
        try:
            body = msgspec.json.decode(sent.body)
        except msgspec.DecodeError as error:
            self._answers.fail(interaction, f"not JSON: {error}", violation=True)
            return
        try:
            self.answered(interaction, body)
        except DiscordError as error:
            self._answers.fail(interaction, f"{error.args[0]}; it was {sent.body[:500]!r}", violation=True)

    def answered(self, interaction: Interaction, body: Json) -> None:
        """Take a first answer, from HTTP or from the callback endpoint.

        Raises:
            DiscordError: 40060, it has been answered; 10062, it is too late; 50035, the answer breaks a rule.
        """
        if interaction.answered is not None:
            raise DiscordError(400, 40060, "Interaction has already been acknowledged.", violation=True)
        if interaction.failure is not None:
            raise DiscordError(404, 10062, "Unknown interaction")
        self._answers.accept(interaction, body)
        if (waiting := self._waiting.get(interaction.id)) is not None:
            interaction.answered_at_ns = time.monotonic_ns()
            waiting.set()

    async def _through_gateway(self, interaction: Interaction) -> None:
        waiting = self._waiting[interaction.id] = asyncio.Event()
        interaction.sent_at_ns = time.monotonic_ns()
        self._world.emit("INTERACTION_CREATE", interaction.guild_id, interaction.payload)
        interaction.written_at_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                await waiting.wait()
        except TimeoutError:
            self._answers.fail(interaction, f"no answer within {ANSWER_WITHIN:g} s")
        finally:
            del self._waiting[interaction.id]
