"""What actors see: messages, and the replies to what they did."""

from __future__ import annotations

import base64
from typing import Any

from playground.twin.checks import BUTTON, SELECTS, walk
from playground.twin.client import Link, TwinError
from playground.twin.messages import texts
from playground.twin.model import Json


class Unanswered(AssertionError):
    """An interaction did not come to the end that was waited for."""


class SeenMessage:
    """A message as it was when it was looked at.

    Attributes:
        raw: Discord's message object, with ``guild_id``, ``ephemeral``, ``loading`` and ``edits``.
        ephemeral: only one person sees it.
        loading: it says "is thinking...".
        edits: how often it was edited; a deferred answer's first content counts as one.
    """

    def __init__(self, raw: Json) -> None:
        self.raw = raw
        self.id: str = raw["id"]
        self.channel_id: str = raw["channel_id"]
        self.author_id: str = raw["author"]["id"]
        self.flags: int = raw["flags"]
        self.ephemeral: bool = raw["ephemeral"]
        self.loading: bool = raw["loading"]
        self.edits: int = raw["edits"]
        self.components: list[Json] = raw["components"]

    @property
    def text(self) -> str:
        """Everything there is to read: content, embeds and text displays, line by line."""
        lines = [self.raw["content"]]
        for embed in self.raw["embeds"]:
            lines += [embed.get("author", {}).get("name"), embed.get("title"), embed.get("description")]
            for each in embed.get("fields", []):
                lines += [each.get("name"), each.get("value")]
            lines.append(embed.get("footer", {}).get("text"))
        lines += [each["content"] for each in texts(self.components)]
        return "\n".join(line for line in lines if line)

    @property
    def buttons(self) -> list[Json]:
        """All buttons, in the order of the screen."""
        return [each for each, _ in walk(self.components) if each.get("type") == BUTTON]

    @property
    def selects(self) -> list[Json]:
        """All selects, in the order of the screen."""
        return [each for each, _ in walk(self.components) if each.get("type") in SELECTS]

    def button(self, which: str) -> Json:
        """Return a button by custom id or label.

        Raises:
            LookupError: there is none.
        """
        for each in self.buttons:
            if which in (each.get("custom_id"), each.get("label")):
                return each
        raise LookupError(f"no button {which!r}; there are {[each.get('label') for each in self.buttons]}")

    def __repr__(self) -> str:
        return f"<message {self.id}{' ephemeral' if self.ephemeral else ''}: {self.text!r}>"


class RawReply:
    """The HTTP answer to something that was sent raw. Times are CLOCK_MONOTONIC in nanoseconds.

    Attributes:
        status: None when there was no answer; ``error`` says why.
    """

    def __init__(self, raw: Json, body: bytes) -> None:
        self.status: int | None = raw["status"]
        self.headers: dict[str, str] = raw["headers"]
        self.body = body
        self.error: str | None = raw["error"]
        self.sent_at_ns: int = raw["sent_at_ns"]
        self.written_at_ns: int | None = raw["written_at_ns"]
        self.answered_at_ns: int | None = raw["answered_at_ns"]


class Reply:
    """The answer to an interaction, as far as it has come. Times are CLOCK_MONOTONIC in nanoseconds.

    Attributes:
        interaction_id: id of the interaction.
        type: type of the first answer; None when it failed.
        status: HTTP status of the first answer; None without one, and by gateway.
        failed: the sentence the user sees when the interaction failed, else None; ``reason`` says why.
        sent_at_ns, written_at_ns, answered_at_ns: sending began; the last byte was written; the answer was read.
        elapsed_ms: from the beginning of the sending to the answer read.
        message: what shows the answer now; None until there is something, and when it was deleted.
        followups: the follow-up messages there are.
        original_deleted: the original message was deleted.
        choices: suggestions, after an autocomplete.
        modal: the modal's data, when one was opened.
        second: the answer to a second delivery of the same bytes.
    """

    def __init__(self, link: Link, raw: Json) -> None:
        self._link = link
        self.second: RawReply | None = None
        self._take(raw)

    def _take(self, raw: Json) -> None:
        self.interaction_id: str = raw["interaction_id"]
        self.token: str = raw["token"]
        self.type: int | None = raw["type"]
        self.status: int | None = raw["status"]
        self.failed: str | None = raw["failure"]
        self.reason: str | None = raw["reason"]
        self.ended: bool = raw["ended"]
        self.sent_at_ns: int = raw["sent_at_ns"]
        self.written_at_ns: int | None = raw["written_at_ns"]
        self.answered_at_ns: int | None = raw["answered_at_ns"]
        self.elapsed_ms: float | None = raw["elapsed_ms"]
        self.original_deleted: bool = raw["original_deleted"]
        self.message = SeenMessage(raw["message"]) if raw["message"] else None
        self.followups = [SeenMessage(each) for each in raw["followups"] if each]
        self.choices: list[Json] = raw["choices"] or []
        self.modal: Json | None = raw["modal"]

    async def refresh(self) -> Reply:
        """Look again."""
        self._take(await self._link.call("reply", interaction=self.interaction_id))
        return self

    async def answer(self, timeout: float = 5.0) -> SeenMessage:
        """Wait until the user sees the outcome, and return the message that shows it.

        That is the original once it no longer says "is thinking..."; where the original was deleted, the last
        follow-up; after a deferred update, the message with its first edit.

        Raises:
            Unanswered: it failed, it did not end in ``timeout`` seconds, or nothing shows an answer.
        """
        if not self.ended:
            self._take(
                await self._link.call("wait_ended", wait=timeout, interaction=self.interaction_id, timeout=timeout)
            )
        if self.failed is not None:
            raise Unanswered(f"{self.failed} ({self.reason})")
        if not self.ended:
            raise Unanswered(f"after {timeout:g} s the answer of type {self.type} still shows {self.message!r}")
        if self.message is None:
            raise Unanswered(f"an answer of type {self.type} shows no message")
        return self.message

    async def payload(self) -> Json:
        """Return the interaction's payload."""
        found: Json = await self._link.call("payload", interaction=self.interaction_id)
        return found

    async def again(self) -> RawReply:
        """Deliver the interaction once more, newly signed; what comes of it changes nothing in the twin."""
        return raw_reply(await self._link.call("again", interaction=self.interaction_id))

    async def submit(self, **fields: Any) -> Reply:
        """Fill in and submit the modal this opened; fields by custom id. See :meth:`submit_fields` for labels."""
        return await self.submit_fields(fields)

    async def submit_fields(self, fields: Json) -> Reply:
        """Fill in and submit the modal this opened; fields by custom id or label.

        Raises:
            TwinError: no modal is open, or the fields don't fit.
        """
        return Reply(
            self._link, await self._link.call("submit", wait=5, interaction=self.interaction_id, fields=fields)
        )

    def __repr__(self) -> str:
        return f"<reply type={self.type} failed={self.failed!r} reason={self.reason!r} message={self.message!r}>"


def raw_reply(raw: Json | None) -> RawReply:
    """Return what the control API says of a raw request as an object."""
    if raw is None:
        raise TwinError("there is nothing to tell of")
    return RawReply(raw, base64.b64decode(raw["body"]))
