"""Response bodies (Discord's documentation, *Interaction Response Object*).

Answers are stored as rendered JSON, so they are put into their response as they are.
"""

from __future__ import annotations

from typing import Any

import msgspec
from discord_interactions import InteractionResponseFlags, InteractionResponseType

from tonearm.discord import cards, components
from tonearm.jobs.job import Answer

_encode = msgspec.json.Encoder().encode

_DEFERRED = _encode({"type": InteractionResponseType.DEFERRED_CHANNEL_MESSAGE_WITH_SOURCE})
_DEFERRED_PRIVATELY = _encode(
    {
        "type": InteractionResponseType.DEFERRED_CHANNEL_MESSAGE_WITH_SOURCE,
        "data": {"flags": InteractionResponseFlags.EPHEMERAL},
    }
)
_DEFERRED_UPDATE = _encode({"type": InteractionResponseType.DEFERRED_UPDATE_MESSAGE})
_MODAL = b'{"type":%d,"data":' % InteractionResponseType.MODAL
_NEW = b'{"type":%d,"data":' % InteractionResponseType.CHANNEL_MESSAGE_WITH_SOURCE
_UPDATE = b'{"type":%d,"data":' % InteractionResponseType.UPDATE_MESSAGE


def deferral(*, private: bool, component: bool) -> bytes:
    """The answer comes later, as an edit."""
    if component:
        return _DEFERRED_UPDATE
    return _DEFERRED_PRIVATELY if private else _DEFERRED


def answer(answer: Answer, *, component: bool) -> bytes:
    """A job's answer. A click changes the message with the button, unless the answer is for the caller only."""
    return b"".join((_UPDATE if component and not answer.private else _NEW, answer.message, b"}"))


def form(declaration: dict[str, Any]) -> bytes:
    """A form opens."""
    return b"".join((_MODAL, _encode(declaration), b"}"))


def message(body: dict[str, Any], *, private: bool = False, updates: bool = False) -> bytes:
    """A message made here: a new one, or the content of the one with the button."""
    if updates:
        return b"".join((_UPDATE, _encode(body), b"}"))
    return b"".join((_NEW, _encode(components.private(body) if private else body), b"}"))


def sentence(text: str) -> bytes:
    """A sentence of the catalogue, for the caller only."""
    return message(cards.sentence(text), private=True)
