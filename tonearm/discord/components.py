"""The pieces of a message: Discord's Components V2 (Discord's documentation, *Component Reference*). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Component = dict[str, Any]
Message = dict[str, Any]

EPHEMERAL = 1 << 6
COMPONENTS_V2 = 1 << 15

ROW, BUTTON, SECTION, TEXT, THUMBNAIL, SEPARATOR, CONTAINER = 1, 2, 9, 10, 11, 14, 17
PRIMARY, SECONDARY, DANGER = 1, 2, 4
"""Styles of a button."""


VERSION = "v1"
"""The first part of the custom ids that are made and understood."""


def custom_id(action: str, value: str | int) -> str:
    """``v1:<action>:<value>``: what a click brings back."""
    return f"{VERSION}:{action}:{value}"


def message(*components: Component) -> Message:
    """The body of a message that pings nobody."""
    return {"flags": COMPONENTS_V2, "components": list(components), "allowed_mentions": {"parse": []}}


def private(body: Message) -> Message:
    """``body``, for the caller's eyes only. Only a new message can be made private, never an edit."""
    return {**body, "flags": body.get("flags", 0) | EPHEMERAL}


def container(colour: int, *components: Component) -> Component:
    """A box with a coloured edge."""
    return {"type": CONTAINER, "accent_color": colour, "components": list(components)}


def text(content: str) -> Component:
    """Markdown."""
    return {"type": TEXT, "content": content}


def with_picture(content: str, picture: str | None) -> Component:
    """Markdown with a picture at its side, or without where there is none. ``picture`` is a web address."""
    if picture is None:
        return text(content)
    thumbnail = {"type": THUMBNAIL, "media": {"url": picture}}
    return {"type": SECTION, "components": [text(content)], "accessory": thumbnail}


def line() -> Component:
    """A thin line between two parts of a box."""
    return {"type": SEPARATOR, "divider": True, "spacing": 1}


def button(action: str, value: str | int, label: str, *, style: int = SECONDARY, emoji: str = "") -> Component:
    """A button whose click brings back ``v1:<action>:<value>``."""
    made: Component = {"type": BUTTON, "style": style, "label": label, "custom_id": custom_id(action, value)}
    if emoji:
        made["emoji"] = {"name": emoji}
    return made


def row(buttons: Sequence[Component]) -> Component:
    """One to five buttons side by side."""
    return {"type": ROW, "components": list(buttons)}
