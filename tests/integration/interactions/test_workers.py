"""``tonearm interactions --workers 2``: one port, one count, and workers that come and go."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from interactions.process import main
from tests.support.interactions.signed import APPLICATION, KEY, interaction, send
from tonearm import __version__

PINGS = 40


class Family:
    """The process, and what its scrape says."""

    def __init__(self, process, url):
        self.process, self.url = process, url

    async def ping(self, number):
        """Each over a connection of its own, so that any worker may take it."""
        for _ in range(number):
            async with httpx.AsyncClient(base_url=self.url) as http:
                assert (await send(http, interaction(1))).json() == {"type": 1}

    async def scrape(self):
        async with httpx.AsyncClient(base_url=self.url) as http:
            text = (await http.get("/metrics")).text
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def pings(self):
        return (await self.scrape())["tonearm_interactions_total", ("command", "ping"), ("outcome", "answered")]

    def workers(self):
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {int(pid) for pid in children.split()}

    async def until_workers(self, ready):
        async with asyncio.timeout(30):
            while not ready(self.workers()):  # noqa: ASYNC110 - the kernel tells nobody who came
                await asyncio.sleep(0.02)


@pytest.fixture
async def family(redis_url, tmp_path):
    environment = {
        "TONEARM_DISCORD_APPLICATION_ID": str(APPLICATION),
        "TONEARM_DISCORD_PUBLIC_KEY": KEY.verify_key.encode().hex(),
        "TONEARM_REDIS_URL": redis_url,
        "TONEARM_PORT": "0",
        "TMPDIR": str(tmp_path),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tonearm", "interactions", "--workers", "2"),
        env={**os.environ, **environment},
        stdout=PIPE,
    )
    try:
        async with asyncio.timeout(40):
            ready = json.loads(await process.stdout.readline())
        assert (ready["ready"], ready["workers"]) == (True, 2)
        yield Family(process, ready["url"])
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_a_scrape_adds_up_whoever_answers_it(family):
    assert len(family.workers()) == 2
    await family.ping(PINGS)
    assert [await family.pings() for _ in range(4)] == [PINGS] * 4
    found = await family.scrape()
    assert found["tonearm_answer_seconds_count",] == PINGS
    assert found["tonearm_first_answers_total", ("how", "direct")] == PINGS
    assert found["tonearm_build_info", ("process", "interactions"), ("version", __version__)] == 1
    assert not any("pid" in dict(labels) for _, *labels in found)
    assert not any(name.startswith("tonearm_lease") for name, *_ in found)
    memory = sum(resident(pid) for pid in (family.process.pid, *family.workers()))
    assert found["process_resident_memory_bytes",] == pytest.approx(memory, rel=0.2)


def resident(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def test_what_a_worker_counted_outlives_it(family):
    await family.ping(PINGS)
    before = await family.scrape()
    victim, other = sorted(family.workers())
    os.kill(victim, signal.SIGKILL)
    await family.until_workers(lambda workers: victim not in workers)
    await family.ping(PINGS)  # the other one serves meanwhile
    await family.until_workers(lambda workers: len(workers) == 2)
    assert other in family.workers()
    await family.ping(PINGS)
    assert await family.pings() == 3 * PINGS
    after = await family.scrape()
    assert after["process_start_time_seconds",] == before["process_start_time_seconds",]
    assert after["tonearm_build_info", ("process", "interactions"), ("version", __version__)] == 1


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_in_order_and_leaves_nothing_behind(family, tmp_path, sig, process_gone):
    assert [each.name.startswith("tonearm-metrics-") for each in tmp_path.iterdir()] == [True]
    workers = family.workers()
    family.process.send_signal(sig)
    async with asyncio.timeout(10):
        assert await family.process.wait() == 0
    for worker in workers:
        await process_gone(worker)
    assert list(tmp_path.iterdir()) == []


async def test_workers_do_not_outlive_a_kill(family, process_gone):
    workers = family.workers()
    family.process.kill()
    for worker in workers:
        await process_gone(worker)


@pytest.mark.parametrize("number", ["0", "-1", "65", "two", "1.5"])
def test_how_many_is_a_whole_number(number, capsys):
    with pytest.raises(SystemExit):
        main(["--workers", number])
    assert "whole number from 1 to 64" in capsys.readouterr().err
