"""What a frozen machine would look like, by a frozen process."""

from __future__ import annotations

import asyncio
import signal
import sys

from tests.chaos.stalls import STALL_MS

LOOK = """
from tests.chaos.stalls import Stalls
with Stalls() as stalls:
    for line in __import__("sys").stdin:
        seen = stalls.worst_ms, stalls.stood_still
        stalls.mark()
        print(*seen, len(stalls.long), flush=True)
"""


async def test_a_process_that_was_frozen_says_so_once() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOOK, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None

    async def look() -> tuple[float, bool, int]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        worst, stood_still, long = (await process.stdout.readline()).split()
        return float(worst), stood_still == b"True", int(long)

    try:
        async with asyncio.timeout(30):
            before = (await look())[2]
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(1.0)  # for so long it stands still: nothing else is to be waited for
            process.send_signal(signal.SIGCONT)
            worst, stood_still, long = await look()
            assert worst > 5 * STALL_MS
            assert stood_still
            assert long == before + 1
            assert (await look())[0] < worst
    finally:
        process.stdin.close()
        await process.wait()
