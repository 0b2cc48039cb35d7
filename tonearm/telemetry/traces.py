"""Traces: off unless TONEARM_TRACES says otherwise; then they go to a collector, by OpenTelemetry's OTLP over HTTP.

A trace begins where a request comes in. The job carries its context, as a W3C traceparent, to the voice node or the
worker, and the call of Lavalink carries it on. What nobody asked for (timers, events of Lavalink) has no trace.

While they are off, nothing of OpenTelemetry is imported, and :func:`span` looks at one variable. Where and how much is
sent is said in OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER ...). Never in a span:
tokens, keys, passwords, what people typed. On AWS Lambda there are none: a frozen process can't send.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from tonearm.errors import SettingsError

if TYPE_CHECKING:
    from aiohttp import TraceConfig

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class Kind(Enum):
    """What a span is to those beside it (OpenTelemetry's documentation, *Span Kind*)."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Span(Protocol):
    """A part of a trace, while it lasts."""

    def note(self, **attributes: object) -> None:
        """Say more about it; what is ``None`` is left out."""


class Tracing(Protocol):
    """Who makes spans; see the functions of this module, which have the same names."""

    def span(
        self, name: str, kind: Kind, parent: str | None, begins: bool, attributes: dict[str, object]
    ) -> AbstractContextManager[Span]: ...

    def traceparent(self) -> str | None: ...

    def outgoing(self) -> list[TraceConfig]: ...

    def stop(self) -> None: ...


class _Nothing:
    """The span of what is not traced."""

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def note(self, **attributes: object) -> None: ...


NOTHING: AbstractContextManager[Span] = _Nothing()

_tracing: Tracing | None = None


@contextmanager
def exporting(wanted: int, process: str) -> Iterator[None]:
    """While this lasts, the traces of this process are sent, if that is ``wanted``. ``process`` is its name.

    At the end, what was not sent yet gets a second.

    Raises:
        SettingsError: OpenTelemetry is not installed, or one of its variables is wrong.
    """
    global _tracing
    if not wanted:
        yield
        return
    try:
        from tonearm.telemetry.otel import start  # slow to import, so only where it is wanted
    except ModuleNotFoundError as error:
        raise SettingsError(f"TONEARM_TRACES needs the package {error.name}: install the extra traces.") from None
    _tracing = start(process)
    try:
        yield
    finally:
        tracing, _tracing = _tracing, None
        tracing.stop()


def span(
    name: str,
    kind: Kind = Kind.INTERNAL,
    *,
    parent: str | None = None,
    begins: bool = False,
    **attributes: object,
) -> AbstractContextManager[Span]:
    """A span for as long as its ``with`` lasts. ``parent`` is the traceparent that it follows from; without one, the
    current span is. Where there is neither, it ``begins`` a trace, or there is none.

    Only the type of an exception is kept, as its text may have what people typed.
    """
    if _tracing is None:
        return NOTHING
    return _tracing.span(name, kind, parent, begins, attributes)


def traceparent() -> str | None:
    """The current span, in the form that is carried on (W3C *Trace Context*)."""
    return None if _tracing is None else _tracing.traceparent()


def outgoing() -> list[TraceConfig]:
    """What has an aiohttp session carry the current span on."""
    return [] if _tracing is None else _tracing.outgoing()


def trace_id(carried: str | None) -> str | None:
    """The trace of a traceparent, for the log; ``None`` where it is none."""
    found = _TRACEPARENT.fullmatch(carried) if carried else None
    return found[1] if found else None
