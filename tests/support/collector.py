"""A collector of traces: takes OTLP over HTTP, as OpenTelemetry's would, and tells what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True)
class Seen:
    """A span that came. Ids are hexadecimal; ``parent`` is empty where it begins a trace."""

    process: str
    name: str
    trace: str
    id: str
    parent: str
    failed: str | None
    attributes: dict[str, str]

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace}-{self.id}-01"


class Collector:
    """What came, and how it was asked. ``hangs``: it takes requests and never answers."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.bodies: list[bytes] = []
        """All of it, also what is not in a :class:`Seen`."""
        self.hangs = False
        self.asked = asyncio.Event()
        self.endpoint = ""
        self._came = asyncio.Condition()
        self._released = asyncio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Collector]:
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            self._released.set()
            await runner.cleanup()

    async def wait(self, *names: str, trace: str | None = None, timeout: float = 20) -> dict[str, Seen]:
        """The last span with each of these names, of one trace where it is named, once all are there."""
        async with asyncio.timeout(timeout), self._came:
            while True:
                found = {span.name: span for span in self.spans if trace in (None, span.trace)}
                if found.keys() >= set(names):
                    return found
                await self._came.wait()

    async def wait_one(self, name: str, *, process: str = "", timeout: float = 20, **attributes: str) -> Seen:
        """The span with this name and these of our attributes."""
        wanted = {f"tonearm.{key}": value for key, value in attributes.items()}.items()
        async with asyncio.timeout(timeout), self._came:
            while True:
                for span in self.spans:
                    if span.name == name and process in ("", span.process) and span.attributes.items() >= wanted:
                        return span
                await self._came.wait()

    async def _take(self, request: web.Request) -> web.Response:
        self.asked.set()
        if self.hangs:
            await self._released.wait()
        self.bodies.append(await request.read())
        told = ExportTraceServiceRequest.FromString(self.bodies[-1])
        async with self._came:
            self.spans += [
                Seen(
                    process=_of(of.resource.attributes)["service.name"],
                    name=span.name,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    failed=span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None,
                    attributes=_of(span.attributes),
                )
                for of in told.resource_spans
                for scope in of.scope_spans
                for span in scope.spans
            ]
            self._came.notify_all()
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )


def _of(attributes) -> dict[str, str]:
    return {each.key: str(getattr(each.value, str(each.value.WhichOneof("value")))) for each in attributes}
