"""What belongs to the doing of any job, at a voice node as at a worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tonearm.jobs.errand import AnyJob
from tonearm.telemetry import about, traces
from tonearm.telemetry.traces import Kind, Span


@contextmanager
def doing(job: AnyJob) -> Iterator[Span]:
    """What is logged meanwhile tells whose ``job`` it is about, and its trace goes on."""
    action = type(job.action).__struct_config__.tag
    with (
        about(job=job.id, guild=job.guild or None, trace=traces.trace_id(job.trace)),
        traces.span("job", Kind.CONSUMER, parent=job.trace, job=job.id, guild=job.guild, action=action) as span,
    ):
        yield span
