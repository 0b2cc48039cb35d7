"""The log, the limits, the state on disk, the voice rules."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from playground.twin.errors import NotPossible
from playground.twin.interactions.sending import Signer
from playground.twin.journal import KEPT, Journal, contains
from playground.twin.model import Channel, ChannelType
from playground.twin.permissions import Permission
from playground.twin.rest.holds import Holds
from playground.twin.rest.limits import GLOBAL_LIMIT, Limit, Limiter
from playground.twin.state import load, save
from playground.twin.voicing import Voicing
from playground.twin.world import Event, World


async def test_waiting_looks_back_and_forward() -> None:
    journal = Journal()
    first = journal.add("event", "a", {"x": 1})
    assert await journal.wait(lambda entry: entry.name == "a", since=0, seconds=1) is first
    waiting = asyncio.create_task(journal.wait(lambda entry: entry.name == "a", since=first.seq, seconds=1))
    await asyncio.sleep(0)
    second = journal.add("event", "a", {})
    assert await waiting is second
    assert await journal.wait(lambda _: False, since=0, seconds=0.01) is None
    journal.violation("bad", "because")
    assert [entry.data for entry in journal.violations()] == [{"reason": "because"}]
    assert journal.violations(journal.last) == []


def test_the_log_forgets_the_oldest() -> None:
    journal = Journal()
    for number in range(KEPT + 10):
        journal.add("event", "a", {"n": number})
    assert next(journal.since(0)).data == {"n": 10}
    assert [entry.data["n"] for entry in journal.since(KEPT + 8)] == [KEPT + 8, KEPT + 9]


@pytest.mark.parametrize(
    ("data", "wanted", "expected"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 2}}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"b": None}, False),
        ({"a": [1, 2]}, {"a": [1, 2]}, True),
        ({"a": 1}, {"a": {"b": 1}}, False),
        ({}, {}, True),
    ],
)
def test_contains(data: Any, wanted: Any, expected: bool) -> None:
    assert contains(data, wanted) is expected


def test_limits() -> None:
    limiter, limit = Limiter(), Limit("messages", 2, 60.0)
    verdicts = [limiter.take(limit, "1", counts_globally=False) for _ in range(3)]
    assert [each.retry_after is None for each in verdicts] == [True, True, False]
    assert verdicts[0].headers["X-RateLimit-Remaining"] == "1"
    assert verdicts[2].headers["Via"]
    assert verdicts[2].headers["X-RateLimit-Scope"] == "user"
    assert not verdicts[2].is_global
    assert limiter.take(limit, "2", counts_globally=False).retry_after is None
    everything = [limiter.take(Limit("x", 1000), "1", counts_globally=True) for _ in range(GLOBAL_LIMIT + 1)]
    assert everything[-1].is_global
    limiter.enabled = False
    assert limiter.take(limit, "1", counts_globally=True).retry_after is None


async def test_holds() -> None:
    holds = Holds(Journal())
    with pytest.raises(NotPossible):
        holds.add("GET", "(", 1, None, None)
    first = holds.add("patch", "/webhooks/", 1, None, 503)
    assert await holds.pass_through("PATCH", "/webhooks/1/x") == 503
    assert await holds.pass_through("PATCH", "/webhooks/1/x") is None
    holds.release(first.id)
    with pytest.raises(NotPossible):
        holds.release(first.id)
    held = holds.add("GET", "/g", None, None, None)
    waiting = asyncio.create_task(holds.pass_through("GET", "/guilds"))
    await asyncio.sleep(0)
    assert (held.waiting, waiting.done()) == (1, False)
    holds.close()
    assert await waiting is None


def test_the_world_comes_back_from_disk(tmp_path: Path) -> None:
    world, signer, path = World(), Signer(), tmp_path / "twin.json"
    guild = world.create_guild("G", roles=1)
    alice = world.create_user("Alice")
    world.join_guild(guild, alice.id)
    world.commands.replace(None, [{"name": "play", "description": "Play"}])
    save(path, world, signer.seed)
    again, seed = load(path)
    assert (again.token, again.application_id, seed) == (world.token, world.application_id, signer.seed)
    assert again.guilds == world.guilds
    assert again.commands.find(guild.id, "play") == world.commands.find(guild.id, "play")
    assert again.users[alice.id].name == "Alice"
    assert again.channels.keys() == world.channels.keys()
    assert path.stat().st_mode & 0o77 == 0


class Link:
    """A voice server that only remembers."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def endpoint_of(self, guild_id: int) -> str:
        return "localhost:1"

    def cut(self, guild_id: int, user_id: int) -> bool:
        return False

    def is_connected(self, guild_id: int, user_id: int) -> bool:
        return False

    def expect(self, guild_id: int, channel_id: int, user_id: int, session_id: str, token: str) -> None:
        self.done.append(("expect", channel_id, session_id))

    async def disconnect(self, guild_id: int, user_id: int, code: int = 4014) -> None:
        self.done.append(("disconnect", code))

    def mute(self, guild_id: int, user_id: int, muted: bool) -> None:
        self.done.append(("mute", muted))


async def test_people_in_voice() -> None:
    world, journal = World(), Journal()
    events: list[Event] = []
    world.listen(events.append)
    voicing = Voicing(world, journal, Link())
    guild, other = world.create_guild("G"), world.create_guild("H")
    alice = world.create_user("Alice")

    def voice(guild_id: int) -> Channel:
        channels = world.guilds[guild_id].channels.values()
        return next(each for each in channels if each.type == ChannelType.VOICE)

    with pytest.raises(NotPossible, match="not a member"):
        voicing.join(voice(guild.id), alice.id)
    for each in (guild, other):
        world.join_guild(each, alice.id)
    voicing.join(voice(guild.id), alice.id)
    voicing.join(voice(other.id), alice.id)
    assert alice.id not in guild.voice_states
    told = [(each.guild_id, each.data["channel_id"]) for each in events if each.name == "VOICE_STATE_UPDATE"]
    assert told == [
        (guild.id, str(voice(guild.id).id)),
        (guild.id, None),
        (other.id, str(voice(other.id).id)),
    ]
    text = next(each for each in guild.channels.values() if each.type == ChannelType.TEXT)
    with pytest.raises(NotPossible, match="not a voice channel"):
        voicing.join(text, alice.id)
    voice(guild.id).user_limit = 1
    voicing.join(voice(guild.id), alice.id)
    bob = world.create_user("Bob")
    world.join_guild(guild, bob.id)
    with pytest.raises(NotPossible, match="full"):
        voicing.join(voice(guild.id), bob.id)
    world.overwrite(voice(guild.id), bob.id, int(Permission.MOVE_MEMBERS), 0)
    voicing.join(voice(guild.id), bob.id)
    voicing.change(guild, bob.id, self_mute=None, self_deaf=True)
    assert events[-1].data["self_deaf"] is True
    voicing.leave(guild, bob.id)
    with pytest.raises(NotPossible):
        voicing.leave(guild, bob.id)
    with pytest.raises(NotPossible):
        voicing.change(guild, bob.id, self_mute=True, self_deaf=None)
    await voicing.close()
