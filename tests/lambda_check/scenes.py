"""The archive's content at work: a whole Tonearm in which Discord's interactions go to the function."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import redis.asyncio

from playground.library import tone
from playground.system import System
from playground.twin.handles import Actor, Channel, Guild
from playground.twin.voice.client import ListenerClient
from tests.chaos.proxies import Mode, Proxy
from tests.lambda_check.emulated import Content, Emulated, FunctionUrl
from tonearm.child_logs import LogFolder
from tonearm.redis import keys
from tonearm.sentences import Sentence

Check = tuple[str, bool, str]
"""What was looked at, whether it is well, and what is to be said of it."""

WINDOW_MS = 2_000
"""How long the function waits for answers here: the machine may be busy, and the response is what is looked at."""


@dataclass
class Scene:
    """A guild of the twin, somebody in its voice channel, and what stands between them and the voice node."""

    system: System
    function: Emulated
    url: FunctionUrl
    redis_proxy: Proxy
    guild: Guild
    text: Channel
    ada: Actor
    ear: ListenerClient

    async def ask(self, name: str, **options: str | int) -> str:
        """What Ada reads when she uses a command."""
        return (await (await self.ada.command(self.guild, self.text, name, **options)).answer(timeout=10)).text

    async def log(self) -> list[str]:
        """What was done in the guild, by whatever."""
        async with redis.asyncio.from_url(self.system.environ["TONEARM_REDIS_URL"], socket_timeout=5) as client:
            found = await client.lrange(keys.log(0, int(self.guild.id)), 0, -1)
        return [json.loads(each)["what"] for each in found]


async def play_is_heard(scene: Scene) -> str:
    said = await scene.ask("play", query="long 440")
    await scene.ear.hears(440)
    assert "440 Hz" in said, said
    return "440 Hz is heard"


async def a_bad_signature(scene: Scene) -> str:
    sent = {**scene.url.last, "headers": {**scene.url.last["headers"], "x-signature-ed25519": "00" * 64}}
    before = await scene.log()
    answer = await scene.function(sent)
    assert answer["statusCode"] == 401, answer
    assert before
    assert await scene.log() == before
    return "401, and nothing was done"


async def a_duplicate(scene: Scene) -> str:
    said = await scene.ask("volume", percent=40)
    before = await scene.log()
    answer = await scene.function(scene.url.last)
    assert answer["statusCode"] == 200, answer
    assert before[-1] == "volume", before
    assert "40" in said
    assert "40" in answer["body"], answer
    assert await scene.log() == before
    return "answered alike, done once"


async def a_base64_body(scene: Scene) -> str:
    scene.url.is_base64 = True
    try:
        said = await scene.ask("volume", percent=60)
        assert scene.url.last["isBase64Encoded"]
        assert "60" in said, said
    finally:
        scene.url.is_base64 = False
    return "decoded, and done"


async def redis_away(scene: Scene) -> str:
    await scene.redis_proxy.set(Mode.REFUSE)
    try:
        began = time.monotonic()
        said = await scene.ask("volume", percent=70)
        took = time.monotonic() - began
    finally:
        await scene.redis_proxy.set(Mode.PASS)
    assert said == Sentence.MEMORY_AWAY, said
    assert took < 2.5, took
    assert "70" in await scene.ask("volume", percent=70)
    return f"a sentence after {took * 1000:.0f} ms, and then as before"


async def dead_after_a_freeze(scene: Scene) -> str:
    for _ in range(3):
        scene.function.freeze()
        await scene.redis_proxy.set(Mode.REFUSE)  # what is open is reset
        await scene.redis_proxy.set(Mode.PASS)
        scene.function.thaw()
        said = await scene.ask("volume", percent=50)
        assert "50" in said, said
    return "3 times frozen, its connection reset, and answered at the first try"


SCENES: dict[str, Callable[[Scene], Awaitable[str]]] = {
    "a signed /play is heard": play_is_heard,
    "a bad signature": a_bad_signature,
    "a second delivery": a_duplicate,
    "a body in base64": a_base64_body,
    "Valkey away": redis_away,
    "a connection that died while frozen": dead_after_a_freeze,
}


async def play(content: Content, folder: Path) -> AsyncIterator[Check]:
    """All scenes, one after the other, in ``folder``."""
    library = folder / "library"
    library.mkdir()
    tone(library / "long 440.webm", 440, 60)
    (folder / "system").mkdir()
    with LogFolder(folder / "logs") as log:
        async with System(folder / "system", library=library, log=log) as system:
            there = urlsplit(system.environ["TONEARM_REDIS_URL"])
            address = (there.hostname or "", there.port or 0)
            settings = {
                name: system.environ[f"TONEARM_{name}"] for name in ("DISCORD_APPLICATION_ID", "DISCORD_PUBLIC_KEY")
            }
            async with Proxy(lambda: [address]) as proxy:
                settings |= {"REDIS_URL": f"redis://{proxy.address}", "INLINE_REPLY_MS": str(WINDOW_MS)}
                named = {f"TONEARM_{name}": value for name, value in settings.items()}
                async with Emulated(content, named) as function, FunctionUrl(function) as url:
                    await system.twin.set_interactions_url(f"{url.url}/interactions")
                    answer = (await system.twin.ping()).type
                    yield "Discord's PING", answer == 1, f"answered with type {answer}"
                    guild = await system.twin.create_guild(name="Lambda")
                    ada = await system.twin.create_user("Ada")
                    await ada.join_guild(guild)
                    await ada.join(guild.voice_channels[0])
                    ear = await ada.listen(guild.voice_channels[0])
                    scene = Scene(system, function, url, proxy, guild, guild.text_channels[0], ada, ear)
                    for name, each in SCENES.items():
                        try:
                            yield name, True, await each(scene)
                        except Exception as error:
                            yield name, False, f"{error!r}\n{function.log()[-3000:]}"
                    violations = await system.twin.violations()
                    yield "the twin has nothing to object to", not violations, f"{violations or 'no violation'}"
