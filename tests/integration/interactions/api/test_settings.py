"""A guild's settings through the API."""

import asyncio

import pytest

from tests.support.api.serving import GUILD, OTHER, problem

PATH = f"/guilds/{GUILD}/settings"
DEFAULTS = {
    "guild_id": str(GUILD),
    "default_volume": 100,
    "alone_seconds": 300,
    "idle_seconds": 900,
    "always_on": False,
    "announcements": True,
}


async def test_read_and_changed_in_part(caller):
    first = await caller.get(PATH)
    assert first.json() == DEFAULTS
    changed = await caller.patch(PATH, {"default_volume": 40, "announcements": False}, If_Match=first.headers["etag"])
    assert changed.json() == {**DEFAULTS, "default_volume": 40, "announcements": False}
    read = await caller.get(PATH)
    assert (read.json(), read.headers["etag"]) == (changed.json(), changed.headers["etag"])
    assert (await caller.get(PATH, If_None_Match=f'"x", {read.headers["etag"]}')).status_code == 304
    assert (await caller.get(PATH, If_None_Match=first.headers["etag"])).status_code == 200


async def test_only_as_it_was_read(caller):
    tag = (await caller.get(PATH)).headers["etag"]
    assert problem(await caller.patch(PATH, {"idle_seconds": 1})) == "precondition-required"
    both = await asyncio.gather(*(caller.patch(PATH, {"idle_seconds": n}, If_Match=tag) for n in (1, 2)))
    assert sorted(each.status_code for each in both) == [200, 412]


@pytest.mark.parametrize("wish", [{"always_on": True}, {"default_volume": 101}])
async def test_the_plan_is_the_limit(caller, wish):
    tag = (await caller.get(PATH)).headers["etag"]
    refused = await caller.patch(PATH, wish, If_Match=tag)
    assert (refused.status_code, problem(refused)) == (403, "plan-limit")
    assert "Premium" in refused.json()["detail"]
    await caller.post(f"/guilds/{GUILD}/subscription", {"plan": "premium"})
    assert (await caller.patch(PATH, wish, If_Match=tag)).status_code == 200


@pytest.mark.parametrize(
    "wish", [{"default_volume": 201}, {"idle_seconds": -1}, {"alone_seconds": 86_401}, {"x": 1}, {"always_on": None}]
)
async def test_what_does_not_fit_is_refused(caller, wish):
    assert problem(await caller.patch(PATH, wish, If_Match="*")) == "invalid"


async def test_what_was_read_of_another_guild_is_no_licence(caller):
    tags = [(await caller.get(PATH.replace(str(GUILD), each))).headers["etag"] for each in (str(GUILD), str(OTHER))]
    assert tags[0] != tags[1]
    assert problem(await caller.patch(PATH, {"idle_seconds": 1}, If_Match=tags[1])) == "precondition-failed"
