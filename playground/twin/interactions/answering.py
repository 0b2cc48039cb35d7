"""Judging the answers to interactions, and showing them.

From the Discord documentation, "Responding to an Interaction" and "Followup Messages".
"""

from __future__ import annotations

from typing import Any

from playground.twin import payloads
from playground.twin.checks import check_modal
from playground.twin.command_checks import check_choices
from playground.twin.errors import DiscordError, Problem, invalid_form, unknown
from playground.twin.interactions.records import Answer, Interaction, Interactions, Kind
from playground.twin.journal import Journal
from playground.twin.messages import Messages
from playground.twin.model import Json, Message, MessageFlag
from playground.twin.schemas import Schemas
from playground.twin.world import World

NO_RESPONSE = "The application did not respond"
"""The sentence under a command that failed."""

ALLOWED = {
    Kind.PING: {Answer.PONG},
    Kind.COMMAND: {Answer.MESSAGE, Answer.DEFERRED_MESSAGE, Answer.MODAL},
    Kind.COMPONENT: {
        Answer.MESSAGE,
        Answer.DEFERRED_MESSAGE,
        Answer.DEFERRED_UPDATE,
        Answer.UPDATE,
        Answer.MODAL,
    },
    Kind.AUTOCOMPLETE: {Answer.CHOICES},
    Kind.MODAL_SUBMIT: {Answer.MESSAGE, Answer.DEFERRED_MESSAGE, Answer.DEFERRED_UPDATE, Answer.UPDATE},
}
"""Which answers an interaction takes; updates after a modal only where a message opened it."""


class Answers:
    """Takes answers, edits and follow-ups.

    Attributes:
        refuse_early_edits: how many edits after a deferral are answered with 404.
        refuse_early_seconds: for how many seconds after a deferral edits are answered with 404.
    """

    def __init__(
        self, world: World, messages: Messages, records: Interactions, journal: Journal, schemas: Schemas
    ) -> None:
        self.refuse_early_edits = 0
        self.refuse_early_seconds = 0.0
        self._world = world
        self._messages = messages
        self._records = records
        self._journal = journal
        self._schemas = schemas

    # --- the first answer --------------------------------------------------------------------------------------------

    def fail(self, interaction: Interaction, reason: str, *, violation: bool = False) -> None:
        """Let an interaction fail: the user reads a sentence, the token is void."""
        interaction.failure, interaction.reason = NO_RESPONSE, reason
        about = {"id": str(interaction.id), "reason": reason}
        if violation:
            self._journal.violation("interaction_answer", reason, id=str(interaction.id))
        self._journal.add("interaction", "interaction_failed", about)

    def accept(self, interaction: Interaction, body: Any) -> None:
        """Judge the first answer and show it.

        Raises:
            DiscordError: the answer breaks a rule; nothing is shown then.
        """
        problems = self._judge(interaction, body)
        if problems:
            raise invalid_form(problems)
        interaction.response = body
        interaction.answered = self._world.clock.now()
        try:
            self._show(interaction, Answer(body["type"]), body.get("data") or {})
        except DiscordError:
            interaction.response = interaction.answered = None
            raise
        self._changed(interaction, "interaction_answered", type=body["type"])

    def _judge(self, interaction: Interaction, body: Any) -> list[Problem]:
        if not isinstance(body, dict) or not isinstance(body.get("type"), int):
            return [Problem(("type",), "BASE_TYPE_REQUIRED", "an answer is an object with a type")]
        kind, data = body["type"], body.get("data") or {}
        allowed = ALLOWED[interaction.kind]
        if interaction.kind == Kind.MODAL_SUBMIT and interaction.source is None:
            allowed = allowed - {Answer.DEFERRED_UPDATE, Answer.UPDATE}
        if kind not in allowed:
            message = f"type {kind} is no answer to an interaction of type {int(interaction.kind)}"
            return [Problem(("type",), "INTERACTION_APPLICATION_COMMAND_INVALID_TYPE", message)]
        problems = self._schemas.response(body)
        if kind == Answer.DEFERRED_MESSAGE and (
            set(data) - {"flags"} or (data.get("flags") or 0) & ~MessageFlag.EPHEMERAL
        ):
            problems.append(Problem(("data",), "DEFERRAL_DATA", "a deferral takes only the EPHEMERAL flag"))
        elif kind in (Answer.DEFERRED_UPDATE, Answer.PONG) and data:
            problems.append(Problem(("data",), "DEFERRAL_DATA", f"type {kind} takes no data"))
        elif kind == Answer.CHOICES:
            problems += check_choices(data.get("choices") or [], interaction.focused, ("data", "choices"))
        elif kind == Answer.MODAL:
            problems += check_modal(data)
        return problems

    def _show(self, interaction: Interaction, kind: Answer, data: Json) -> None:
        if kind in (Answer.MESSAGE, Answer.DEFERRED_MESSAGE):
            ephemeral = bool((data.get("flags") or 0) & MessageFlag.EPHEMERAL)
            made = self._create(interaction, data, ephemeral=ephemeral, loading=kind == Answer.DEFERRED_MESSAGE)
            interaction.original = made.id
        elif kind == Answer.UPDATE:
            source = self._messages.find(interaction.source)
            if source is None:
                raise unknown("Message")
            self._messages.edit(source, data)
            interaction.updates += 1

    def _create(self, interaction: Interaction, body: Json, *, ephemeral: bool, loading: bool = False) -> Message:
        channel = self._world.channels[interaction.channel_id]
        return self._messages.create(
            channel,
            self._world.bot.id,
            body,
            ephemeral_for=interaction.user_id if ephemeral else None,
            interaction_id=interaction.id,
            metadata=self._metadata(interaction),
            loading=loading,
        )

    def _metadata(self, interaction: Interaction) -> Json:
        user = payloads.user(self._world.users[interaction.user_id])
        owners = interaction.payload["authorizing_integration_owners"]
        kind = interaction.kind
        about: Json = {"id": str(interaction.id), "type": int(kind), "user": user}
        about["authorizing_integration_owners"] = owners
        if kind == Kind.COMPONENT:
            about["interacted_message_id"] = str(interaction.source)
        elif kind == Kind.MODAL_SUBMIT:
            opener: Json = {"id": str(interaction.id), "user": user, "authorizing_integration_owners": owners}
            if interaction.source is not None:
                opener |= {"type": 3, "interacted_message_id": str(interaction.source)}
            else:
                opener["type"] = 2
            about["triggering_interaction_metadata"] = opener
        return about

    # --- what comes after --------------------------------------------------------------------------------------------

    def usable(self, token: str, *, editing: bool = False) -> Interaction:
        """Return the interaction a token belongs to, if the token is good.

        Raises:
            DiscordError: 404 10015 before the first answer was received and after a failure; 401 50027 when the token
                is older than 15 minutes.
        """
        interaction = self._records.by_token(token)
        if interaction is None or interaction.failure is not None or interaction.answered is None:
            raise unknown("Webhook")
        if self._records.expired(interaction):
            raise DiscordError(401, 50027, "Invalid Webhook Token")
        if editing and interaction.type in (Answer.DEFERRED_MESSAGE, Answer.DEFERRED_UPDATE):
            since = self._world.clock.now() - interaction.answered
            if interaction.early_edits < self.refuse_early_edits or since < self.refuse_early_seconds:
                interaction.early_edits += 1
                raise unknown("Webhook")
        return interaction

    def original(self, interaction: Interaction) -> Message:
        """Return the message that ``@original`` means.

        Raises:
            DiscordError: 10008, there is none, or it was deleted.
        """
        message = self._messages.find(interaction.original)
        if message is None:
            raise unknown("Message")
        return message

    def followup_message(self, interaction: Interaction, message_id: int) -> Message:
        """Return a message made with this token.

        Raises:
            DiscordError: 10008, there is none.
        """
        if message_id not in (interaction.original, *interaction.followups):
            raise unknown("Message")
        return self._messages.get(message_id)

    def edit(self, interaction: Interaction, message: Message, body: Json) -> None:
        """Edit a message made with a token.

        Raises:
            DiscordError: 50035, the body breaks a rule.
        """
        self._messages.edit(message, body)
        if message.id == interaction.original:
            interaction.updates += 1
        self._changed(interaction, "interaction_edited", message_id=str(message.id))

    def delete(self, interaction: Interaction, message: Message) -> None:
        """Delete a message made with a token."""
        self._messages.delete(message)
        if message.id == interaction.original:
            interaction.original_deleted = True
        self._changed(interaction, "interaction_deleted", message_id=str(message.id))

    def follow_up(self, interaction: Interaction, body: Json) -> Message:
        """Make a follow-up message. The first one after a type 5 edits the loading message instead (deprecated).

        Raises:
            DiscordError: 50035, the body breaks a rule.
        """
        original = self._messages.find(interaction.original)
        if original is not None and original.loading:
            self.edit(interaction, original, {key: value for key, value in body.items() if key != "flags"})
            return original
        ephemeral = bool((body.get("flags") or 0) & MessageFlag.EPHEMERAL)
        made = self._create(interaction, body, ephemeral=ephemeral)
        interaction.followups.append(made.id)
        self._changed(interaction, "interaction_followed_up", message_id=str(made.id))
        return made

    def ended(self, interaction: Interaction) -> bool:
        """Return whether the user sees the final outcome of an interaction."""
        original = self._messages.find(interaction.original)
        loading = original is not None and original.loading
        return interaction.ended(bool(interaction.followups), loading)

    def _changed(self, interaction: Interaction, name: str, **more: Any) -> None:
        self._journal.add("interaction", name, {"id": str(interaction.id), **more})
