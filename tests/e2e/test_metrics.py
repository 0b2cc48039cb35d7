"""What a Tonearm in use tells of itself: of each process what is its own, and of nobody who uses it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from playground.system import System
from tests.support.labels import unbounded
from tonearm.child_logs import LogFolder

if TYPE_CHECKING:
    from tests.e2e.conftest import Room


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory, tones: Path) -> AsyncIterator[System]:
    """Every process there is, with a database."""
    folder = tmp_path_factory.mktemp("metrics")
    with LogFolder(folder / "logs") as log:
        async with System(folder, library=tones, premium=True, settings={"SHARD_COUNT": "2"}, log=log) as running:
            yield running


class Scrape(dict[str, list[Metric]]):
    """What each process tells, by its name."""

    def value(self, process: str, name: str, /, **labels: str) -> float:
        """The sum of the samples of that name with these labels; NaN where there is none."""
        samples = [sample for metric in self[process] for sample in metric.samples if sample.name == name]
        found = [each.value for each in samples if labels.items() <= each.labels.items()]
        return sum(found) if found else math.nan


async def scrape(system: System) -> Scrape:
    urls = {
        "interactions": system.interactions_url,
        "api": system.api_url,
        "voice-node": system.voice_url,
        "worker": system.worker_url,
    }
    found = Scrape()
    async with aiohttp.ClientSession() as http:
        for process, url in urls.items():
            async with http.get(f"{url}/metrics") as answer:
                assert answer.status == 200
                found[process] = list(text_string_to_metric_families(await answer.text()))
    return found


async def scrape_until(system: System, holds: Callable[[Scrape], bool]) -> Scrape:
    """Scraped again and again, as Prometheus does; the worker looks each 10 s."""
    async with asyncio.timeout(60):
        while not holds(found := await scrape(system)):  # noqa: ASYNC110 - a scrape is an outside look
            await asyncio.sleep(0.2)
    return found


async def test_a_play_is_seen_from_its_answer_to_its_sound(system: System, room: Room) -> None:
    before = await scrape(system)
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    await room.ask("queue")
    after = await scrape_until(
        system,
        lambda now: (
            now.value("voice-node", "tonearm_sound_seconds_count")
            > before.value("voice-node", "tonearm_sound_seconds_count")
        ),
    )

    def grown(process: str, name: str, **labels: str) -> float:
        was = before.value(process, name, **labels)
        return after.value(process, name, **labels) - (0 if math.isnan(was) else was)

    assert grown("interactions", "tonearm_first_answers_total") == 2
    assert grown("interactions", "tonearm_first_answers_total", how="late") == 0
    assert grown("interactions", "tonearm_answer_seconds_count") == 2
    assert grown("voice-node", "tonearm_jobs_total", kind="play", outcome="done") == 1
    assert after.value("voice-node", "tonearm_players") >= 1
    assert after.value("voice-node", "tonearm_listeners") >= 1
    assert after.value("voice-node", "tonearm_lavalink_up") == len(system.audio_urls)
    assert after.value("voice-node", "tonearm_lavalink_players") >= 1
    assert after.value("voice-node", "tonearm_answers_lost_total") == 0
    for process in after:
        assert after.value(process, "tonearm_build_info", process=process) == 1


async def test_the_worker_sees_that_both_stores_are_there_and_every_shard_is_owned(system: System) -> None:
    found = await scrape_until(system, lambda now: now.value("worker", "tonearm_shards", state="owned") == 2)
    for name in ("redis_up", "postgres_up"):
        assert found.value("worker", f"tonearm_{name}") == 1
    assert found.value("worker", "tonearm_shards", state="ownerless") == 0
    assert found.value("worker", "tonearm_postgres_size_bytes") > 1 << 20
    assert found.value("worker", "tonearm_round_success_timestamp_seconds", round="watch") > 0
    assert math.isnan(found.value("voice-node", "tonearm_redis_up")), "only a worker looks"


async def test_no_label_says_who(system: System, room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ask("premium")
    found = await scrape(system)
    assert [strange for metrics in found.values() for strange in unbounded(metrics)] == []
    text = str(found)
    for secret in (room.guild.id, room.ada.id, room.voice.id, "long 440"):
        assert str(secret) not in text
