"""What is seen from outside of one command: its trace over all processes, and logs that give nothing away."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from playground.system import PASSWORD, System
from playground.twin.seen import Reply
from tests.e2e.conftest import Room
from tests.support.api.serving import Caller, make_caller
from tests.support.collector import Collector
from tonearm.child_logs import LogFolder
from tonearm.postgres.pool import Pool
from tonearm.redis.client import connect
from tonearm.sentences import Sentence

OURS = ("interactions", "voice-node", "worker", "api")
STRIPE_KEY, STRIPE_SECRET, WEBHOOK_SECRET = "sk_test_unspoken", "whsec_unspoken", "whsec_unuttered"
TYPED = "words nobody else reads"


class Watched(System):
    """A system whose traces are sent to ``collector``."""

    collector: Collector
    logs: Path

    def lines(self, name: str) -> list[str]:
        """What a process has logged."""
        return (self.logs / f"{name}.log").read_text().splitlines()


@pytest.fixture(scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory, tones: Path) -> AsyncIterator[Watched]:
    """All processes, every answer deferred, so that it is the voice node's to bring."""
    folder = tmp_path_factory.mktemp("traced")
    settings = {
        "TRACES": "1",
        "LOG_FORMAT": "json",
        "INLINE_REPLY_MS": "0",
        "STRIPE_SECRET_KEY": STRIPE_KEY,
        "STRIPE_WEBHOOK_SECRETS": STRIPE_SECRET,
        "WEBHOOK_SECRETS": WEBHOOK_SECRET,
    }
    async with Collector().serving() as collector:
        with pytest.MonkeyPatch.context() as patch, LogFolder(folder / "logs") as log:
            patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
            patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
            async with Watched(folder, library=tones, settings=settings, premium=True, log=log) as running:
                running.collector, running.logs = collector, folder / "logs"
                yield running
                assert await running.twin.violations() == []


@pytest.fixture
async def stage(watched: Watched) -> AsyncIterator[Room]:
    """A guild there with Ada and an ear. The system that the other tests share need not be up for it."""
    guild = await watched.twin.create_guild(name="Stage", shard=0)
    ada = await watched.twin.create_user("Ada")
    await ada.join_guild(guild)
    voice = guild.voice_channels[0]
    await ada.join(voice)
    yield Room(watched.twin, guild, 0, guild.text_channels[0], voice, ada, await ada.listen(voice))
    await guild.disconnect_bot()


async def test_one_trace_leads_from_the_request_to_lavalinks_call(watched: Watched, stage: Room) -> None:
    reply = await stage.say("play", query="long 440")
    await reply.answer(timeout=10)
    await stage.ear.hears(440)
    first = await watched.collector.wait_one("interaction", interaction=reply.interaction_id)
    names = ("hand over", "job", "lavalink load", "commit", "sound", "lavalink play", "answer")
    seen = await watched.collector.wait(*names, trace=first.trace)
    parents = {name: seen[name].parent for name in names}
    assert first.parent == ""
    assert (first.attributes["tonearm.command"], first.attributes["tonearm.outcome"]) == ("play", "deferred")
    assert parents == {
        "hand over": first.id,
        "job": seen["hand over"].id,
        "lavalink load": seen["job"].id,
        "commit": seen["job"].id,
        "sound": seen["job"].id,
        "lavalink play": seen["sound"].id,
        "answer": seen["hand over"].id,
    }
    assert {name: seen[name].process for name in ("interaction", *names)} == {
        **dict.fromkeys(("interaction", "hand over"), "interactions"),
        **dict.fromkeys(names[1:], "voice-node"),
    }
    assert (seen["job"].attributes["tonearm.action"], seen["job"].attributes["tonearm.outcome"]) == ("play", "done")
    assert seen["job"].attributes["tonearm.guild"] == str(stage.guild.id)
    assert seen["answer"].attributes["tonearm.way"] == "edited"
    told = [json.loads(line) for line in watched.lines("voice-node")]
    done = [each for each in told if each.get("job") == f"i:{reply.interaction_id}" and each["message"] == "Job done"]
    assert [(each["trace"], each["guild"]) for each in done] == [(first.trace, int(stage.guild.id))]


async def test_an_errand_is_traced_to_the_worker(watched: Watched, stage: Room) -> None:
    reply = await stage.say("premium")
    await reply.answer(timeout=10)
    first = await watched.collector.wait_one("interaction", interaction=reply.interaction_id)
    seen = await watched.collector.wait("job", "answer", trace=first.trace)
    assert {seen[name].process for name in ("job", "answer")} == {"worker"}
    assert seen["job"].attributes["tonearm.action"] == "show_plan"


async def test_no_log_and_no_span_gives_anything_away(watched: Watched, stage: Room) -> None:
    replies = [
        await stage.say("play", query="long 440"),
        await stage.say("play", query=TYPED),
        await stage.say("play", query=f"http://ada:{TYPED.replace(' ', '')}@127.0.0.1:1/x.mp3"),
    ]
    for reply in replies:
        await reply.answer(timeout=10)
    key, strange = await _ask_the_api(watched, stage)
    asked = await watched.collector.wait_one("hand over", process="api")
    await watched.collector.wait("job", "commit", trace=asked.trace)
    await _send_what_is_wrong(watched)
    replies.append(await _lose_redis(watched, stage))
    secrets = {
        "the bot's token": watched.environ["TONEARM_DISCORD_BOT_TOKEN"],
        "Lavalink's password": PASSWORD,
        "Stripe's key": STRIPE_KEY,
        "Stripe's secret": STRIPE_SECRET,
        "the webhooks' secret": WEBHOOK_SECRET,
        "what was typed": TYPED,
        "what was typed as a password": TYPED.replace(" ", ""),
        "the key of the API": key,
        "a key of nobody": strange,
        **{f"the token of {reply.interaction_id}": reply.token for reply in replies},
        **await _kept_for_resuming(watched),
    }
    told = {name: "\n".join(watched.lines(name)) for name in (*OURS, "audio-node", "valkey", "postgres")}
    told["spans"] = b"".join(watched.collector.bodies).decode("latin-1")
    given_away = [(where, what) for where, text in told.items() for what, secret in secrets.items() if secret in text]
    assert given_away == []
    # What may be told is found by the same look.
    assert f"i:{replies[0].interaction_id}" in told["voice-node"]
    assert replies[0].interaction_id in told["spans"]
    assert "no reply in time" in told["interactions"]
    for name in OURS:
        for line in watched.lines(name):
            assert {"time", "level", "logger", "message"} <= json.loads(line).keys() or json.loads(line)["ready"], line


async def _ask_the_api(watched: Watched, stage: Room) -> tuple[str, str]:
    """Music by a script whose key is good, and by one whose key is not; returns both keys."""
    async with (
        Pool(watched.environ["TONEARM_DATABASE_URL"], timeout=5) as pool,
        httpx.AsyncClient(base_url=watched.api_url, timeout=10) as http,
    ):
        caller = await make_caller(http, pool, ["music:*"])
        assert caller.secret is not None
        wish = {"guild_id": str(stage.guild.id), "actor": str(stage.ada.id), "voice_channel_id": str(stage.voice.id)}
        assert (await caller.post("/music/play", {**wish, "query": TYPED}, Prefer="wait=2")).status_code < 300
        assert (await caller.post("/music/play", {**wish, "query": [TYPED]})).status_code == 422
        stranger = Caller(http, f"{caller.secret[:-6]}xxxxxx")
        assert stranger.secret is not None
        assert (await stranger.post("/music/play", {**wish, "query": TYPED})).status_code == 401
        return caller.secret, stranger.secret


async def _send_what_is_wrong(watched: Watched) -> None:
    """Requests that are signed and are none, and requests that are not signed."""
    body = json.dumps({"type": 2, "token": watched.environ["TONEARM_DISCORD_BOT_TOKEN"], "data": TYPED}).encode()
    signed = await watched.twin.send_raw(body, await watched.twin.sign(body))
    assert signed.status == 400
    assert (await watched.twin.send_raw(body, [("X-Signature-Ed25519", "00" * 64)])).status == 401
    async with httpx.AsyncClient(base_url=watched.api_url, timeout=10) as http:
        assert (await http.post("/webhook-events", content=body)).status_code == 401
        assert (await http.post("/webhook-events/stripe", content=body)).status_code == 400


async def _lose_redis(watched: Watched, stage: Room) -> Reply:
    """Redis hangs for a moment, in the middle of what somebody asks for."""
    async with connect(watched.environ["TONEARM_REDIS_URL"], timeout=5) as redis:
        pid = int((await redis.info("server"))["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        reply = await stage.say("play", query=TYPED)
        assert Sentence.MEMORY_AWAY in (await reply.answer(timeout=10)).text
    finally:
        os.kill(pid, signal.SIGCONT)
    return reply


async def _kept_for_resuming(watched: Watched) -> dict[str, str]:
    """With these, somebody else could go on with our sessions."""
    async with connect(watched.environ["TONEARM_REDIS_URL"], timeout=5) as redis:
        voices = [json.loads(each) for each in await redis.hvals("{s0}:voices")]
        gateway = json.loads(await redis.hget("{s0}:sessions", "gateway") or b"{}")
    assert voices
    kept = {f"a voice token {number}": str(voice["token"]) for number, voice in enumerate(voices)}
    return {**kept, "the gateway's session": str(gateway["session"])}
