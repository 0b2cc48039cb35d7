"""`python -m playground.audio_node`: prints one JSON line when it is ready, and stops on SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys

from playground.audio_node.node import AudioNode
from playground.audio_node.options import Options, parse


async def run(options: Options) -> None:
    """Run a node until it is told to stop."""
    stop = asyncio.Event()
    node = AudioNode(options)
    await node.start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sys.stdout.write(json.dumps({"ready": True, "url": node.url}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    await node.close()


def main() -> int:
    """Parse the options, run, and say in one sentence why it can't start."""
    options = parse()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format=f"%(asctime)s {options.name} %(levelname)s %(message)s"
    )
    try:
        asyncio.run(run(options))
    except (RuntimeError, OSError) as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Threads of the JVM may still be at work; nothing of them is worth waiting for.
    os._exit(status)
