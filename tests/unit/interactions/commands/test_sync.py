"""Declared against registered commands."""

import json

import pytest
from aiohttp import web

from interactions.commands import sync
from interactions.commands.sync import declared, main
from tonearm.discord.registration import compare, same

APPLICATION = 845027738276462632


def as_discord_returns(command):
    """A registered command, with all that Discord fills in."""

    def option(each):
        filled = {
            **each,
            "name_localizations": None,
            "description_localizations": None,
            "choices": [{**choice, "name_localizations": None} for choice in each.get("choices", [])] or None,
        }
        if not each["required"]:
            del filled["required"]  # Discord leaves out what is false
        return {name: value for name, value in filled.items() if value is not None or name.endswith("localizations")}

    returned = {
        **command,
        "id": "866818195033292851",
        "application_id": str(APPLICATION),
        "version": "866818195033292852",
        "dm_permission": False,
        "nsfw": False,
        "name_localizations": None,
        "description_localizations": None,
        "options": [option(each) for each in command["options"]],
    }
    if not returned["options"]:
        del returned["options"]
    return returned


def test_what_discord_fills_in_is_no_difference():
    for command in declared():
        assert same(command, as_discord_returns(command)), command["name"]


def changed(name, change):
    command = json.loads(json.dumps(next(each for each in declared() if each["name"] == name)))
    change(command)
    return command


@pytest.mark.parametrize(
    "change",
    [
        lambda each: each.update(description="Other."),
        lambda each: each.update(default_member_permissions="8"),
        lambda each: each.update(contexts=[0, 1]),
        lambda each: each.update(contexts=None),
        lambda each: each.update(integration_types=[0, 1]),
        lambda each: each.update(nsfw=True),
        lambda each: each.update(name_localizations={"de": "spiel"}),
        lambda each: each["options"].pop(),
        lambda each: each["options"].reverse(),
        lambda each: each["options"][0].update(required=False),
        lambda each: each["options"][0].update(max_length=499),
        lambda each: each["options"][0].update(autocomplete=True),
        lambda each: each["options"][0].update(description="Other."),
        lambda each: each["options"][0].update(type=4),
        lambda each: each["options"][1]["choices"].reverse(),
        lambda each: each["options"][1]["choices"].pop(),
        lambda each: each["options"][1]["choices"][0].update(name="other"),
    ],
)
def test_what_says_something_else_is_a_difference(change):
    ours = changed("play", lambda each: None)
    assert same(ours, as_discord_returns(ours))
    assert not same(ours, changed("play", change))


def test_the_order_of_contexts_says_nothing():
    assert same({"name": "x", "contexts": [0, 1]}, {"name": "x", "contexts": [1, 0]})


def test_the_comparison_names_each_command():
    ours = [{"name": "a"}, {"name": "b", "description": "x"}, {"name": "c"}]
    theirs = [{"name": "b", "description": "y"}, {"name": "c", "type": 1}, {"name": "d"}, {"name": "c", "type": 3}]
    assert compare(ours, theirs) == [
        ("added", "/a"),
        ("changed", "/b"),
        ("unchanged", "/c"),
        ("removed", "/d"),
        ("removed", "c (type 3)"),
    ]


@pytest.fixture
async def discord(monkeypatch):
    """Discord's commands, over HTTP; ``discord["registered"]`` is what it has, ``discord["puts"]`` what was put."""
    state = {"registered": [], "puts": []}

    async def get(request):
        state["path"] = request.path
        assert request.headers["Authorization"] == "Bot secret"
        return web.json_response(state["registered"])

    async def put(request):
        state["puts"].append((request.path, await request.json()))
        state["registered"] = [as_discord_returns(each) for each in await request.json()]
        return web.json_response(state["registered"])

    app = web.Application()
    for path in ("/applications/{app}/commands", "/applications/{app}/guilds/{guild}/commands"):
        app.router.add_get(path, get)
        app.router.add_put(path, put)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    monkeypatch.setenv("TONEARM_DISCORD_API_URL", f"http://127.0.0.1:{runner.addresses[0][1]}")
    monkeypatch.setenv("TONEARM_DISCORD_APPLICATION_ID", str(APPLICATION))
    monkeypatch.setenv("TONEARM_DISCORD_BOT_TOKEN", "secret")
    yield state
    await runner.cleanup()


async def test_synchronising_registers_what_is_declared_once(discord, capsys):
    assert await sync._sync(None, dry_run=False) == 0
    assert discord["puts"] == [(f"/applications/{APPLICATION}/commands", declared())]
    assert "added  /play" in capsys.readouterr().out
    assert await sync._sync(None, dry_run=False) == 0
    assert len(discord["puts"]) == 1
    assert "unchanged  /play" in capsys.readouterr().out


async def test_a_dry_run_changes_nothing_and_tells_by_its_code(discord, capsys):
    assert await sync._sync(None, dry_run=True) == 3
    assert "Nothing was changed." in capsys.readouterr().out
    discord["registered"] = [as_discord_returns(each) for each in declared()]
    assert await sync._sync(None, dry_run=True) == 0
    assert discord["puts"] == []


async def test_a_guild_has_commands_of_its_own(discord):
    await sync._sync(77, dry_run=False)
    assert discord["path"] == discord["puts"][0][0] == f"/applications/{APPLICATION}/guilds/77/commands"


def test_list_shows_what_is_declared(capsys):
    assert main(["list"]) == 0
    assert "/play        query [where]" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["other"], ["sync", "--guild", "x"]])
def test_a_wrong_command_line_is_explained(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
