"""The adapter to Redis: the connection, the names of the keys, and each atomic step as one script on one slot."""

from __future__ import annotations

import sys

_UNASKED = "opentelemetry"

# redis-py imports OpenTelemetry's SDK wherever it finds it, as it does in our images, for figures that it was not asked
# for. That takes longer than all else that a process imports, and we keep what we trace by ourselves. A function on
# AWS Lambda has none, and imports redis-py late (tonearm.late_import).
if sys.modules.keys().isdisjoint(("redis", _UNASKED)):
    sys.modules[_UNASKED] = None  # type: ignore[assignment]
    try:
        import redis.asyncio  # noqa: F401
    finally:
        del sys.modules[_UNASKED]
