"""What becomes of an interaction: route it, hand its job over, wait for the answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from interactions.answering import VOID_AFTER_MS, Answering
from interactions.commands import Catalogue
from interactions.commands.declare import Button, Command
from interactions.commands.forms import Form
from interactions.discord import respond
from interactions.discord.decode import Interaction, ModalSubmitted
from interactions.discord.endpoint import Handled, problem
from interactions.discord.route import Target, label, route
from interactions.memory import Memory
from tonearm.discord.snowflake import made_ms
from tonearm.errors import Away, InvalidInteraction, Refused
from tonearm.jobs.errand import AnyErrand, AnyJob, ErrandJob
from tonearm.jobs.job import Job, Reply
from tonearm.music.actions import AnyAction
from tonearm.sentences import Sentence
from tonearm.telemetry import context

if TYPE_CHECKING:
    from interactions.replies import ReplyPath

LOG = logging.getLogger("tonearm.interactions")

_TRACE_LENGTH = 55


class CommandHandling:
    """By the commands of ``catalogue``. Answers are waited for ``inline_reply_ms`` at most; 0 never waits.

    ``clock`` tells the time in seconds since 1970.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        memory: Memory,
        replies: ReplyPath,
        *,
        inline_reply_ms: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalogue = catalogue
        self._memory = memory
        self._answering = Answering(memory, replies, inline_reply_ms)
        self._reply_to = replies.to
        self._clock = clock

    def label(self, interaction: Interaction) -> str:
        """Its name among the metrics: bounded, whatever is sent."""
        return label(self._catalogue, interaction)

    async def confirm(self, job: AnyJob) -> None:
        """See :meth:`interactions.memory.Memory.confirm`.

        Raises:
            RedisAway: Redis doesn't answer; the answer will be edited in once more, which changes nothing.
        """
        await self._memory.confirm(job)

    async def handle(self, interaction: Interaction, trace: bytes | None) -> Handled:
        """Whatever happens, its person gets a response with a sentence."""
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
            LOG.warning("not done", extra=context(**_about(interaction), error=away.detail))
            return Handled(respond.sentence(str(away)), "away")
        except InvalidInteraction as error:
            return problem(error)
        except Exception:
            LOG.exception("an interaction failed", extra=context(**_about(interaction)))
            return Handled(respond.sentence(Sentence.INTERNAL.format(id=interaction.id)), "failed")

    def _job(
        self, interaction: Interaction, target: Target, action: AnyAction | AnyErrand, trace: bytes | None
    ) -> AnyJob:
        declared, call = target.declared, target.call
        reply = Reply(
            interaction.application_id,
            interaction.token,
            self._reply_to,
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


def _about(interaction: Interaction) -> dict[str, object]:
    """Which one a line of the log is about."""
    return {"interaction": interaction.id, "job": f"i:{interaction.id}", "guild": interaction.guild_id}


def _shown(target: Target, message: dict[str, Any]) -> bytes:
    declared = target.declared
    if isinstance(declared, Command):
        return respond.message(message, private=declared.private)
    assert isinstance(declared, Button)
    return respond.message(message, private=True, updates=declared.updates)
