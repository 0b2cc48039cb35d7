"""``python -m playground.stripe``: a double of Stripe on this machine, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal

from playground.stripe.server import SECRET_KEY, WEBHOOK_SECRET, StripeDouble


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m playground.stripe", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--price", action="append", required=True, help="id of a price that is sold; several may be")
    parser.add_argument("--webhook-url", help="where events are posted; without it they are dropped")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with StripeDouble(arguments.price, host=arguments.host, port=arguments.port) as double:
        double.webhook_url = arguments.webhook_url
        about = {"url": double.url, "secret_key": SECRET_KEY, "webhook_secret": WEBHOOK_SECRET}
        print(json.dumps({"ready": True, **about}), flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_run(_arguments()))
