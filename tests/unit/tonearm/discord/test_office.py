"""The cards of plans and settings: what Discord takes, and what they say."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from playground.twin.checks import check_message
from tonearm.discord.office import (
    always_on_message,
    plan_message,
    portal_message,
    settings_message,
    subscribe_message,
)
from tonearm.music.guild_settings import GuildSettings
from tonearm.premium.grants import Grant, Source, judge
from tonearm.premium.plans import PRO, PlanId, Shelf, shelf
from tonearm.premium.states import State

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SHELF = shelf((("premium", "11"), ("pro", "22")))
PRICES = shelf((("premium", "price_1"), ("pro", "price_2")))


def buttons(body):
    return [b for row in body["components"] if row["type"] == 1 for b in row["components"]]


def access(source=Source.TRIAL, state=State.TRIALING, plan=PlanId.PREMIUM, payer=None):
    return judge([Grant(5, source, "r", plan, state, NOW, NOW + timedelta(days=7), payer=payer)], NOW)


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("state", [State.TRIALING, State.ACTIVE, State.CANCELING])
def test_every_card_is_one_that_discord_takes(source, state):
    assert check_message(plan_message(access(source, state), trial=True, shelf=SHELF, prices=PRICES, user=3)) == []
    assert check_message(settings_message(GuildSettings())) == []


def test_who_has_nothing_is_offered_the_trial_and_all_plans():
    body = plan_message(judge((), NOW), trial=True, shelf=SHELF)
    assert [each.get("sku_id") or each["label"] for each in buttons(body)] == ["Start the trial", "11", "22"]
    assert all(set(each) == {"type", "style", "sku_id"} for each in buttons(body) if each["style"] == 6)


def test_who_has_a_plan_is_offered_better_ones_only():
    assert [b["sku_id"] for b in buttons(plan_message(access(), trial=False, shelf=SHELF))] == ["22"]
    best = access(Source.MANUAL, State.ACTIVE, PlanId.PRO)
    assert buttons(plan_message(best, trial=False, shelf=SHELF)) == []


def test_who_pays_by_card_manages_it_and_nobody_else():
    bought = access(Source.STRIPE, State.ACTIVE, payer="discord:3")
    (manage,) = buttons(plan_message(bought, trial=False, shelf=SHELF, prices=PRICES, user=3))
    assert manage["custom_id"] == "v1:manage:open"
    for options in ({"prices": PRICES, "user": 4}, {"user": 3}):
        other = plan_message(bought, trial=False, shelf=SHELF, **options)
        assert buttons(other) == []
        assert "paid by card" in json.dumps(other)


def test_by_card_is_offered_what_has_a_price_and_is_better():
    shown = buttons(plan_message(judge((), NOW), trial=True, shelf=SHELF, prices=PRICES, user=3))
    assert [each["custom_id"] for each in shown if each["style"] == 2] == ["v1:subscribe:premium", "v1:subscribe:pro"]
    assert len(shown) == 5
    assert [b.get("custom_id") for b in buttons(plan_message(access(), trial=False, shelf=Shelf(), prices=PRICES))] == [
        "v1:subscribe:pro"
    ]
    bought = plan_message(access(Source.DISCORD, State.ACTIVE), trial=False, shelf=SHELF, prices=PRICES)
    assert [b.get("sku_id") for b in buttons(bought)] == ["22"]


@pytest.mark.parametrize("days", [0, 7])
def test_the_links_are_ones_that_discord_takes(days):
    for body in (subscribe_message(PRO, "https://pay.example/1", trial_days=days), portal_message("https://a.example")):
        assert check_message(body) == []
    assert ("7 days are free" in json.dumps(subscribe_message(PRO, "https://a.b", trial_days=days))) == bool(days)


def test_settings_show_what_is_chosen():
    body = settings_message(GuildSettings(default_volume=75, always_on=True, announcements=False))
    selects = [c for row in body["components"] if row["type"] == 1 for c in row["components"] if c["type"] == 3]
    chosen = [option["value"] for select in selects for option in select["options"] if option["default"]]
    assert chosen == ["75", "always_on"]


@pytest.mark.parametrize(
    ("on", "said"), [(True, ["24/7 is on"]), (False, ["24/7 is off", "5 minutes alone", "90 s with nothing playing"])]
)
def test_24_7_says_what_it_means(on, said):
    body = always_on_message(GuildSettings(alone_seconds=300, idle_seconds=90, always_on=on))
    assert check_message(body) == []
    assert all(words in body["components"][0]["components"][0]["content"] for words in said)
