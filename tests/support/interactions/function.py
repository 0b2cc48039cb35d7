"""A function on AWS Lambda, as who calls it sees it: one event after the other, and frozen in between."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.interactions.signed import sign

FUNCTION_URL = "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws"


def event(
    body: bytes = b"", *, method: str = "POST", path: str = "/interactions", is_base64: bool = False, **headers: str
) -> dict[str, Any]:
    """What a Function URL sends (AWS Lambda, *Request payload format*, version 2.0)."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": FUNCTION_URL, "x-forwarded-proto": "https", **{k.lower(): v for k, v in headers.items()}},
        "requestContext": {
            "domainName": FUNCTION_URL,
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599",
            "stage": "$default",
        },
        "body": base64.b64encode(body).decode() if is_base64 else body.decode(),
        "isBase64Encoded": is_base64,
    }


def signed_event(sent: dict, *, is_base64: bool = False) -> dict[str, Any]:
    """The same of an interaction."""
    raw = json.dumps(sent).encode()
    return event(raw, is_base64=is_base64, **sign(raw))


class Function:
    """Calls the handler that ``make`` makes. An event loop of its own runs only while it is called."""

    def __init__(self, make: Callable[[], Callable[[dict, Any], dict]]) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._thread.submit(lambda: asyncio.set_event_loop(asyncio.new_event_loop())).result()
        self._handler = self._thread.submit(make).result()

    async def __call__(self, sent: dict[str, Any]) -> dict[str, Any]:
        """The answer to an event."""
        return await asyncio.wrap_future(self._thread.submit(self._handler, sent, None))

    def left(self) -> set[asyncio.Task]:
        """What would go on if it were not frozen."""
        return self._thread.submit(lambda: asyncio.all_tasks(asyncio.get_event_loop())).result()

    def close(self, *closing: Callable[[], Awaitable[None]]) -> None:
        """It is not called any more; ``closing`` ends what it made."""

        def end() -> None:
            loop = asyncio.get_event_loop()
            for close in closing:
                loop.run_until_complete(close())
            loop.close()

        self._thread.submit(end).result()
        self._thread.shutdown()
