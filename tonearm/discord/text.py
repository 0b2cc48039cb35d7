"""Addresses from the world made safe, and times as people write them. Pure."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit, urlunsplit

from tonearm.wording import escape, plain

MAX_LINK = 512
"""Characters of a URL behind a title; a longer one is not worth the room."""

MAX_TIMESTAMP_S = 8_640_000_000_000
"""The last second that a Discord timestamp can name (Discord's documentation, Reference, *Message Formatting*)."""

_URL_SAFE = "!$&'*+,/:;=?@%"
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def web_address(uri: str | None, *, most: int = MAX_LINK) -> str | None:
    """``uri`` if it may stand in a message, with everything odd in it percent-encoded; else ``None``.

    It must be http or https with a host in ASCII, hold no password, and have at most ``most`` characters.
    """
    try:
        parts = urlsplit((uri or "").strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or not _HOST.fullmatch(host):
        return None
    try:
        path, query, fragment = (_quoted(part) for part in (parts.path, parts.query, parts.fragment))
    except UnicodeEncodeError:  # half a surrogate pair
        return None
    netloc = host if port is None else f"{host}:{port}"
    address = urlunsplit((parts.scheme, netloc, path, query, fragment))
    return address if len(address) <= most else None


def _quoted(part: str) -> str:
    return _STRAY_PERCENT.sub("%25", quote(part, safe=_URL_SAFE))


def linked(text: str, uri: str | None, most: int, *, most_link: int = MAX_LINK) -> str:
    """``text`` safe and short, and a link to ``uri`` where there is one that may be shown.

    Brackets in a link's text become parentheses: Discord does not see a link around an odd number of them. Text that
    holds an address of its own is not made a link: Discord would show it raw, as a link that lies.
    """
    address = web_address(uri, most=most_link)
    line = plain(text, most)
    if address is None or "://" in line:
        return escape(line) or "Untitled"
    return f"[{escape(line.replace('[', '(').replace(']', ')')) or 'Untitled'}]({address})"


def from_now(at_ms: int) -> str | None:
    """A moment as Discord shows it to each reader, counting by itself: “in 3 minutes”. ``None`` if it can't name it."""
    seconds = at_ms // 1000
    return f"<t:{seconds}:R>" if 0 <= seconds <= MAX_TIMESTAMP_S else None


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 track``, ``2,000 tracks``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
