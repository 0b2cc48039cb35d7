"""What a REST request is to the code that answers it, and the table of routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from playground.twin.endpoints import Endpoints
from playground.twin.errors import DiscordError, Problem, invalid_form
from playground.twin.gateway.hub import GatewayHub
from playground.twin.interactions.answering import Answers
from playground.twin.interactions.building import Builder
from playground.twin.interactions.desk import Desk
from playground.twin.interactions.records import Interactions
from playground.twin.journal import Journal
from playground.twin.messages import Messages
from playground.twin.model import Json
from playground.twin.rest.limits import Limit
from playground.twin.webhook_events import WebhookEvents
from playground.twin.world import World


@dataclass(frozen=True, slots=True)
class Services:
    """Everything REST acts on."""

    world: World
    messages: Messages
    records: Interactions
    answers: Answers
    desk: Desk
    hub: GatewayHub
    journal: Journal
    builder: Builder
    events: WebhookEvents
    endpoints: Endpoints


@dataclass(frozen=True, slots=True)
class Call:
    """One request: path parameters, query and JSON body, already checked against Discord's schema."""

    params: dict[str, str]
    query: dict[str, str]
    body: Any = None

    def id(self, name: str) -> int:
        """Return a path parameter that is a snowflake.

        Raises:
            DiscordError: 50035, it is none.
        """
        value = self.params[name]
        if not value.isdecimal():
            raise invalid_form([Problem((name,), "NUMBER_TYPE_COERCE", f"Value {value!r} is not snowflake.")])
        return int(value)

    def flag(self, name: str) -> bool:
        """Return whether a query parameter says true."""
        return self.query.get(name, "false").lower() in ("true", "1")

    def object(self) -> Json:
        """Return the body, which must be an object.

        Raises:
            DiscordError: 50109, it is none.
        """
        if not isinstance(self.body, dict):
            raise DiscordError(400, 50109, "The request body contains invalid JSON.", violation=True)
        return self.body


@dataclass(frozen=True, slots=True)
class Result:
    """What is answered; no body is 204."""

    body: Any = None
    status: int = 200


Handler = Callable[[Services, Call], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Route:
    """A route.

    Attributes:
        template: the path as Discord's OpenAPI document writes it.
        bot: the bot's token is needed; the other routes carry an interaction's token and have no global limit.
        major: path parameters that split the rate limit's bucket.
    """

    method: str
    template: str
    handler: Handler
    bot: bool = True
    limit: Limit = field(default=Limit("other"))
    major: tuple[str, ...] = ("guild_id", "channel_id")
