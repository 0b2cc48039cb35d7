"""Errors as Discord's REST API tells them (Discord reference, "Opcodes and Status Codes", JSON error codes)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_UNKNOWN = {
    "Application": 10002,
    "Channel": 10003,
    "Guild": 10004,
    "Member": 10007,
    "Message": 10008,
    "User": 10013,
    "Webhook": 10015,
    "Entitlement": 10029,
    "interaction": 10062,
    "application command": 10063,
    "Voice State": 10065,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a request body: where, Discord's (or our) name for it, and a sentence."""

    path: tuple[str | int, ...]
    code: str
    message: str

    def __str__(self) -> str:
        where = ".".join(str(part) for part in self.path) or "body"
        return f"{where}: {self.message} ({self.code})"


class DiscordError(Exception):
    """A refusal of the REST API.

    Attributes:
        status: the HTTP status.
        code: Discord's JSON error code; 0 for general errors.
        errors: the nested ``errors`` object of an invalid form body, or None.
        violation: True when a correct bot would never have sent this request.
    """

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        *,
        errors: dict[str, Any] | None = None,
        violation: bool = False,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors
        self.violation = violation

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the response."""
        body: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.errors is not None:
            body["errors"] = self.errors
        return body


class NotPossible(Exception):
    """An actor or a test asked for something that Discord's clients would not offer."""


def unknown(what: str) -> DiscordError:
    """Return the 404 for an unknown thing; ``what`` is a key of Discord's table, such as ``Channel``."""
    return DiscordError(404, _UNKNOWN[what], f"Unknown {what}")


def unauthorized() -> DiscordError:
    """Return the 401 for a missing or wrong bot token."""
    return DiscordError(401, 0, "401: Unauthorized")


def missing_access() -> DiscordError:
    """Return the 403 for something the bot cannot see."""
    return DiscordError(403, 50001, "Missing Access")


def missing_permissions() -> DiscordError:
    """Return the 403 for something the bot sees but may not do."""
    return DiscordError(403, 50013, "Missing Permissions")


def invalid_form(problems: Iterable[Problem]) -> DiscordError:
    """Return the 400 for an invalid body, its problems nested by path as Discord nests them."""
    errors: dict[str, Any] = {}
    texts = []
    for problem in problems:
        node = errors
        for part in problem.path:
            node = node.setdefault(str(part), {})
        node.setdefault("_errors", []).append({"code": problem.code, "message": problem.message})
        texts.append(str(problem))
    error = DiscordError(400, 50035, "Invalid Form Body", errors=errors, violation=True)
    error.args = ("Invalid Form Body: " + "; ".join(texts),)
    return error
