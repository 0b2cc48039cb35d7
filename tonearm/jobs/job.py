"""A job: what the HTTP side hands to the node that owns the guild's shard."""

from __future__ import annotations

from typing import Any

import msgspec

from tonearm.music.actions import AnyAction
from tonearm.music.saved import AnySaved

PLAY_VALID_MS = 60_000
CONTROL_VALID_MS = 20_000
"""How long after its hand-over a job may still be done."""


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the answer of an interaction reaches its person.

    ``to`` is the pub/sub channel on which the process that took the interaction waits, or
    :data:`tonearm.redis.keys.BY_LIST`. ``private`` is the visibility that a deferral of it has; ``component`` tells an
    edit of the message with the button from a new message. ``text_channel`` is where a lasting answer is posted when
    the token has died; 0 for nowhere. ``trace`` is a W3C traceparent.
    """

    application: int
    token: str
    to: str
    private: bool = False
    component: bool = False
    text_channel: int = 0
    trace: str | None = None


WHERE_IT_PLAYS = 0
"""A job's ``voice_channel`` that means the player's own."""


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something to be done once.

    ``id`` is derived from what caused it (``i:<interaction id>``), never random. ``valid_ms`` counts from hand-over,
    by Redis' clock. ``trace`` is a W3C traceparent. ``result_to`` is there where a script asked and no interaction: the
    pub/sub channel on which its :class:`Result` is told. ``voice_channel`` is where its caller acts as though they were
    there (or :data:`WHERE_IT_PLAYS`); without one, their own counts.
    """

    id: str
    guild: int
    user: int
    text_channel: int
    action: AnyAction | AnySaved
    valid_ms: int
    reply: Reply | None = None
    trace: str | None = None
    result_to: str | None = None
    voice_channel: int | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for its end."""
        return self.reply is not None or self.result_to is not None


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job that was given up: its id, why, and when by Redis' clock.

    ``job`` is ``None`` when it could not be read, or was an errand, which is then in ``errand``. No token: it lacks its
    reply, so nobody hears of it when it is handed over again.
    """

    id: str
    guild: int
    reason: str
    at_ms: int
    job: Job | None = None
    errand: dict[str, Any] | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the person is to see.

    ``message`` is the body of a Discord message, rendered. ``private`` answers are for the caller only, whatever the
    visibility of the deferral; ``lasting`` ones tell of a change that outlives the interaction, so they are posted to
    the channel when the interaction's token has died.
    """

    message: msgspec.Raw
    private: bool = False
    lasting: bool = False


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a job ended for which no interaction waits; kept in its record for an hour.

    ``outcome`` is ``done``, ``refused`` (``reason`` is the sentence) or ``failed`` (given up, with its reason in the
    dead letters). ``code`` is the name of the sentence. ``told`` is what a person would have been told of.
    """

    outcome: str
    code: str = ""
    reason: str = ""
    told: msgspec.Raw = msgspec.Raw(b"null")


_encoder = msgspec.json.Encoder()
encode = _encoder.encode
decode_job = msgspec.json.Decoder(Job).decode
decode_dead = msgspec.json.Decoder(DeadLetter).decode
decode_result = msgspec.json.Decoder(Result).decode
decode_answer = msgspec.json.Decoder(Answer).decode
