"""Components and embeds as Discord gives them back: with ids, defaults and media looked up."""

from __future__ import annotations

import copy
from typing import Any

from playground.twin.checks import (
    CONTAINER,
    FILE,
    GALLERY,
    SELECTS,
    SEPARATOR,
    THUMBNAIL,
    walk,
)
from playground.twin.model import Json

_DEFAULTS: dict[int, Json] = {
    **{kind: {"min_values": 1, "max_values": 1} for kind in SELECTS},
    CONTAINER: {"accent_color": None, "spoiler": False},
    SEPARATOR: {"spacing": 1, "divider": True},
    THUMBNAIL: {"description": None, "spoiler": False},
    FILE: {"name": "file", "size": 1, "spoiler": False},
}


def components(sent: list[Json]) -> list[Json]:
    """Return the components of a message as they are read back."""
    shown = copy.deepcopy(sent)
    everything = [each for each, _ in walk(shown)]
    taken = {each["id"] for each in everything if each.get("id")}
    free = (number for number in range(1, 1 << 31) if number not in taken)
    for each in everything:
        if not each.get("id"):
            each["id"] = next(free)
        for key, value in _DEFAULTS.get(each["type"], {}).items():
            if each.get(key) is None:
                each[key] = value
        if each["type"] == GALLERY:
            for item in each["items"]:
                item["media"] = _media(item["media"], each["id"])
                item.setdefault("description", None)
                item.setdefault("spoiler", False)
        for key in ("media", "file"):
            if key in each:
                each[key] = _media(each[key], each["id"])
    return [_without_nulls(each) for each in shown]


def _media(media: Json, number: int) -> Json:
    url = media["url"]
    return {"id": str(number), "url": url, "proxy_url": url, "width": 0, "height": 0, "content_type": "image/png"}


def _without_nulls(component: Json) -> Json:
    keep = _DEFAULTS.get(component["type"], {})
    cleaned: Json = {}
    for key, value in component.items():
        shown: Any = value
        if key == "components":
            shown = [_without_nulls(each) for each in value]
        elif key == "accessory":
            shown = _without_nulls(value)
        if shown is not None or key in keep:
            cleaned[key] = shown
    return cleaned


def embeds(sent: list[Json]) -> list[Json]:
    """Return the embeds of a message as they are read back."""
    return [{"type": "rich", **{key: value for key, value in each.items() if value is not None}} for each in sent]
