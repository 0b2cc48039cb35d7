"""Traces: off and free, or sent, whatever becomes of who takes them."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.collector import Collector
from tests.support.lavalink import Lavalink
from tonearm.addresses import session_to
from tonearm.errors import Refused, SettingsError
from tonearm.sentences import Sentence
from tonearm.telemetry import traces
from tonearm.telemetry.traces import Kind, exporting, span, trace_id, traceparent

BEFORE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SAMPLED = 1
PROCESSES = ("interactions.process", "interactions.api.process", "voice_nodes.process", "tonearm.worker.process")


@pytest.fixture(autouse=True)
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """OpenTelemetry's threads draw random numbers, by which hypothesis would be confused in another test."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")  # second
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith(("Otel", "traces-")):
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    async with Collector().serving() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield collector


def test_while_they_are_off_there_is_nothing_to_pay_for() -> None:
    with exporting(0, "test"), span("a", begins=True) as nothing:
        nothing.note(guild=1)
        assert nothing is traces.NOTHING
        assert (traceparent(), traces.outgoing()) == (None, [])


@pytest.mark.parametrize("module", PROCESSES)
def test_no_process_imports_opentelemetry_unasked(module: str) -> None:
    script = f"import sys, {module}; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=True)
    assert told.stdout == "[]\n"


async def test_spans_are_nested_and_follow_who_asked(collector: Collector) -> None:
    with exporting(1, "test"):
        with span("request", Kind.SERVER, parent=BEFORE, begins=True, guild=5, nobody=None) as request:
            carried = traceparent()
            with span("within"):
                pass
            request.note(outcome="done")
        with span("job", Kind.CONSUMER, parent=carried):
            pass
        seen = await collector.wait("request", "within", "job")
    assert {each.trace for each in seen.values()} == {trace_id(BEFORE)}
    assert seen["request"].parent == BEFORE[36:52]
    assert seen["within"].parent == seen["job"].parent == seen["request"].id
    assert seen["request"].traceparent == carried
    assert seen["request"].attributes == {"tonearm.guild": "5", "tonearm.outcome": "done"}
    assert seen["request"].process == "test"


async def test_what_nobody_asked_for_has_no_trace(collector: Collector) -> None:
    with exporting(1, "test"):
        with span("timer"), span("its own"):
            assert traceparent() is None
        with span("job", parent="no traceparent"):
            pass
        with span("request", begins=True, parent="no traceparent"):
            pass
        await collector.wait("request")
    assert [each.name for each in collector.spans] == ["request"]
    assert collector.spans[0].parent == ""


async def test_the_text_of_an_error_is_not_in_it(collector: Collector) -> None:
    with exporting(1, "test"):
        with pytest.raises(ValueError, match="secret"), span("broken", begins=True):
            raise ValueError("secret words")
        with pytest.raises(Refused), span("refused", begins=True):
            raise Refused(Sentence.NOTHING_FOUND, query="secret words")
        seen = await collector.wait("broken", "refused")
    assert seen["broken"].failed == "ValueError"
    assert (seen["refused"].failed, seen["refused"].attributes) == (None, {"tonearm.refused": "nothing_found"})
    assert collector.bodies
    assert not any(b"secret" in body for body in collector.bodies)


async def test_who_samples_nothing_sends_nothing_and_says_so_to_the_next(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    with exporting(1, "test"):
        with span("request", begins=True):
            carried = traceparent()
            assert carried is not None
            assert int(carried[-2:], 16) & SAMPLED == 0
        with span("job", parent=carried):
            pass
        with span("wanted before", parent=BEFORE):
            pass
        await collector.wait("wanted before")
    assert [each.name for each in collector.spans] == ["wanted before"]


async def test_lavalink_is_told(collector: Collector) -> None:
    async with Lavalink().serving() as lavalink:
        with exporting(1, "test"):
            async with session_to(None, 5) as http:
                with span("lavalink load", begins=True):
                    carried = traceparent()
                    async with http.get(f"http://127.0.0.1:{lavalink.port}/version") as response:
                        told = response.request_info.headers.get("traceparent")
                async with http.get(f"http://127.0.0.1:{lavalink.port}/version") as response:
                    untold = response.request_info.headers.get("traceparent")
    assert told == carried
    assert untold is None


def test_a_collector_that_is_not_there_disturbs_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "not a header but a secret")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and nobody listens
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        _trace_much()
    assert "secret" not in caplog.text
    assert len(caplog.records) < 50


def _trace_much() -> None:
    with exporting(1, "test"):
        for _ in range(5_000):
            with span("request", begins=True):
                pass


async def test_a_collector_that_hangs_holds_no_end_up(collector: Collector) -> None:
    collector.hangs = True
    ended = threading.Event()

    def run() -> None:
        with exporting(1, "test"), span("request", begins=True):
            pass
        ended.set()

    running = asyncio.create_task(asyncio.to_thread(run))
    await asyncio.wait_for(collector.asked.wait(), 10)
    await asyncio.wait_for(running, 4)  # a voice node ends within 5 s
    assert ended.is_set()


def test_without_the_extra_it_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tonearm.telemetry.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(SettingsError, match=r"needs the package opentelemetry: install the extra traces"):
        exporting(1, "test").__enter__()


def test_a_variable_that_is_wrong_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")  # smaller than a batch
    with pytest.raises(SettingsError, match="OpenTelemetry's variables"):
        exporting(1, "test").__enter__()


@pytest.mark.parametrize("text", [None, "", "00-abc", BEFORE.upper(), f"{BEFORE}\n", f"{BEFORE}-01"])
def test_no_trace_is_read_out_of_what_is_none(text: str | None) -> None:
    assert trace_id(text) is None
