"""What a request says: read (bounded), decoded into what its operation declares, and refused where it does not fit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request

from interactions.api.problems import invalid, malformed
from tonearm.errors import Problem

MOST_BODY = 64 * 1024
"""Bytes."""

BODY_TIMEOUT = 1.0
"""Seconds within which a body has to be here."""


def _number(text: str) -> int | float:
    """JSON has one kind of number: 180.0 is a whole one (JSON Schema, 6.1.1)."""
    value = float(text)
    return int(value) if value.is_integer() else value


_decode = msgspec.json.Decoder(float_hook=_number).decode


async def read_body(request: Request) -> bytes:
    """The raw body.

    Raises:
        Problem: it is too long, or does not come.
    """
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for piece in request.stream():
                size += len(piece)
                if size > MOST_BODY:
                    raise Problem(
                        "too-large", f"A body has at most {MOST_BODY} bytes.", headers={"Connection": "close"}
                    )
                pieces.append(piece)
    except TimeoutError:
        raise malformed("The body did not come in time.") from None
    except ClientDisconnect:
        raise malformed("The body did not come.") from None
    return b"".join(pieces)


def decode_body(kind: type | None, headers: Mapping[str, str], raw: bytes) -> Any:
    """``raw`` as ``kind``; an operation without a body takes none, or an empty object.

    Raises:
        Problem: it is not JSON, or does not fit.
    """
    if kind is None:
        if raw.strip() not in (b"", b"{}"):
            raise invalid("This operation takes no body.")
        return None
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(
            "unsupported-media-type", "Send the body as application/json.", headers={"Accept": "application/json"}
        )
    try:
        return msgspec.convert(_decode(raw), kind)
    except msgspec.ValidationError as error:
        raise invalid(_sentence(error)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError):
        raise malformed("The body is not JSON.") from None


def decode_query(kind: type | None, items: Sequence[tuple[str, str]]) -> Any:
    """The query's parameters as ``kind``.

    Raises:
        Problem: one is unknown, there twice, or does not fit.
    """
    names = [name for name, _ in items]
    if len(set(names)) < len(names):
        raise invalid("A parameter is there twice.")
    if kind is None:
        if names:
            raise invalid(f"`{names[0][:50]}` is no parameter of this operation.")
        return None
    try:
        return msgspec.convert(dict(items), kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(_sentence(error)) from None


def _sentence(error: Exception) -> str:
    text = str(error)[:500].replace(" - at ", ", at ")
    return text if text.endswith(".") else f"{text}."
