"""Bad input and failure: each within 2.5 s a sentence of the catalogue, and no effect."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import redis.asyncio

from playground.system import System
from playground.twin.permissions import Permission
from playground.twin.seen import Reply
from tonearm.child_logs import LogFolder
from tonearm.music.track import Entry, Track
from tonearm.redis import keys
from tonearm.sentences import Sentence
from tonearm.settings import PREFIX

if TYPE_CHECKING:
    from tests.e2e.conftest import OpenRoom, Room

IN_TIME_MS = 2_500


async def read(reply: Reply) -> str:
    """The answer, which must come in time and be private."""
    answer = await reply.answer(timeout=IN_TIME_MS / 1000)
    assert reply.answered_at_ns is not None
    assert (reply.answered_at_ns - reply.sent_at_ns) / 1e6 < IN_TIME_MS
    assert answer.ephemeral
    return answer.text


# What a person does wrong.


async def test_the_caller_is_in_no_channel(room: Room) -> None:
    await room.ada.leave()
    assert await read(await room.say("play", query="long 440")) == Sentence.NOT_IN_VOICE


async def test_the_caller_is_in_another_channel(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    await room.ada.move(room.guild.voice_channels[1])
    sentence = Sentence.OTHER_CHANNEL.format(channel=room.voice.id)
    for name, options in (("play", {"query": "long 660"}), ("pause", {}), ("skip", {}), ("volume", {"percent": 10})):
        assert await read(await room.say(name, **options)) == sentence
    await room.ear.hears(440)


async def test_nothing_plays(room: Room) -> None:
    for name in ("pause", "resume", "skip", "stop", "leave"):
        assert await read(await room.say(name)) == Sentence.NOT_CONNECTED


async def test_nothing_is_found(room: Room) -> None:
    sentence = Sentence.NOTHING_FOUND.format(query="quixotic zither")
    assert await read(await room.say("play", query="quixotic zither")) == sentence
    assert await room.guild.bot_voice_state() is None


async def test_a_broken_track_is_told_of(room: Room, system: System) -> None:
    no_music = system.environ[f"{PREFIX}DISCORD_API_URL"] + "/gateway"
    text = await read(await room.say("play", query=no_music))
    reason = "Something went wrong while looking up the track"
    assert text == Sentence.TRACK_BROKEN.format(query=no_music, reason=reason)


async def test_a_full_queue(room: Room, system: System) -> None:
    entry = Entry("x", Track(encoded="x", title="x"), 1)
    shard, guild = room.shard, int(room.guild.id)
    async with redis.asyncio.from_url(system.environ[f"{PREFIX}REDIS_URL"]) as client:
        names = {f"x:{number}": number for number in range(10_000)}
        await client.zadd(keys.queue(shard, guild), names)
        await client.hset(keys.entries(shard, guild), mapping=dict.fromkeys(names, msgspec.json.encode(entry)))
    await room.ask("play", query="long 440")
    assert await read(await room.say("play", query="long 660")) == Sentence.QUEUE_FULL.format(limit=10_000)


async def test_too_many_requests(room: Room) -> None:
    replies = await asyncio.gather(*(room.say("pause") for _ in range(14)))
    texts = [await read(reply) for reply in replies]
    refused = Sentence.TOO_MANY_FROM_USER.value.partition("{")[0]
    assert sum(text.startswith(refused) for text in texts) >= 3
    assert sum(text == Sentence.NOT_CONNECTED for text in texts) >= 10


# What the server or an admin does.


@pytest.mark.parametrize(
    ("permission", "sentence"),
    [(Permission.CONNECT, Sentence.NO_CONNECT), (Permission.SPEAK, Sentence.NO_SPEAK)],
)
async def test_the_bot_lacks_a_permission(room: Room, permission: Permission, sentence: Sentence) -> None:
    bot = (await room.twin.about())["bot_id"]
    await room.voice.set_permissions(bot, deny=permission)
    assert await read(await room.say("play", query="long 440")) == sentence.format(channel=room.voice.id)
    assert await room.guild.bot_voice_state() is None


async def test_a_full_channel(room: Room) -> None:
    await room.voice.set_user_limit(1)
    assert await read(await room.say("play", query="long 440")) == Sentence.CHANNEL_FULL.format(channel=room.voice.id)


async def test_a_server_that_has_the_commands_but_not_the_bot(open_room: OpenRoom, system: System) -> None:
    guild = await system.twin.create_guild(name="No bot", bot=False)
    ada = await system.twin.create_user("Ada")
    await ada.join_guild(guild)
    await ada.join(guild.voice_channels[0])
    reply = await ada.command(guild, guild.text_channels[0], "play", query="long 440")
    assert (
        await read(reply) == Sentence.NOT_A_MEMBER.format(link="").strip()
        or "oauth2/authorize" in (await reply.answer()).text
    )


# What comes over the wire.


async def test_the_same_interaction_twice_has_one_effect_and_one_answer(room: Room) -> None:
    reply = await room.ada.command_with(room.guild, room.text, "play", {"query": "long 440"}, twice=True)
    answer = await reply.answer()
    assert reply.second is not None
    assert reply.second.status == 200
    again = json.loads(reply.second.body)
    assert again["type"] == reply.type
    assert "440 Hz" in json.dumps(again)
    assert "440 Hz" in answer.text
    assert "Nothing" in (await room.ask("queue")).text or "440 Hz" in (await room.ask("queue")).text
    await room.ear.hears(440)
    waiting = (await room.ask("queue")).text
    assert waiting.count("440 Hz") == 1


async def test_a_bad_missing_or_stale_signature_is_401(room: Room) -> None:
    body = json.dumps(await room.ada.draft(room.guild, room.text, "play", query="long 440")).encode()
    good = await room.twin.sign(body)
    stale = await room.twin.sign(body, 1)
    bad = [(name, value if "timestamp" in name.lower() else "0" * 128) for name, value in good]
    unsigned = [(name, value) for name, value in good if "signature-ed25519" not in name.lower()]
    undated = [(name, value) for name, value in good if "timestamp" not in name.lower()]
    for headers in ([], bad, stale, unsigned, undated):
        answer = await room.twin.send_raw(body, headers)
        assert answer.status == 401
    assert (await room.twin.send_raw(body + b" ", good)).status == 401
    assert await room.guild.bot_voice_state() is None


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b'{"type":"2"}', 400), (b"\xff\xfe", 400)],
)
async def test_what_is_no_interaction_is_400(room: Room, body: bytes, status: int) -> None:
    assert (await room.twin.send_raw(body, await room.twin.sign(body))).status == status


async def test_a_megabyte_is_413(room: Room) -> None:
    body = b" " * (1 << 20)
    assert (await room.twin.send_raw(body, await room.twin.sign(body))).status == 413


async def test_an_unknown_command_and_wrong_types_are_sentences(room: Room) -> None:
    unknown = await room.ada.draft(room.guild, room.text, "play", query="long 440")
    unknown["data"]["name"] = "yodel"
    wrong = await room.ada.draft(room.guild, room.text, "volume", percent=10)
    wrong["data"]["options"][0]["value"] = "loud"
    for payload, sentence in ((unknown, Sentence.UNKNOWN_COMMAND.value), (wrong, "The value of `percent`")):
        body = json.dumps(payload).encode()
        answer = await room.twin.send_raw(body, await room.twin.sign(body))
        assert answer.status == 200
        assert sentence in json.dumps(json.loads(answer.body), ensure_ascii=False)


# What breaks. A system of their own, as the others need theirs whole.


@pytest.fixture(scope="module")
async def fragile(tmp_path_factory: pytest.TempPathFactory, tones: Path) -> AsyncIterator[System]:
    folder = tmp_path_factory.mktemp("fragile")
    with LogFolder(folder / "logs") as log:
        async with System(folder, library=tones, log=log) as running:
            yield running


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family(int(child)))]


@contextmanager
def hanging(system: System, name: str) -> Iterator[None]:
    """A process, and what it started, that stands still."""
    pid = system.supervisor.pid(name)
    assert pid is not None
    members = family(pid)
    for member in members:
        os.kill(member, signal.SIGSTOP)
    try:
        yield
    finally:
        for member in reversed(members):
            os.kill(member, signal.SIGCONT)


async def sentences(room: Room, *commands: tuple[str, dict[str, str | int]]) -> set[str]:
    """What each command is answered with, in time."""
    return {await read(await room.say(name, **options)) for name, options in commands}


PLAY = ("play", {"query": "long 660"})
PAUSE: tuple[str, dict[str, str | int]] = ("pause", {})
QUEUE: tuple[str, dict[str, str | int]] = ("queue", {})


async def test_redis_hangs_and_the_music_plays_on(open_room: OpenRoom, fragile: System) -> None:
    room = await open_room(where=fragile)
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    with hanging(fragile, "valkey"):
        assert await sentences(room, PLAY, PAUSE, QUEUE) == {Sentence.MEMORY_AWAY}
        await room.ear.hears(440)
    await room.ask("pause")
    await room.ear.hears_silence()


async def test_the_audio_node_hangs(open_room: OpenRoom, fragile: System) -> None:
    room = await open_room(where=fragile)
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    with hanging(fragile, "audio-node"):
        assert await sentences(room, PLAY, PAUSE) == {Sentence.SOUND_AWAY}
    await room.ask("play", query="long 660", where="now")
    await room.ear.hears(660)


async def expired(system: System, key: str) -> None:
    """Wait until Redis says that ``key`` ran out."""
    async with redis.asyncio.from_url(system.environ[f"{PREFIX}REDIS_URL"]) as client:
        await client.config_set("notify-keyspace-events", "Kx")
        async with client.pubsub() as subscription, asyncio.timeout(15):
            await subscription.subscribe(f"__keyspace@0__:{key}")
            async for message in subscription.listen():
                if message["type"] == "message" or not await client.exists(key):
                    return


async def test_no_voice_node_is_alive(open_room: OpenRoom, fragile: System) -> None:
    room = await open_room(where=fragile)
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    with hanging(fragile, "voice-node"):
        await expired(fragile, keys.lease(0))
        assert await sentences(room, PLAY, PAUSE) == {Sentence.NO_PLAYER}
        since = await room.twin.mark()
    await room.twin.wait_for("session_resumed", since=since, timeout=10)
    await room.ear.hears(440)
    await room.ask("pause")
    await room.ear.hears_silence()


async def test_a_killed_voice_node_comes_back_with_music_and_queue(open_room: OpenRoom, fragile: System) -> None:
    room = await open_room(where=fragile)
    await room.ask("play", query="long 440")
    await room.ask("play", query="long 660")
    await room.ear.hears(440)
    since = await room.twin.mark()
    await fragile.supervisor.kill("voice-node")
    await room.twin.wait_for("session_resumed", since=since, timeout=30)
    await room.ear.hears(440, within=15)
    await room.ask("skip")
    await room.ear.hears(660)


async def test_the_audio_node_is_down(open_room: OpenRoom, fragile: System) -> None:
    room = await open_room(where=fragile)
    await fragile.supervisor.kill("audio-node")
    assert await sentences(room, PLAY) == {Sentence.SOUND_AWAY}


async def test_redis_is_down(open_room: OpenRoom, fragile: System) -> None:
    room = await open_room(where=fragile)
    await fragile.supervisor.kill("valkey")
    assert await sentences(room, PLAY, PAUSE, QUEUE) == {Sentence.MEMORY_AWAY}
