"""What the twin knows of each interaction."""

from __future__ import annotations

import base64
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import IntEnum

from playground.twin.model import Json
from playground.twin.world import World

TOKEN_LIFE = 15 * 60.0
"""Seconds a token is good for after the first answer."""

ANSWER_WITHIN = 3.0
"""Seconds for the first answer."""

KEPT = 20_000
"""Interactions kept; the oldest are forgotten first."""


class Kind(IntEnum):
    """Types of interactions."""

    PING = 1
    COMMAND = 2
    COMPONENT = 3
    AUTOCOMPLETE = 4
    MODAL_SUBMIT = 5


class Answer(IntEnum):
    """Types of answers."""

    PONG = 1
    MESSAGE = 4
    DEFERRED_MESSAGE = 5
    DEFERRED_UPDATE = 6
    UPDATE = 7
    CHOICES = 8
    MODAL = 9


@dataclass(slots=True)
class Interaction:
    """One interaction and what became of it.

    Attributes:
        created: the twin's clock when it was made, in seconds.
        source: id of the message a component, or a modal opened by one, belongs to.
        focused: the type of the option an autocomplete asks about.
        response: the answer as it came, once it was accepted.
        failure: the sentence the user sees instead, once it has failed.
        reason: why it failed; for the log, nobody sees it.
        original: id of the message that ``@original`` means.
        original_deleted: that message was deleted.
        updates: edits of ``@original`` through the token, and updates by answers.
        answered: the twin's clock when the first answer came.
        early_edits: edits refused because they came just after a deferral.
        status, sent_at_ns, written_at_ns, answered_at_ns: of the HTTP request; times are CLOCK_MONOTONIC.
    """

    id: int
    token: str
    kind: Kind
    payload: Json
    guild_id: int
    channel_id: int
    user_id: int
    created: float
    source: int | None = None
    focused: int | None = None
    response: Json | None = None
    failure: str | None = None
    reason: str | None = None
    original: int | None = None
    original_deleted: bool = False
    updates: int = 0
    answered: float | None = None
    early_edits: int = 0
    followups: list[int] = field(default_factory=list)
    status: int | None = None
    sent_at_ns: int | None = None
    written_at_ns: int | None = None
    answered_at_ns: int | None = None

    @property
    def type(self) -> int | None:
        """The type of the answer, None without one."""
        return None if self.response is None else int(self.response["type"])

    def ended(self, followups_shown: bool, loading: bool) -> bool:
        """Return whether the user sees the final outcome.

        Args:
            followups_shown: a follow-up message exists.
            loading: the original still says "is thinking...".
        """
        if self.failure is not None:
            return True
        if self.type is None:
            return False
        if self.type == Answer.DEFERRED_MESSAGE:
            return followups_shown if self.original_deleted else not loading
        if self.type == Answer.DEFERRED_UPDATE:
            return self.updates > 0 or self.original_deleted or followups_shown
        return True


class Interactions:
    """All interactions, by id and by token."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._by_id: OrderedDict[int, Interaction] = OrderedDict()
        self._by_token: dict[str, Interaction] = {}

    def identity(self) -> tuple[int, str]:
        """Return a new interaction's id and token."""
        interaction_id = self._world.snowflakes.make()
        raw = f"interaction:{interaction_id}:{secrets.token_urlsafe(84)}"
        return interaction_id, base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")

    def add(self, interaction: Interaction) -> None:
        """Remember an interaction."""
        self._by_id[interaction.id] = self._by_token[interaction.token] = interaction
        if len(self._by_id) > KEPT:
            _, old = self._by_id.popitem(last=False)
            del self._by_token[old.token]

    def by_id(self, interaction_id: int) -> Interaction | None:
        """Return an interaction, or None."""
        return self._by_id.get(interaction_id)

    def by_token(self, token: str) -> Interaction | None:
        """Return the interaction of a token, or None."""
        return self._by_token.get(token)

    def expired(self, interaction: Interaction) -> bool:
        """Return whether its token is older than 15 minutes."""
        return self._world.clock.now() - interaction.created > TOKEN_LIFE
