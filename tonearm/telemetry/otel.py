"""OpenTelemetry behind :mod:`tonearm.telemetry.traces`, which alone imports this: it needs the extra ``traces``.

Nothing of it may disturb: spans wait in a queue of bounded length (OTEL_BSP_MAX_QUEUE_SIZE, 2048) for a thread of
their own that sends them, and are dropped when it is full.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from aiohttp import ClientSession, TraceConfig, TraceRequestStartParams
from opentelemetry import context as otel_context
from opentelemetry import trace as otel_trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tonearm import __version__
from tonearm.errors import Refused, SettingsError
from tonearm.telemetry.traces import NOTHING, Kind, Span

STOP_SECONDS = 1.0
"""How long the end of a process may wait for what was not sent yet; a voice node has 5 s in all."""

_HEADER = "traceparent"
_propagator = TraceContextTextMapPropagator()


def start(process: str) -> OpenTelemetry:
    """Begin to send the spans of this process.

    Raises:
        SettingsError: one of OpenTelemetry's variables is wrong.
    """
    # Its warnings are one for each attempt, and some show a header, which may be a key.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    about = {
        "service.namespace": "tonearm",
        "service.name": process,
        "service.version": __version__,
        "host.name": socket.gethostname(),
    }
    try:
        provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    except ValueError as error:
        raise SettingsError(f"One of OpenTelemetry's variables (OTEL_...) is wrong: {error}") from None
    return OpenTelemetry(provider)


class OpenTelemetry:
    """Spans by a ``provider``."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("tonearm", __version__)

    def span(self, name: str, kind: Kind, parent: str | None, begins: bool, attributes: dict[str, object]) -> Any:
        """See :func:`tonearm.telemetry.traces.span`."""
        # A traceparent that is none is no parent: such a span begins a trace, or there is none.
        context = _propagator.extract({_HEADER: parent}) if parent is not None else otel_context.get_current()
        if not begins and not otel_trace.get_current_span(context).get_span_context().is_valid:
            return NOTHING
        return self._lasting(name, kind, context, attributes)

    @contextmanager
    def _lasting(
        self, name: str, kind: Kind, context: otel_context.Context, attributes: dict[str, object]
    ) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name, context, SpanKind[kind.value], record_exception=False, set_status_on_exception=False
        ) as span:
            lasting = _Span(span)
            lasting.note(**attributes)
            try:
                yield lasting
            except Refused as refusal:
                lasting.note(refused=refusal.sentence.name.lower())
                raise
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def traceparent(self) -> str | None:
        """See :func:`tonearm.telemetry.traces.traceparent`."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return carrier.get(_HEADER)

    def outgoing(self) -> list[TraceConfig]:
        """See :func:`tonearm.telemetry.traces.outgoing`."""
        config = TraceConfig()
        config.on_request_start.append(self._carry_on)
        return [config]

    async def _carry_on(self, _: ClientSession, __: SimpleNamespace, request: TraceRequestStartParams) -> None:
        current = self.traceparent()
        if current is not None:
            request.headers[_HEADER] = current

    def stop(self) -> None:
        """Send what was not sent yet, for :data:`STOP_SECONDS` at most: a collector may be away."""
        stopping = threading.Thread(target=self._provider.shutdown, name="traces-stop", daemon=True)
        stopping.start()
        stopping.join(STOP_SECONDS)


class _Span:
    """A span of OpenTelemetry."""

    def __init__(self, span: otel_trace.Span) -> None:
        self._span = span

    def note(self, **attributes: object) -> None:
        """See :class:`tonearm.telemetry.traces.Span`."""
        for name, value in attributes.items():
            if value is not None:
                # Ids as text: they are longer than the numbers of JavaScript, which shows them.
                self._span.set_attribute(f"tonearm.{name}", value if isinstance(value, bool) else str(value))
