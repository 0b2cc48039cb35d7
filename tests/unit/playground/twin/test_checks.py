"""Rules for messages and modals that schemas do not catch."""

from typing import Any

import pytest

from playground.twin.checks import check_message, check_modal, is_empty

V2 = 1 << 15


def text(content: str = "x", **more: Any) -> dict[str, Any]:
    return {"type": 10, "content": content, **more}


def row(*components: dict[str, Any]) -> dict[str, Any]:
    return {"type": 1, "components": list(components)}


def button(custom_id: str = "a", **more: Any) -> dict[str, Any]:
    return {"type": 2, "style": 1, "label": "L", "custom_id": custom_id, **more}


def select(**more: Any) -> dict[str, Any]:
    return {"type": 3, "custom_id": "s", "options": [{"label": "A", "value": "a"}], **more}


def v2(*components: dict[str, Any]) -> dict[str, Any]:
    return {"flags": V2, "components": list(components)}


PREMIUM = {"type": 2, "style": 6, "sku_id": "1"}
LINK = {"type": 2, "style": 5, "label": "L", "url": "https://example.org"}

GOOD = [
    {"content": "x"},
    {"content": "x" * 2000, "components": [row(*(button(str(n)) for n in range(5)))]},
    {"components": [row(select()), row(LINK, PREMIUM)]},
    {"components": [row({"type": 5, "custom_id": "u"})]},
    v2(text("x" * 4000)),
    v2({"type": 17, "components": [text(), {"type": 14}, row(button())]}),
    v2({"type": 9, "components": [text()], "accessory": button()}),
    v2(*(text() for _ in range(40))),
    {"content": "<@1>", "allowed_mentions": {"parse": []}},
    {"content": "<@1>", "allowed_mentions": {"parse": ["roles"], "users": ["1"]}},
]


@pytest.mark.parametrize("body", GOOD, ids=range(len(GOOD)))
def test_what_is_right(body: dict[str, Any]) -> None:
    assert check_message(body) == []


BAD = [
    ({"content": "x" * 2001}, "BASE_TYPE_MAX_LENGTH"),
    ({"flags": V2, "content": "x", "components": [text()]}, "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"),
    ({"flags": V2, "embeds": [{}], "components": [text()]}, "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"),
    ({"components": [text()]}, "UNION_TYPE_CHOICES"),
    ({"components": [row(button(str(n))) for n in range(6)]}, "BASE_TYPE_MAX_LENGTH"),
    (v2(*(text() for _ in range(41))), "MESSAGE_COMPONENTS_TOTAL_COUNT"),
    (v2(*(text("x" * 2001) for _ in range(2))), "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED"),
    (v2(text("")), "BASE_TYPE_REQUIRED"),
    (v2(button()), "UNION_TYPE_CHOICES"),
    (v2({"type": 17, "components": [{"type": 17, "components": [text()]}]}), "UNION_TYPE_CHOICES"),
    (v2({"type": 17, "components": []}), "BASE_TYPE_REQUIRED"),
    (v2({"type": 9, "components": [button()], "accessory": button("b")}), "UNION_TYPE_CHOICES"),
    (v2({"type": 9, "components": [text()]}), "UNION_TYPE_CHOICES"),
    (v2({"type": 12, "items": []}), "BASE_TYPE_BAD_LENGTH"),
    (v2(text(id=1), text(id=1)), "COMPONENT_ID_DUPLICATED"),
    ({"components": [row(button("a"), button("a"))]}, "COMPONENT_CUSTOM_ID_DUPLICATED"),
    ({"components": [row(button("x" * 101))]}, "BASE_TYPE_MAX_LENGTH"),
    ({"components": [row(button(""))]}, "BASE_TYPE_REQUIRED"),
    ({"components": [row(button(label="x" * 81))]}, "BASE_TYPE_MAX_LENGTH"),
    ({"components": [row({"type": 2, "style": 1, "custom_id": "a"})]}, "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED"),
    ({"components": [row(button(url="https://example.org"))]}, "BUTTON_COMPONENT_INVALID_FIELD"),
    ({"components": [row(LINK | {"custom_id": "a"})]}, "BUTTON_COMPONENT_INVALID_FIELD"),
    ({"components": [row(PREMIUM | {"label": "Buy"})]}, "BUTTON_COMPONENT_INVALID_FIELD"),
    ({"components": [row(button(sku_id="1"))]}, "BUTTON_COMPONENT_INVALID_FIELD"),
    ({"components": [row()]}, "BASE_TYPE_REQUIRED"),
    ({"components": [row(*(button(str(n)) for n in range(6)))]}, "COMPONENT_LAYOUT_WIDTH_EXCEEDED"),
    ({"components": [row(select(), button())]}, "COMPONENT_LAYOUT_WIDTH_EXCEEDED"),
    ({"components": [row(select(options=[]))]}, "BASE_TYPE_BAD_LENGTH"),
    ({"components": [row(select(max_values=2))]}, "BASE_TYPE_MAX"),
    ({"components": [row(select(min_values=2))]}, "BASE_TYPE_MAX"),
    ({"embeds": [{"title": "x" * 257}]}, "BASE_TYPE_MAX_LENGTH"),
    ({"embeds": [{"description": "x" * 4000}] * 2}, "MAX_EMBED_SIZE_EXCEEDED"),
    ({"embeds": [{"fields": [{"name": "n", "value": "v"}] * 26}]}, "BASE_TYPE_MAX_LENGTH"),
    ({"embeds": [{}] * 11}, "BASE_TYPE_MAX_LENGTH"),
    ({"content": "x", "nonce": "x" * 26}, "BASE_TYPE_MAX_LENGTH"),
    (
        {"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}},
        "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
    ),
]


@pytest.mark.parametrize(("body", "code"), BAD, ids=range(len(BAD)))
def test_what_is_wrong(body: dict[str, Any], code: str) -> None:
    assert code in {problem.code for problem in check_message(body)}


def test_components_v2_stays() -> None:
    before = {"flags": V2, "content": "", "embeds": [], "components": [text()]}
    assert check_message({"components": [text("new")]}, before=before) == []
    assert check_message({"components": [text("new")], "flags": V2}, before=before) == []
    assert check_message({"flags": 0}, before=before)
    assert check_message({"content": "x"}, before=before)
    legacy = {"flags": 0, "content": "old", "embeds": [], "components": []}
    assert check_message(v2(text()), before=legacy)
    assert check_message(v2(text()) | {"content": None}, before=legacy) == []


def test_empty_messages() -> None:
    assert is_empty({})
    assert is_empty({"content": "", "embeds": [], "components": None, "flags": 64})
    assert not is_empty({"components": [text()]})


def test_modals() -> None:
    field = {"type": 4, "custom_id": "f", "style": 1}
    labelled = {"type": 18, "label": "F", "component": field}
    good = {"custom_id": "m", "title": "T", "components": [labelled]}
    assert check_modal(good) == []
    assert check_modal(good | {"components": [row(field), text()]}) == []
    for wrong in (
        {"title": ""},
        {"title": "x" * 46},
        {"custom_id": ""},
        {"components": []},
        {"components": [labelled] * 6},
        {"components": [labelled, labelled]},
        {"components": [button()]},
        {"components": [row(button())]},
        {"components": [{"type": 18, "label": "", "component": field}]},
        {"components": [{"type": 18, "label": "F", "component": button()}]},
    ):
        assert check_modal(good | wrong), wrong
