"""A subscription from its trial to its end, seen from Discord: what is sold unlocks, and locks again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from playground.system import System
from playground.twin.seen import SeenMessage
from tests.e2e.conftest import OpenRoom, Room
from tonearm.cache import TermsCache
from tonearm.child_logs import LogFolder
from tonearm.postgres import grants
from tonearm.postgres.pool import Pool
from tonearm.premium.grants import Event, Source
from tonearm.premium.states import Kind
from tonearm.redis.client import connect

TIMEOUT = 15


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory, tones: Path) -> AsyncIterator[System]:
    """A system with a worker and the API."""
    folder = tmp_path_factory.mktemp("premium")
    with LogFolder(folder / "logs") as log:
        async with System(folder, library=tones, premium=True, log=log) as running:
            yield running
            assert await running.twin.violations() == []


class Customer:
    """Ada, who may manage her server, and what she sees."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.guild = str(room.guild.id)

    async def ask(self, name: str, **options: str | int) -> SeenMessage:
        return await (await self.room.say(name, **options)).answer(timeout=TIMEOUT)

    async def click(self, message: SeenMessage, which: str, values: list[str] | None = None) -> SeenMessage:
        return await (await self.room.ada.click(message, which, values)).answer(timeout=TIMEOUT)

    async def until(self, words: str, name: str, **options: str | int) -> None:
        """Ask until the answer has these words: others may take a minute to hear of a change."""
        async with asyncio.timeout(45):
            while True:
                if words in (await self.ask(name, **options)).text:
                    return
                await asyncio.sleep(1.1)  # not quicker than a person may


@pytest.fixture
async def ada(open_room: OpenRoom, shop: System) -> Customer:
    """She listens to something in a server that she manages."""
    room = await open_room(where=shop)
    await room.make_ada_boss()
    ada = Customer(room)
    await ada.ask("play", query="long 440")
    return ada


async def operator_ends_the_trial(shop: System, guild: int) -> None:
    """What time would do in a week."""
    now = datetime.now(UTC)
    async with Pool(shop.environ["TONEARM_DATABASE_URL"]) as pool, connect(shop.environ["TONEARM_REDIS_URL"]) as redis:
        await grants.record(pool, guild, Source.TRIAL, str(guild), Event("ended", Kind.REVOKE, now), now=now)
        await TermsCache(redis, pool, shard_count=1).forget(guild)


@pytest.mark.timeout(180)
async def test_from_the_trial_to_the_end_through_discords_events(ada: Customer, shop: System) -> None:
    assert "**Premium**" in (await ada.ask("volume", percent=150)).text
    card = await ada.ask("premium")
    assert "plan: Free" in card.text
    assert {button.get("sku_id") for button in card.buttons} >= set(shop.skus.values())

    card = await ada.click(card, "Start the trial")
    assert "plan: Premium (trial)" in card.text
    await ada.until("150", "volume", percent=150)
    assert "Start the trial" not in [button.get("label") for button in (await ada.ask("premium")).buttons]

    bought = await shop.twin.create_entitlement(shop.skus["pro"], guild=ada.guild)
    await ada.until("plan: Pro (active)", "premium")

    # A cancellation sends no event: the end is told when it has come.
    await operator_ends_the_trial(shop, int(ada.guild))
    await shop.twin.change_entitlement(bought["id"], ends_at=datetime.now(UTC).isoformat())
    await ada.until("plan: Free (ended)", "premium")
    await ada.until("**Premium**", "volume", percent=160)
    assert "Start the trial" not in [button.get("label") for button in (await ada.ask("premium")).buttons]


@pytest.mark.timeout(120)
async def test_settings_are_changed_by_selects_and_a_form(ada: Customer) -> None:
    card = await ada.ask("settings")
    assert "new player: 100 %" in card.text
    card = await ada.click(card, "Volume of a new player", ["75"])
    assert "new player: 75 %" in card.text
    refusal = await ada.click(card, "What is on", ["always_on", "announcements"])
    assert "24/7" in refusal.text
    opened = await ada.room.ada.click(card, "When I leave …")
    assert opened.modal is not None
    sent = await opened.submit(alone="2", idle="")
    assert "after 2 min alone, 15 min with nothing" in (await sent.answer(timeout=TIMEOUT)).text
    assert "after 2 min alone" in (await ada.ask("settings")).text
