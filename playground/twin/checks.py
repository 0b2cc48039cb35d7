"""Rules for messages, modals and their components that schemas do not catch.

From the Discord documentation, "Component Reference", "Message Resource" and "Receiving and Responding".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from playground.twin.errors import Problem
from playground.twin.model import Json, MessageFlag

Path = tuple[str | int, ...]

ROW, BUTTON, STRING_SELECT, TEXT_INPUT = 1, 2, 3, 4
SECTION, TEXT, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER, LABEL = 9, 10, 11, 12, 13, 14, 17, 18
SELECTS = {3, 5, 6, 7, 8}
LINK, PREMIUM = 5, 6
LABELLED = {*SELECTS, TEXT_INPUT, 19, 21, 22, 23}
"""What a label in a modal can hold."""

TOP_LEVEL = {ROW, SECTION, TEXT, GALLERY, FILE, SEPARATOR, CONTAINER}
IN_CONTAINER = TOP_LEVEL - {CONTAINER}

MOST_COMPONENTS = 40
MOST_TEXT = 4000
MOST_CONTENT = 2000
EMBED_LIMITS = {"title": 256, "description": 4096, "footer.text": 2048, "author.name": 256}
FIELD_LIMITS = {"name": 256, "value": 1024}
CONTENT_FIELDS = ("content", "embeds", "components", "sticker_ids", "attachments", "poll", "files")


def is_empty(body: Json) -> bool:
    """Return whether a message would have nothing to show (refused with code 50006)."""
    return not any(body.get(key) for key in CONTENT_FIELDS)


def check_message(body: Json, *, before: Json | None = None) -> list[Problem]:
    """Return what is wrong with a message's body.

    Args:
        body: the body of a request that creates or edits a message.
        before: the message that is edited, as it was, with ``flags``, ``content``, ``embeds`` and ``components``.
    """
    return list(_check_message(body, before))


def _check_message(body: Json, before: Json | None) -> Iterator[Problem]:
    flags, had = body.get("flags"), before["flags"] if before else 0
    v2_bit = MessageFlag.IS_COMPONENTS_V2
    if flags is not None and had & v2_bit and not flags & v2_bit:
        code = "MESSAGE_CANNOT_REMOVE_COMPONENTS_V2_FLAG"
        yield Problem(("flags",), code, "the Components V2 flag cannot be removed from a message")
    v2 = bool(((flags or 0) | had) & v2_bit)
    result = {key: before[key] for key in ("content", "embeds", "components")} | body if before else body
    if v2:
        for key in ("content", "embeds", "sticker_ids", "poll"):
            if result.get(key):
                code = "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"
                yield Problem((key,), code, "not together with the Components V2 flag")
    if len(body.get("content") or "") > MOST_CONTENT:
        yield Problem(("content",), "BASE_TYPE_MAX_LENGTH", f"at most {MOST_CONTENT} characters")
    yield from _check_components(result.get("components") or [], v2=v2)
    yield from _check_embeds(result.get("embeds") or [])
    yield from _check_mentions(body.get("allowed_mentions") or {})
    nonce = body.get("nonce")
    if isinstance(nonce, str) and len(nonce) > 25:
        yield Problem(("nonce",), "BASE_TYPE_MAX_LENGTH", "at most 25 characters")


def _check_mentions(allowed: Json) -> Iterator[Problem]:
    for key in ("users", "roles"):
        if key in (allowed.get("parse") or []) and allowed.get(key):
            code = "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE"
            yield Problem(("allowed_mentions",), code, f"parse of {key} and a list of {key} exclude each other")
        if len(allowed.get(key) or []) > 100:
            yield Problem(("allowed_mentions", key), "BASE_TYPE_MAX_LENGTH", "at most 100")


def _check_embeds(embeds: list[Json]) -> Iterator[Problem]:
    if len(embeds) > 10:
        yield Problem(("embeds",), "BASE_TYPE_MAX_LENGTH", f"at most 10 embeds, not {len(embeds)}")
    total = 0
    for number, embed in enumerate(embeds):
        fields = embed.get("fields") or []
        if len(fields) > 25:
            yield Problem(("embeds", number, "fields"), "BASE_TYPE_MAX_LENGTH", f"at most 25 fields, not {len(fields)}")
        measured = [(_text_at(embed, name), name, most) for name, most in EMBED_LIMITS.items()]
        for index, each in enumerate(fields):
            measured += [(each.get(key) or "", f"fields.{index}.{key}", most) for key, most in FIELD_LIMITS.items()]
        for text, name, most in measured:
            total += len(text)
            if len(text) > most:
                yield Problem(
                    ("embeds", number, *name.split(".")), "BASE_TYPE_MAX_LENGTH", f"at most {most} characters"
                )
    if total > 6000:
        yield Problem(("embeds",), "MAX_EMBED_SIZE_EXCEEDED", f"at most 6000 characters, not {total}")


def _text_at(embed: Json, name: str) -> str:
    node: Any = embed
    for key in name.split("."):
        node = (node or {}).get(key)
    return node or ""


def walk(components: list[Json], path: Path = ("components",)) -> Iterator[tuple[Json, Path]]:
    """Yield every component with its path, nested ones too, in the order of the screen."""
    for index, each in enumerate(components):
        here = (*path, index)
        yield each, here
        yield from walk(each.get("components") or [], (*here, "components"))
        for key in ("accessory", "component"):
            if isinstance(each.get(key), dict):
                yield each[key], (*here, key)


def _check_components(components: list[Json], *, v2: bool) -> Iterator[Problem]:
    everything = list(walk(components))
    if not v2:
        if len(components) > 5:
            yield Problem(("components",), "BASE_TYPE_MAX_LENGTH", f"at most 5 rows, not {len(components)}")
        for index, each in enumerate(components):
            if each.get("type") != ROW:
                yield Problem(("components", index), "UNION_TYPE_CHOICES", "only rows without the Components V2 flag")
    elif len(everything) > MOST_COMPONENTS:
        message = f"at most {MOST_COMPONENTS} components in total, not {len(everything)}"
        yield Problem(("components",), "MESSAGE_COMPONENTS_TOTAL_COUNT", message)
    text = sum(len(each.get("content") or "") for each, _ in everything if each.get("type") == TEXT)
    if text > MOST_TEXT:
        message = f"at most {MOST_TEXT} characters of text in total, not {text}"
        yield Problem(("components",), "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", message)
    for index, each in enumerate(components):
        if each.get("type") not in TOP_LEVEL:
            yield Problem(("components", index), "UNION_TYPE_CHOICES", f"no type {each.get('type')} at the top level")
    yield from _check_each(everything)


def _check_each(everything: list[tuple[Json, Path]]) -> Iterator[Problem]:
    seen: set[str] = set()
    ids: set[int] = set()
    for each, path in everything:
        check = _RULES.get(each.get("type", 0))
        if check is not None:
            yield from check(each, path)
        custom_id = each.get("custom_id")
        if custom_id is not None:
            if custom_id in seen:
                code = "COMPONENT_CUSTOM_ID_DUPLICATED"
                yield Problem((*path, "custom_id"), code, f"{custom_id!r} is used twice")
            seen.add(custom_id)
        if each.get("id"):
            if each["id"] in ids:
                yield Problem((*path, "id"), "COMPONENT_ID_DUPLICATED", f"{each['id']} is used twice")
            ids.add(each["id"])


def _custom_id(each: Json, path: Path) -> Iterator[Problem]:
    custom_id = each.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        yield Problem((*path, "custom_id"), "BASE_TYPE_REQUIRED", "is required")
    elif len(custom_id) > 100:
        yield Problem((*path, "custom_id"), "BASE_TYPE_MAX_LENGTH", f"at most 100 characters, not {len(custom_id)}")


def _button(each: Json, path: Path) -> Iterator[Problem]:
    style = each.get("style")
    if style == PREMIUM:
        if not each.get("sku_id"):
            yield Problem((*path, "sku_id"), "BASE_TYPE_REQUIRED", "a premium button needs it")
        for key in ("custom_id", "label", "url", "emoji"):
            if each.get(key):
                yield Problem((*path, key), "BUTTON_COMPONENT_INVALID_FIELD", "a premium button has only sku_id")
        return
    if each.get("sku_id"):
        yield Problem((*path, "sku_id"), "BUTTON_COMPONENT_INVALID_FIELD", "only premium buttons have it")
    if style == LINK:
        if not each.get("url"):
            yield Problem((*path, "url"), "BASE_TYPE_REQUIRED", "a link button needs it")
        if each.get("custom_id"):
            yield Problem((*path, "custom_id"), "BUTTON_COMPONENT_INVALID_FIELD", "a link button has none")
    else:
        if each.get("url"):
            yield Problem((*path, "url"), "BUTTON_COMPONENT_INVALID_FIELD", "only link buttons have it")
        yield from _custom_id(each, path)
    if not each.get("label") and not each.get("emoji"):
        yield Problem((*path, "label"), "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED", "a label or an emoji is needed")
    if len(each.get("label") or "") > 80:
        yield Problem((*path, "label"), "BASE_TYPE_MAX_LENGTH", "at most 80 characters")


def _select(each: Json, path: Path) -> Iterator[Problem]:
    yield from _custom_id(each, path)
    least, most = each.get("min_values"), each.get("max_values")
    if (1 if least is None else least) > (1 if most is None else most):
        yield Problem((*path, "min_values"), "BASE_TYPE_MAX", "above max_values")
    if each.get("type") != STRING_SELECT:
        return
    options = each.get("options") or []
    if not 1 <= len(options) <= 25:
        yield Problem((*path, "options"), "BASE_TYPE_BAD_LENGTH", f"1 to 25 options, not {len(options)}")
    values = [option.get("value") for option in options]
    if len(set(values)) < len(values):
        yield Problem((*path, "options"), "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", "two options with one value")
    if most is not None and most > len(options):
        yield Problem((*path, "max_values"), "BASE_TYPE_MAX", "more than there are options")
    if sum(option.get("default") is True for option in options) > (1 if most is None else most):
        yield Problem((*path, "options"), "SELECT_COMPONENT_TOO_MANY_DEFAULT_VALUES", "more defaults than max_values")


def _row(each: Json, path: Path) -> Iterator[Problem]:
    kinds = [child.get("type") for child in each.get("components") or []]
    if not kinds:
        yield Problem((*path, "components"), "BASE_TYPE_REQUIRED", "an action row is not empty")
    buttons = kinds.count(BUTTON)
    alone = len(kinds) == 1 and (kinds[0] in SELECTS or kinds[0] == TEXT_INPUT)
    if not alone and (buttons < len(kinds) or buttons > 5):
        yield Problem((*path, "components"), "COMPONENT_LAYOUT_WIDTH_EXCEEDED", "5 buttons at most, or one select")


def _section(each: Json, path: Path) -> Iterator[Problem]:
    children = each.get("components") or []
    if not 1 <= len(children) <= 3 or any(child.get("type") != TEXT for child in children):
        yield Problem((*path, "components"), "UNION_TYPE_CHOICES", "a section has 1 to 3 texts")
    if (each.get("accessory") or {}).get("type") not in (BUTTON, THUMBNAIL):
        yield Problem((*path, "accessory"), "UNION_TYPE_CHOICES", "a section has a button or a thumbnail")


def _text(each: Json, path: Path) -> Iterator[Problem]:
    if not each.get("content"):
        yield Problem((*path, "content"), "BASE_TYPE_REQUIRED", "a text is not empty")


def _gallery(each: Json, path: Path) -> Iterator[Problem]:
    if not 1 <= len(each.get("items") or []) <= 10:
        yield Problem((*path, "items"), "BASE_TYPE_BAD_LENGTH", "1 to 10 items")


def _container(each: Json, path: Path) -> Iterator[Problem]:
    children = each.get("components") or []
    if not children:
        yield Problem((*path, "components"), "BASE_TYPE_REQUIRED", "a container is not empty")
    for index, child in enumerate(children):
        if child.get("type") not in IN_CONTAINER:
            message = f"no type {child.get('type')} in a container"
            yield Problem((*path, "components", index), "UNION_TYPE_CHOICES", message)


_RULES = {
    ROW: _row,
    BUTTON: _button,
    **dict.fromkeys(SELECTS, _select),
    TEXT_INPUT: _custom_id,
    SECTION: _section,
    TEXT: _text,
    GALLERY: _gallery,
    CONTAINER: _container,
}


def check_modal(data: Json) -> list[Problem]:
    """Return what is wrong with the ``data`` of a response that opens a modal (type 9)."""
    return list(_check_modal(data))


def _check_modal(data: Json) -> Iterator[Problem]:
    yield from _custom_id(data, ())
    title: Any = data.get("title")
    if not isinstance(title, str) or not 1 <= len(title) <= 45:
        yield Problem(("title",), "BASE_TYPE_BAD_LENGTH", "must be 1 to 45 characters")
    components = data.get("components") or []
    if not 1 <= len(components) <= 5:
        yield Problem(("components",), "BASE_TYPE_BAD_LENGTH", f"1 to 5 components, not {len(components)}")
    for index, each in enumerate(components):
        path: Path = ("components", index)
        kind = each.get("type")
        if kind not in (ROW, TEXT, LABEL):
            yield Problem(path, "UNION_TYPE_CHOICES", f"no type {kind} in a modal")
        elif kind == LABEL:
            if (each.get("component") or {}).get("type") not in LABELLED:
                yield Problem((*path, "component"), "UNION_TYPE_CHOICES", "nothing a label can hold")
            if not 1 <= len(each.get("label") or "") <= 45:
                yield Problem((*path, "label"), "BASE_TYPE_BAD_LENGTH", "must be 1 to 45 characters")
        elif kind == ROW and [child.get("type") for child in each.get("components") or []] != [TEXT_INPUT]:
            yield Problem((*path, "components"), "UNION_TYPE_CHOICES", "a row of a modal holds one text input")
    yield from _check_each(list(walk(components)))
