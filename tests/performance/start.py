"""How long it takes from the start of the HTTP side to its first signed answer.

    python -m tests.performance.start [--runs 11] [--limit-ms 400] [-- COMMAND ...]

COMMAND starts the process, in place of the one of this installation: the one of an unpacked image, say, with
``-- chroot ROOT /opt/tonearm/bin/tonearm interactions``. It is told where to listen, and what else it needs, by
``TONEARM_...`` variables. From its exec on it is sent a signed PING until one is answered with 200; between two tries
are 5 ms. The median of all runs must be within the limit. The first run is not counted: the file cache is warm.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from playground.stores.valkey import Valkey
from tests.support.interactions.signed import KEY, sign

PAUSE_S = 0.005
"""Between two tries."""
START_S = 30.0
STOP_S = 10.0


def main() -> int:
    """0 when the median is within the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--limit-ms", type=float, default=400.0)
    parser.add_argument("command", nargs="*", default=[str(Path(sys.executable).with_name("tonearm")), "interactions"])
    asked = parser.parse_args()
    times = asyncio.run(measure(asked.command, asked.runs))
    median = statistics.median(times)
    print(" ".join(f"{each:.0f}" for each in times), "ms")
    print(
        f"process start to the first signed answer: {median:.0f} ms (median of {asked.runs}; "
        f"{min(times):.0f} to {max(times):.0f}), limit {asked.limit_ms:.0f} ms"
    )
    return 0 if median <= asked.limit_ms else 1


async def measure(command: Sequence[str], runs: int) -> list[float]:
    """Milliseconds of each run, after one that is not counted."""
    async with Valkey() as valkey:
        environment = os.environ | {
            "TONEARM_DISCORD_APPLICATION_ID": "1",
            "TONEARM_DISCORD_PUBLIC_KEY": KEY.verify_key.encode().hex(),
            "TONEARM_REDIS_URL": valkey.url,
            "TONEARM_HOST": "127.0.0.1",
        }
        times = [await asyncio.to_thread(one_start, command, environment) for _ in range(runs + 1)]
    return times[1:]


def one_start(command: Sequence[str], environment: dict[str, str]) -> float:
    """Milliseconds from the exec to the first 200; the process is gone afterwards.

    Raises:
        RuntimeError: it ended, or did not answer in time.
    """
    port = free_port()
    begun = time.monotonic()
    environment = environment | {"TONEARM_PORT": str(port)}
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, env=environment, stdout=said, stderr=said) as process,
    ):
        try:
            while not answers(port):
                if process.poll() is not None:
                    said.seek(0)
                    raise RuntimeError(f"{command[0]} ended with {process.returncode}: {said.read().decode()}")
                if time.monotonic() - begun > START_S:
                    raise RuntimeError(f"no answer after {START_S:.0f} s")
                time.sleep(PAUSE_S)
            return (time.monotonic() - begun) * 1000
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def answers(port: int) -> bool:
    """Whether a signed PING is answered with 200.

    Raises:
        RuntimeError: it is answered with something else.
    """
    body = b'{"id":"1","application_id":"1","type":1,"token":"t","version":1}'
    connection = HTTPConnection("127.0.0.1", port, timeout=START_S)
    try:
        connection.request("POST", "/interactions", body, sign(body))
        response = connection.getresponse()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(f"answered with {response.status}")
    return True


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
