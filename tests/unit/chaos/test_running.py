"""What is started can be killed, stopped and started again; what is missed makes the run fail."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from tests.chaos import processes as module
from tests.chaos.__main__ import main
from tests.chaos.part import Part, Run
from tests.chaos.processes import Processes
from tests.chaos.proxies import Mode, Proxy
from tests.chaos.report import RESULTS, Result, Row, Sheet
from tests.chaos.told import DONE
from tests.chaos.troubles import TROUBLES
from tonearm.sentences import Sentence

READY = 'import time; print(\'{"ready": true, "n": 1}\', flush=True)\nwhile True: time.sleep(0.05)'
"""Short sleeps: a signal that comes just before a long one, and has a handler in Python, would wait for its end."""


def part(missed: list[str], seeds: list[int]) -> Part:
    async def run(asked: Run) -> Result:
        seeds.append(asked.seed)
        asked.log("one", "a line")
        return Result(
            "one", [Sheet("Found", ("what", "how many"), [Row(("lost", len(missed)), not missed)])], [], missed
        )

    return run


@pytest.mark.parametrize(("missed", "code"), [([], 0), (["lost: skip i:1"], 1)])
def test_a_planted_violation_makes_the_run_fail(missed: list[str], code: int, tmp_path: Path) -> None:
    seeds: list[int] = []
    assert main(["--seed", "7", "--dir", str(tmp_path)], {"one": part(missed, seeds)}) == code
    assert seeds == [7]
    results = json.loads((tmp_path / "one" / RESULTS).read_text())
    assert (results["good"], results["seed"], results["missed"]) == (not missed, 7, missed)
    assert (tmp_path / "one" / "logs" / "one.log").read_text() == "a line\n"


def test_one_missed_part_of_two_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = {"good": part([], []), "bad": part(["late"], [])}
    assert main(["--dir", str(tmp_path)], parts) == 1
    assert main(["--dir", str(tmp_path), "--part", "good"], parts) == 0
    assert "seed " in capsys.readouterr().out


def test_a_part_that_breaks_off_is_missed_and_the_next_one_still_runs(tmp_path: Path) -> None:
    async def broken(_: Run) -> Result:
        raise KeyError("a judge that fell over")

    seeds: list[int] = []
    assert main(["--seed", "7", "--dir", str(tmp_path)], {"broken": broken, "next": part([], seeds)}) == 1
    assert seeds == [7]
    assert "fell over" in json.loads((tmp_path / "broken" / RESULTS).read_text())["missed"][0]
    assert "KeyError" in (tmp_path / "broken" / "logs" / "chaos.log").read_text()


async def test_what_was_killed_comes_back_and_what_died_by_itself_is_told() -> None:
    lives: asyncio.Queue[object] = asyncio.Queue()
    async with Processes(lambda *_: None) as processes, asyncio.timeout(20):
        await processes.start("x", lambda: (sys.executable, "-c", READY), on_ready=lives.put_nowait)
        await lives.get()
        first = processes["x"].child
        assert first is not None
        await processes.end("x", signal.SIGKILL)
        await processes.wait_next("x")
        await lives.get()
        assert (processes["x"].lives, processes.crashes) == (2, [])
        assert processes["x"].child is not first
        child = processes["x"].child
        assert child is not None
        child.send(signal.SIGUSR1)
        await child.wait()
        await lives.get()
        assert [(crash.name, crash.code) for crash in processes.crashes] == [("x", -signal.SIGUSR1)]


STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}"


async def test_what_does_not_end_says_where_it_stood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.2)
    said: list[str] = []
    async with Processes(lambda _, line: said.append(line)) as processes, asyncio.timeout(20):
        await processes.start("audio-1", lambda: (sys.executable, "-c", STUBBORN))
        await processes.wait_ready("audio-1", 10)
        await processes.end("audio-1", signal.SIGTERM)
        await processes.wait_next("audio-1")
    assert [(crash.name, crash.when) for crash in processes.crashes] == [("audio-1", module.NOT_AT_ALL)]
    assert any("Current thread" in line for line in said)


async def test_what_is_taken_away_stays_away_until_it_is_brought_back() -> None:
    async with Processes(lambda *_: None) as processes:
        await processes.start("x", lambda: (sys.executable, "-c", READY))
        await processes.take_away("x", signal.SIGTERM)
        assert not processes["x"].running
        await processes.bring_back("x")
        await processes.wait_ready("x", 10)
        assert processes.crashes == []


async def test_what_is_frozen_can_be_ended() -> None:
    async with Processes(lambda *_: None) as processes:
        await processes.start("x", lambda: (sys.executable, "-c", READY))
        assert processes.halt("x")
        assert not processes.halt("x")
        await processes.take_away("x", signal.SIGTERM)
        assert processes.crashes == []


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def say(proxy: Proxy, within: float = 5.0) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(b"hello\n")
        async with asyncio.timeout(within):
            return await reader.readline()
    finally:
        writer.close()


async def test_a_proxy_passes_refuses_hangs_and_delays() -> None:
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Proxy(lambda: [("127.0.0.1", port)]) as proxy:
            assert await say(proxy) == b"hello\n"
            await proxy.set(Mode.REFUSE)
            with pytest.raises(ConnectionRefusedError):
                await say(proxy)
            await proxy.set(Mode.HANG)
            with pytest.raises(TimeoutError):
                await say(proxy, 0.2)
            await proxy.set(Mode.SLOW, 0.3)
            begun = asyncio.get_running_loop().time()
            assert await say(proxy) == b"hello\n"
            assert asyncio.get_running_loop().time() - begun >= 0.3


async def test_a_proxy_tries_the_next_where_one_is_down() -> None:
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Proxy(lambda: [("127.0.0.1", 1), ("127.0.0.1", port)]) as proxy:
            assert [await say(proxy) for _ in range(4)] == [b"hello\n"] * 4


def test_every_trouble_allows_only_what_it_names() -> None:
    for trouble in TROUBLES:
        assert not trouble.allows("play", Sentence.INTERNAL.name, deferred=False)
        assert not trouble.allows("help", Sentence.MEMORY_AWAY.name, deferred=False)
        assert trouble.allows("help", DONE, deferred=False)
