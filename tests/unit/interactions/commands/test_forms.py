"""Forms: what opens them, what comes back, and who may send them in."""

import pytest

from interactions.commands import catalogue
from interactions.commands.declare import Call
from interactions.commands.settings import leaving
from interactions.discord.decode import Field as Given
from interactions.discord.decode import decode
from interactions.discord.route import label, route
from playground.twin.checks import check_modal
from tests.support.interactions import signed
from tonearm.errors import Refused
from tonearm.jobs.errand import ChangeSettings

MANAGE_GUILD = 1 << 5


def submitted(alone="2", idle="", permissions=MANAGE_GUILD, action="leaving", **others):
    lines = [
        {"type": 18, "id": 1, "component": {"type": 4, "id": 2, "custom_id": name, "value": value}}
        for name, value in (("alone", alone), ("idle", idle))
    ]
    body = signed.interaction(5, {"custom_id": f"v1:{action}:form", "components": lines}, **others)
    body["member"]["permissions"] = str(permissions)
    return decode(signed.json.dumps(body).encode())


def done(interaction):
    target = route(catalogue(), None, interaction)
    return target.declared.handler(target.call, **target.arguments)


def test_its_declaration_is_one_that_discord_takes():
    assert check_modal(leaving.declaration()) == []


def test_what_was_filled_in_becomes_an_errand():
    assert done(submitted()) == ChangeSettings(alone_seconds=120)
    assert done(submitted("", " 5 ")) == ChangeSettings(idle_seconds=300)
    assert label(catalogue(), submitted()) == "form:leaving"


@pytest.mark.parametrize("alone", ["x", "-1", "1441", "99999", "٣"])
def test_what_does_not_fit_is_a_sentence(alone):
    with pytest.raises(Refused, match="Minutes alone"):
        done(submitted(alone))


def test_who_lost_the_permission_may_not_send_it_in():
    with pytest.raises(Refused, match="Manage Server"):
        done(submitted(permissions=0))
    assert done(submitted(permissions=1 << 3)), "administrators may everything"


def test_what_is_none_of_ours_is_refused():
    with pytest.raises(Refused):
        done(submitted(action="other"))
    with pytest.raises(Refused):
        leaving.bind([Given("alone", "1")])
    with pytest.raises(Refused):
        leaving.bind([Given("alone", "1"), Given("idle", ""), Given("more", "")])


def test_the_button_opens_the_form():
    call = Call(1, 2, 3, None)
    assert catalogue().buttons["setleaving"].handler(call) is leaving
