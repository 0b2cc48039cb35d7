"""Child processes: their lines, their end, and what they must not leave behind."""

import asyncio
import os
import signal
import sys

import pytest

from tonearm import child as module
from tonearm.child import LINE_LIMIT, STDERR, STDOUT, spawn


class Lines(list):
    """Collects ``(stream, line)``, and lets a test await a line."""

    def __init__(self):
        self._changed = asyncio.Event()

    def __call__(self, stream, line):
        self.append((stream, line))
        self._changed.set()

    async def find(self, start):
        async with asyncio.timeout(10):
            while not (found := [line for _, line in self if line.startswith(start)]):
                self._changed.clear()
                await self._changed.wait()
        return found[0]


async def run(code, **options):
    lines = Lines()
    return await spawn([sys.executable, "-c", code], on_line=lines, **options), lines


async def test_lines_arrive_with_their_stream_and_the_last_one_needs_no_end():
    child, lines = await run("import sys; print('a\\r\\n\\nb', flush=True); sys.stderr.write('\\xe4'); sys.exit(7)")
    assert await child.wait() == 7
    assert child.returncode == 7
    assert [line for stream, line in lines if stream == STDOUT] == ["a", "", "b"]
    assert [line for stream, line in lines if stream == STDERR] == ["ä"]


async def test_a_line_without_end_does_not_fill_the_memory():
    child, lines = await run(f"print('x' * {3 * LINE_LIMIT + 5})")
    await child.wait()
    assert max(len(line) for _, line in lines) <= LINE_LIMIT
    assert sum(len(line) for _, line in lines) == 3 * LINE_LIMIT + 5


async def test_a_program_that_is_not_there_is_an_exit_with_a_reason():
    lines = Lines()
    child = await spawn(["/no such program"], on_line=lines)
    assert await child.wait() == 127
    assert lines == [(STDERR, "Cannot run /no such program: No such file or directory.")]


async def test_environment_and_folder(tmp_path):
    child, lines = await run("import os; print(os.environ['TUNE'], os.getcwd())", env={"TUNE": "on"}, cwd=tmp_path)
    await child.wait()
    assert lines == [(STDOUT, f"on {tmp_path}")]


async def test_stop_waits_for_a_clean_end():
    child, lines = await run(
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit(3)))\n"
        "print('up', flush=True); signal.pause()"
    )
    await lines.find("up")
    assert await child.stop(10) == 3
    assert (STDOUT, "bye") in lines
    assert await child.stop(10) == 3
    child.send(signal.SIGTERM)
    child.kill()


async def test_stop_kills_what_does_not_listen_and_its_group(process_gone):
    child, lines = await run(
        "import signal, subprocess\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('pid', subprocess.Popen(['sleep', '60']).pid, flush=True); signal.pause()"
    )
    stray = int((await lines.find("pid")).split()[1])
    assert await child.stop(0.05) == -signal.SIGKILL
    await process_gone(stray)


async def test_what_a_child_leaves_in_its_group_goes_with_it(process_gone):
    child, lines = await run("import subprocess; print('pid', subprocess.Popen(['sleep', '60']).pid)")
    assert await child.wait() == 0
    await process_gone(int((await lines.find("pid")).split()[1]))


async def test_a_stray_elsewhere_that_holds_the_output_does_not_hold_us(monkeypatch):
    monkeypatch.setattr("tonearm.child.DRAIN_TIMEOUT", 0.05)
    child, lines = await run(
        "import subprocess; print('pid', subprocess.Popen(['sleep', '60'], start_new_session=True).pid)"
    )
    async with asyncio.timeout(10):
        assert await child.wait() == 0
    os.kill(int((await lines.find("pid")).split()[1]), signal.SIGKILL)


async def test_a_child_whose_parent_is_gone_before_it_is_tied_does_not_run(monkeypatch):
    monkeypatch.setattr("tonearm.child.os.getpid", lambda: 1 if os.getppid() != 1 else 2)
    child, lines = await run("print('ran')")
    assert await child.wait() == 126
    assert lines == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_root_can_run_it_as_another_user():
    lines = Lines()
    child = await spawn(["id", "-u"], on_line=lines, user=(65534, 65534))
    await child.wait()
    assert lines == [(STDOUT, "65534")]


def test_an_exit_before_the_connection_signals_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop can tell of an exit first; process group 0 would be our own."""
    signalled: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda pid, _sig: signalled.append(pid))
    module._signal_group(0, signal.SIGKILL)
    assert signalled == []
