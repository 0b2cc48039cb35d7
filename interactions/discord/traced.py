"""The handling of interactions where traces are kept."""

from __future__ import annotations

from interactions.discord.decode import Interaction
from interactions.discord.endpoint import Handled, Handling
from tonearm.jobs.errand import AnyJob
from tonearm.telemetry import traces
from tonearm.telemetry.traces import Kind


class TracedHandling:
    """A trace for each interaction that ``handling`` gets: it is verified by then, so that nobody else makes traces."""

    def __init__(self, handling: Handling) -> None:
        self._handling = handling

    def label(self, interaction: Interaction) -> str:
        """See :class:`Handling`."""
        return self._handling.label(interaction)

    async def handle(self, interaction: Interaction, trace: bytes | None) -> Handled:
        """See :class:`Handling`. ``trace`` is that of a proxy before us."""
        parent = trace.decode("ascii", "replace") if trace is not None else None
        with traces.span("interaction", Kind.SERVER, parent=parent, begins=True) as span:
            span.note(interaction=interaction.id, guild=interaction.guild_id, command=self._handling.label(interaction))
            current = traces.traceparent()
            handled = await self._handling.handle(interaction, current.encode() if current is not None else trace)
            span.note(outcome=handled.outcome)
            return handled

    async def confirm(self, job: AnyJob) -> None:
        """See :class:`Handling`.

        Raises:
            RedisAway: Redis doesn't answer; the answer will be edited in once more, which changes nothing.
        """
        with traces.span("answer", parent=job.trace, job=job.id, way="inline"):
            await self._handling.confirm(job)
