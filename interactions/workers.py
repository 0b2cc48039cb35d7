"""The HTTP side as several processes on one socket: one for each core, under a supervisor.

They share the queue of connections, so what one does not take, or leaves behind when it dies, another takes. Each
counts for itself, in files of one folder; a scrape, which reaches any of them, adds them up (prometheus_client's
documentation, *Multiprocess Mode*).
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import tempfile

from prometheus_client.multiprocess import mark_process_dead

from tonearm.supervisor import Event, EventKind, ProcessSpec, Supervisor
from tonearm.telemetry import LOG, announce_ready
from tonearm.telemetry.exposing import SHARED_FOLDER
from tonearm.up import tonearm

READY_SECONDS = 30.0


async def serve(number: int, listener: socket.socket) -> None:
    """Have ``number`` processes serve ``listener``, which is bound, until a signal comes; one that dies is started
    again.

    Raises:
        StartFailed: one does not become ready.
    """
    with tempfile.TemporaryDirectory(prefix="tonearm-metrics-") as folder:
        specs = [_spec(n, listener, folder) for n in range(1, number + 1)]
        async with Supervisor(on_event=lambda event: _note(event, folder), log=_pass_on) as supervisor:
            supervisor.stop_on(signal.SIGTERM, signal.SIGINT)
            for spec in specs:
                ready = await supervisor.start(spec)
            announce_ready(**ready, workers=number)
            await supervisor.wait()
            await asyncio.gather(*(supervisor.stop(spec.name) for spec in specs))


def _spec(number: int, listener: socket.socket, folder: str) -> ProcessSpec:
    return ProcessSpec(
        f"interactions-{number}",
        tonearm("interactions", "--socket", str(listener.fileno())),
        env={SHARED_FOLDER: folder},
        ready_timeout=READY_SECONDS,
        restart=True,
        pass_fds=(listener.fileno(),),
    )


def _note(event: Event, folder: str) -> None:
    if event.kind is EventKind.EXITED:
        mark_process_dead(event.pid, folder)  # type: ignore[no-untyped-call]
    if event.kind not in (EventKind.READY, EventKind.STOPPED):
        LOG.warning("%s", event)


def _pass_on(_: str, line: str) -> None:
    """A worker's log is ours, line by line as it is."""
    print(line, file=sys.stderr, flush=True)
