"""Responses that depend on nothing."""

from __future__ import annotations

import msgspec
from discord_interactions import InteractionResponseType

PONG = msgspec.json.encode({"type": InteractionResponseType.PONG})
NO_CHOICES = msgspec.json.encode(
    {"type": InteractionResponseType.APPLICATION_COMMAND_AUTOCOMPLETE_RESULT, "data": {"choices": []}}
)
