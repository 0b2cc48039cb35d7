"""Transport compression (Discord documentation, "Gateway"): a stream for each connection, flushed after each payload.

zstd is in Python from 3.14 on; before, it is there if somebody installed ``zstandard``. discord.py asks for it in
exactly these cases, and else for zlib.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any

Pack = Callable[[bytes], bytes]
"""A payload -> what is sent in one frame."""


def packer(compress: str) -> Pack | None:
    """Return a new stream of this kind (``zlib-stream``, ``zstd-stream``); None for a kind that is not to be had."""
    match compress:
        case "zlib-stream":
            return _zlib()
        case "zstd-stream":
            return _zstd()
        case _:
            return None


def _zlib() -> Pack:
    stream = zlib.compressobj()
    return lambda payload: stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH)


def _zstd() -> Pack | None:
    """All payloads of a connection are blocks of one zstd frame, which never ends."""
    if (module := _import("zstandard")) is not None:
        stream = module.ZstdCompressor().compressobj()
        flush = module.COMPRESSOBJ_FLUSH_BLOCK
        return lambda payload: bytes(stream.compress(payload) + stream.flush(flush))
    if (module := _import("compression.zstd")) is not None:
        standard = module.ZstdCompressor()
        return lambda payload: bytes(standard.compress(payload, mode=standard.FLUSH_BLOCK))
    return None


def _import(name: str) -> Any | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
