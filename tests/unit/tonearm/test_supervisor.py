"""The supervisor, over real child processes."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE

import pytest

from tonearm.child_logs import LogFolder, prefixed
from tonearm.errors import StartFailed
from tonearm.supervisor import Event, EventKind, ProcessSpec, Supervisor

READY = "import json; print(json.dumps({'ready': True, 'url': 'x://y'}), flush=True)"
FOREVER = f"{READY}; import signal; signal.pause()"


def spec(name, code, **options):
    return ProcessSpec(name, (sys.executable, "-c", code), **options)


class World:
    """Collects events and log lines; a clock whose sleeps last until the test lets them end."""

    def __init__(self):
        self.events = []
        self.lines = []
        self.delays = []
        self.now = 0.0
        self._asleep = asyncio.Event()
        self._wake = asyncio.Event()

    def on_event(self, event):
        self.events.append(event)

    def log(self, name, line):
        self.lines.append((name, line))

    def monotonic(self):
        return self.now

    async def sleep(self, delay):
        self.delays.append(delay)
        self._asleep.set()
        await self._wake.wait()
        self._wake.clear()

    async def next_restart(self):
        """Waits until the supervisor sleeps, and returns for how long it wants to."""
        async with asyncio.timeout(20):
            await self._asleep.wait()
        self._asleep.clear()
        return self.delays[-1]

    def wake(self):
        self._wake.set()

    def supervisor(self, **options):
        return Supervisor(on_event=self.on_event, log=self.log, monotonic=self.monotonic, sleep=self.sleep, **options)

    def kinds(self):
        return [(event.kind, event.name) for event in self.events]


@pytest.fixture
def world():
    return World()


async def test_start_gives_the_ready_line_and_everything_else_is_the_log(world):
    code = (
        'import signal; print(\'hello\\n{no json\\n{}\\n{"ready": true, "url": "x://y"}\\nmore\', flush=True);'
        "signal.pause()"
    )
    async with world.supervisor() as supervisor:
        ready = await supervisor.start(spec("store", code, env={"PYTHONUNBUFFERED": "1"}))
        assert ready == {"ready": True, "url": "x://y"}
        pid = supervisor.pid("store")
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert world.lines == [("store", line) for line in ("hello", "{no json", "{}", "more")]
    assert world.events == [
        Event(EventKind.READY, "store", pid, ready=ready),
        Event(EventKind.STOPPED, "store", pid, -signal.SIGTERM),
    ]


async def test_a_child_that_exits_first_is_a_sentence_with_its_last_lines(world):
    code = "import sys\nfor n in range(20): print('line', n, file=sys.stderr)\nsys.exit(3)"
    async with world.supervisor() as supervisor:
        with pytest.raises(StartFailed) as failure:
            await supervisor.start(spec("store", code))
    first, *lines = str(failure.value).splitlines()
    assert first == "store did not start: it exited with code 3. It said last:"
    assert lines == [f"  line {n}" for n in range(8, 20)]
    assert world.events == []


async def test_a_child_that_says_nothing_in_time_is_a_sentence_and_gone(world):
    async with world.supervisor() as supervisor:
        with pytest.raises(StartFailed, match=r"^store did not start: not ready after 0\.2 s, and it said nothing\.$"):
            await supervisor.start(spec("store", "import signal; signal.pause()", ready_timeout=0.2))


async def test_a_program_that_is_missing_is_a_sentence(world):
    async with world.supervisor() as supervisor:
        with pytest.raises(StartFailed, match=r"(?s)code 127.*Cannot run /no/such"):
            await supervisor.start(ProcessSpec("store", ("/no/such",)))


async def test_a_child_killed_while_starting_is_told_by_its_signal(world):
    async with world.supervisor() as supervisor:
        with pytest.raises(StartFailed, match=r"it was killed by SIGKILL, and it said nothing"):
            await supervisor.start(spec("store", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))


async def test_children_stop_one_after_the_other_the_last_started_first(world):
    code = (
        "import signal, sys, threading\n"
        "done = threading.Event()\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('stopping', flush=True), sys.exit(0)))\n"
        f"{FOREVER}"
    )
    async with world.supervisor() as supervisor:
        for name in ("store", "worker", "voice"):
            await supervisor.start(spec(name, code))
    assert [name for name, _ in world.lines] == ["voice", "worker", "store"]
    stopped = [event for event in world.events if event.kind is EventKind.STOPPED]
    assert [(event.name, event.returncode) for event in stopped] == [("voice", 0), ("worker", 0), ("store", 0)]


async def test_one_that_ignores_sigterm_is_killed_with_its_children(world, descendants, process_gone):
    code = (
        "import signal, subprocess; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"subprocess.Popen(['sleep', '60'])\n{FOREVER}"
    )
    async with world.supervisor(stop_timeout=0.1) as supervisor:
        await supervisor.start(spec("deaf", code))
        (sleeper,) = descendants(supervisor.pid("deaf"))
        await supervisor.stop("deaf")
        assert world.events[-1].returncode == -signal.SIGKILL
        assert str(world.events[-1]) == "deaf was stopped: it was killed by SIGKILL."
        await process_gone(sleeper)


async def test_the_death_of_a_child_that_is_not_restarted_ends_the_run(world):
    async with world.supervisor() as supervisor:
        await supervisor.start(spec("store", FOREVER))
        await supervisor.start(spec("once", f"{READY}; import sys; sys.stdin.close(); sys.exit(4)"))
        async with asyncio.timeout(10):
            ended = await supervisor.wait()
        assert (ended.kind, ended.name, ended.returncode) == (EventKind.EXITED, "once", 4)
        assert str(ended) == "once exited with code 4."


async def test_restarts_back_off_and_begin_anew_after_a_minute_of_health(world):
    async with world.supervisor() as supervisor:
        await supervisor.start(spec("voice", FOREVER, restart=True))
        for expected in (0.5, 1, 2, 4, 8, 16, 30, 30):
            world.now += 59
            pid = supervisor.pid("voice")
            await supervisor.kill("voice")
            assert await world.next_restart() == expected
            assert supervisor.pid("voice") is None
            world.wake()
            await until_ready(world, supervisor, "voice", pid)
        world.now += 60
        await supervisor.kill("voice")
        assert await world.next_restart() == 0.5
        assert str(world.events[-1]) == "voice is started again in 0.5 s."
        assert str(world.events[-2]) == "voice was killed by SIGKILL."


async def until_ready(world, supervisor, name, old_pid):
    """Waits until a child was started again."""
    ready = asyncio.Event()
    collect = world.on_event

    def on_event(event):
        collect(event)
        if event.kind is EventKind.READY:
            ready.set()

    supervisor._on_event = on_event
    async with asyncio.timeout(10):
        await ready.wait()
    supervisor._on_event = collect
    assert supervisor.pid(name) not in (None, old_pid)


async def test_a_restart_that_fails_is_told_and_tried_again(world, tmp_path):
    works = tmp_path / "works"
    works.touch()
    code = f"import os, sys\nif not os.path.exists({str(works)!r}): sys.exit('broken')\n{FOREVER}"
    async with world.supervisor() as supervisor:
        await supervisor.start(spec("voice", code, restart=True))
        works.unlink()
        await supervisor.kill("voice")
        assert await world.next_restart() == 0.5
        world.wake()
        assert await world.next_restart() == 1
        failed = next(event for event in world.events if event.kind is EventKind.START_FAILED)
        assert str(failed) == "voice did not start: it exited with code 1. It said last:\n  broken"
        works.touch()
        world.wake()
        await until_ready(world, supervisor, "voice", None)
    assert [kind for kind, _ in world.kinds()] == [
        EventKind.READY,
        EventKind.EXITED,
        EventKind.RESTARTING,
        EventKind.START_FAILED,
        EventKind.RESTARTING,
        EventKind.READY,
        EventKind.STOPPED,
    ]


async def test_a_child_waiting_for_its_restart_can_be_stopped(world):
    async with world.supervisor() as supervisor:
        await supervisor.start(spec("voice", FOREVER, restart=True))
        await supervisor.kill("voice")
        await world.next_restart()
        await supervisor.stop("voice")
        with pytest.raises(KeyError):
            supervisor.pid("voice")


async def test_a_stop_while_a_child_starts_ends_the_block_quietly(world, process_gone):
    code = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    began = asyncio.Event()

    def log(name, line):
        world.log(name, line)
        began.set()

    async with Supervisor(log=log) as supervisor:
        start = asyncio.create_task(supervisor.start(spec("slow", code)))
        await began.wait()
        supervisor.request_stop()
        await start
        pytest.fail("start() must not return")
    await process_gone(int(world.lines[0][1]))


async def test_a_callback_that_fails_ends_the_run_with_its_error(world):
    def on_event(event):
        if event.kind is EventKind.EXITED:
            raise ValueError("bug")

    async with Supervisor(on_event=on_event, log=world.log) as supervisor:
        await supervisor.start(spec("voice", FOREVER, restart=True))
        await supervisor.kill("voice")
        with pytest.raises(ValueError, match="bug"):
            async with asyncio.timeout(10):
                await supervisor.wait()


SUPERVISING = """
import asyncio, signal, sys
from tonearm.supervisor import ProcessSpec, Supervisor

CHILD = '''
import asyncio, json, os, signal
from tonearm.child import spawn
signal.signal(signal.SIGINT, lambda *_: print("got SIGINT", flush=True))
signal.signal(signal.SIGTERM, lambda *_: (print("got SIGTERM", flush=True), os._exit(0)))
async def main():
    await spawn(["sleep", "60"], on_line=print)
    print(json.dumps({"ready": True}), flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
'''

async def main():
    async with Supervisor(log=lambda name, line: print(name, line, flush=True)) as supervisor:
        supervisor.stop_on(signal.SIGINT, signal.SIGTERM)
        for name in ("one", "two"):
            await supervisor.start(ProcessSpec(name, (sys.executable, "-c", CHILD)))
        print("up", flush=True)
        print("ended:", await supervisor.wait(), flush=True)

asyncio.run(main())
"""


async def supervising_process():
    """A supervisor in a process of its own, as the leader of a group like a terminal's; ready when this returns."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISING, stdout=PIPE, start_new_session=True
    )
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"up\n"
    return process


async def test_a_killed_supervisor_leaves_no_process(descendants, process_gone):
    process = await supervising_process()
    below = descendants(process.pid)
    assert len(below) == 4
    process.kill()
    await process.communicate()
    for pid in below:
        await process_gone(pid)


async def test_ctrl_c_reaches_the_supervisor_only_and_stops_all_in_order(descendants, process_gone):
    process = await supervising_process()
    below = descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does
    async with asyncio.timeout(20):
        out, _ = await process.communicate()
    assert out.decode().splitlines() == ["ended: None", "two got SIGTERM", "one got SIGTERM"]
    assert process.returncode == 0
    for pid in below:
        await process_gone(pid)


def test_lines_pass_through_with_the_name_before_them(capsys):
    prefixed()("voice", "hello")
    assert capsys.readouterr().err == "voice        | hello\n"


def test_a_log_folder_appends_and_is_bounded(tmp_path):
    for _ in range(2):
        with LogFolder(tmp_path / "logs", limit=100) as log:
            for number in range(5):
                log("voice", f"line {number}")
            log("store", "one")
    assert log.path("voice").read_text() == "".join(f"line {n}\n" for n in (*range(5), *range(5)))
    with LogFolder(tmp_path / "logs", limit=100) as log:
        for number in range(100):
            log("voice", f"number {number:5}")
        log("voice", "x" * 500)
    assert log.path("voice").read_text() == "x" * 500 + "\n"
    old = tmp_path / "logs" / "voice.log.1"
    assert old.stat().st_size <= 100
    assert old.read_text().endswith("number    99\n")
    assert log.path("store").read_text() == "one\n" * 2
