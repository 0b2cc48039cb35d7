"""Interactions in types, and what is none."""

import json

import pytest

from interactions.discord.decode import (
    ChoicesWanted,
    CommandCalled,
    ComponentUsed,
    ModalSubmitted,
    Option,
    Ping,
    decode,
)
from tests.support.interactions.signed import APPLICATION, CHANNEL, GUILD, USER, click, command, interaction
from tonearm.errors import InvalidInteraction


def decoded(body):
    return decode(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (interaction(1), Ping),
        (command("x"), CommandCalled),
        (click("x"), ComponentUsed),
        (interaction(4, {"name": "x"}), ChoicesWanted),
        (interaction(5, {"custom_id": "x", "components": []}), ModalSubmitted),
    ],
)
def test_each_kind_has_its_type(body, kind):
    found = decoded(body)
    assert type(found) is kind
    assert found.id == int(body["id"])
    assert (found.application_id, found.guild_id, found.channel_id, found.caller) == (APPLICATION, GUILD, CHANNEL, USER)


def test_values_of_options_keep_their_kind():
    given = command("x", a="123", b=5, c=True, d=1.5, e="")
    assert decoded(given).data.options == (
        Option("a", 3, "123"),
        Option("b", 4, 5),
        Option("c", 5, True),
        Option("d", 10, 1.5),
        Option("e", 3, ""),
    )


def test_subcommands_nest():
    inner = {"name": "inner", "type": 1, "options": [{"name": "a", "type": 3, "value": "x"}]}
    found = decoded(interaction(2, {"name": "outer", "options": [inner]}))
    assert found.data.options[0].options[0].value == "x"


def test_outside_a_guild_the_caller_is_the_user():
    found = decoded(interaction(2, {"name": "x"}, guild_id=None, member=None, user={"id": "7"}))
    assert (found.guild_id, found.caller) == (None, 7)


def test_an_interaction_of_nobody_has_no_caller():
    with pytest.raises(InvalidInteraction, match="names no user"):
        _ = decoded(interaction(2, {"name": "x"}, member=None)).caller


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"type": 6}, r"\$\.type"),
        ({"type": "2"}, r"\$\.type"),
        ({"type": None}, r"\$\.type"),
        ({"id": "0"}, r"\$\.id"),
        ({"id": str(2**63)}, r"\$\.id"),
        ({"id": "abc"}, r"\$\.id"),
        ({"id": None}, r"\$\.id"),
        ({"guild_id": []}, r"\$\.guild_id"),
        ({"token": ""}, r"\$\.token"),
        ({"token": "x" * 1_001}, r"\$\.token"),
        ({"member": {"user": {}}}, r"\$\.member\.user"),
        ({"data": None}, r"\$\.data"),
        ({"data": {"name": "x" * 101}}, r"\$\.data\.name"),
        ({"data": {"name": "x", "options": {}}}, r"\$\.data\.options"),
        ({"data": {"name": "x", "options": [{"name": "a", "type": 3, "value": []}]}}, r"\$\.data\.options"),
    ],
)
def test_what_is_no_interaction_says_where(changes, where):
    with pytest.raises(InvalidInteraction, match=where) as caught:
        decoded(command("x") | changes)
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff", b"\x00" * 20, b"[" * 300_000])
def test_what_is_no_json_object(body):
    with pytest.raises(InvalidInteraction):
        decode(body)


def test_nothing_of_what_people_wrote_is_repeated():
    with pytest.raises(InvalidInteraction) as caught:
        decoded(command("x", query="a secret") | {"id": "a secret"})
    assert "secret" not in str(caught.value)
