"""Entity tags (RFC 9110, 8.8.3 and 13.1): strong, made from what is answered."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from tonearm.errors import Problem

_TAGS = re.compile(r'\s*(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)')


def tag_of(body: Any) -> str:
    """The entity tag of an answer."""
    return f'"{hashlib.sha256(msgspec.json.encode(body)).hexdigest()[:24]}"'


def is_among(header: str, tag: str) -> bool:
    """Whether ``tag`` is meant by the value of an If-Match or If-None-Match header."""
    return header.strip() == "*" or tag in _TAGS.findall(header)


def require_match(headers: Any, tag: str) -> None:
    """What is to be changed is as its caller has seen it.

    Raises:
        Problem: it is not.
    """
    # A weak tag never matches here: If-Match compares strongly.
    given = headers.get("if-match", "")
    strong = ",".join(part for part in given.split(",") if not part.strip().startswith("W/"))
    if not is_among(strong, tag):
        raise changed()


def changed() -> Problem:
    """It is not as its caller has seen it."""
    return Problem("precondition-failed", "It was changed since you read it. Read it again, and decide again.")
