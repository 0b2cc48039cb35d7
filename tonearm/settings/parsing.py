"""The forms that settings have. Each function raises ``ValueError`` with what is wrong, as the rest of a sentence."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from tonearm.premium.plans import shelf


class LavalinkNode(msgspec.Struct, frozen=True):
    """Where a Lavalink server answers: ``http(s)://host:port``, its password, and the regions that it is for."""

    url: str
    password: str
    regions: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Without the password: this may end up in a log."""
        return f"LavalinkNode({self.url!r})"


def text(value: str) -> str:
    """As it is."""
    return value


def integer(low: int, high: int) -> Callable[[str], int]:
    """A whole number from ``low`` to ``high``, both among them."""

    def parse(value: str) -> int:
        if not value.strip().isdecimal() or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {value!r}")
        return int(value)

    return parse


def choice(*choices: str) -> Callable[[str], str]:
    """One of ``choices``."""

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    return parse


def url(*schemes: str) -> Callable[[str], str]:
    """An address with one of ``schemes``, and with a host."""

    def parse(value: str) -> str:
        try:
            parts = urlsplit(value)
        except ValueError:  # whose text can hold the password
            raise ValueError("is not a URL") from None
        if parts.scheme not in schemes:
            raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        # PostgreSQL's can be among the parameters; a socket has none.
        named = parts.netloc if parts.scheme in ("postgresql", "postgres") else parts.hostname
        if not named and not (parts.scheme == "unix" and parts.path):
            raise ValueError("names no host")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("has a port that is not a number from 0 to 65535") from None
        return value.rstrip("/") if parts.scheme in ("http", "https", "ws", "wss") else value

    return parse


def public_url(value: str) -> str:
    """Where Discord reaches us."""
    address = url("http", "https")(value)
    parts = urlsplit(address)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must be nothing but an address, as in https://music.example")
    # The demo's Discord is on this machine, and takes http from there.
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError("must begin with https://: Discord sends nothing to http://")
    for path in ("/interactions", "/webhook-events"):
        if parts.path.endswith(path):
            raise ValueError(f"must be without {path} at its end")
    return address


def public_keys(value: str) -> tuple[bytes, ...]:
    """Ed25519 keys in hexadecimal digits."""
    keys = []
    for part in value.split(","):
        try:
            key = bytes.fromhex(part.strip())
        except ValueError:
            key = b""
        if len(key) != 32:
            raise ValueError("must be 64 hexadecimal digits, or several such keys separated by commas")
        keys.append(key)
    return tuple(keys)


def _between_nodes(value: str) -> list[str]:
    """Split at the commas between nodes: those between regions stand after a question mark, before no address."""
    parts: list[str] = []
    for part in value.split(","):
        if parts and "?" in parts[-1] and ":" not in part and part.strip():
            parts[-1] += f",{part.strip()}"
        else:
            parts.append(part)
    return parts


def lavalink_nodes(value: str) -> tuple[LavalinkNode, ...]:
    """Lavalink servers, each with a password."""
    nodes = []
    for part in _between_nodes(value):
        parts = urlsplit(url("http", "https", "dns+http", "dns+https")(part.strip()))
        if not parts.password:
            raise ValueError("must hold a password for each node, as in http://:password@host:2333")
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        regions = tuple(filter(None, ",".join(parse_qs(parts.query).get("regions", [])).lower().split(",")))
        nodes.append(LavalinkNode(f"{parts.scheme}://{host}:{parts.port or 2333}", unquote(parts.password), regions))
    return tuple(nodes)


def sold(value: str) -> tuple[tuple[str, str], ...]:
    """What another system calls our plans: pairs of a plan and an id."""
    pairs = []
    for part in value.split(","):
        plan, _, id = (word.strip() for word in part.partition("="))
        if not id:
            raise ValueError("must name a plan and an id, as in premium=123,pro=456")
        pairs.append((plan, id))
    try:
        shelf(pairs)
    except ValueError as error:
        raise ValueError(f"can't be used: {error}") from None
    return tuple(pairs)


def origins(value: str) -> tuple[str, ...]:
    """Origins of the web (RFC 6454)."""
    found = tuple(part.strip() for part in value.split(","))
    for origin in found:
        parts = urlsplit(url("http", "https")(origin))
        if origin != f"{parts.scheme}://{parts.netloc}" or "@" in origin:
            raise ValueError("must be origins, as in https://shop.example, separated by commas")
    return found


def secrets(value: str) -> tuple[str, ...]:
    """One secret, or two while one replaces the other."""
    found = tuple(filter(None, (part.strip() for part in value.split(","))))
    if not 1 <= len(found) <= 2:
        raise ValueError("must be one secret, or two separated by a comma while one replaces the other")
    return found
