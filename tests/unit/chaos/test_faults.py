"""A fault that harms nobody is none: it is tried again, and somebody must be there in the end."""

from __future__ import annotations

import asyncio
import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from playground.twin.client import TwinError
from tests.chaos import faults as module
from tests.chaos.cluster import Cluster
from tests.chaos.faults import Faults, Struck
from tests.chaos.plan import Fault, Kind
from tests.chaos.rooms import Room


class Some:
    """Two nodes of each role, of which only some are whole; after ``looks`` the second is."""

    def __init__(self, looks: int) -> None:
        self.looks = looks
        self.ended: list[tuple[str, signal.Signals]] = []

    def names(self, role: str) -> list[str]:
        return [f"{role}0", f"{role}1"]

    def whole(self, name: str) -> bool:
        self.looks -= 1
        return self.looks < 0 and name.endswith("1")

    async def end(self, name: str, sig: signal.Signals) -> None:
        self.ended.append((name, sig))


class Guild:
    def __init__(self, name: str, refuses: int, asked: list[str]) -> None:
        self.name, self.refuses, self._asked = name, refuses, asked
        self.id, self._link = name, self

    async def bot_voice_state(self) -> dict[str, Any] | None:
        return {}

    async def call(self, verb: str, guild: str) -> None:
        assert (verb, guild) == ("cut_voice", self.id)
        self._asked.append(self.name)
        self.refuses -= 1
        if self.refuses >= 0:
            raise TwinError("not connected")


class Twin:
    """Only shard 1 is connected."""

    def __init__(self) -> None:
        self.cut: list[int] = []

    async def wait_ready(self, shard: int, timeout: float) -> None:
        if shard != 1:
            raise TimeoutError

    async def drop_gateway(self, shard: int) -> None:
        self.cut.append(shard)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(module, "MADE_WITHIN", 0.2)


def cluster(**parts: Any) -> Cluster:
    return cast(Cluster, SimpleNamespace(shape=SimpleNamespace(shards=2), **parts))


async def strike(faults: Faults, kind: Kind) -> Struck:
    return await faults.strike(Fault(0.0, kind, 0, 1.0))


async def test_it_is_done_to_somebody_who_is_whole_once_there_is_one() -> None:
    some = Some(looks=9)
    before = asyncio.get_running_loop().time()
    struck = await strike(Faults(cluster(processes=some), []), Kind.AUDIO_KILL)
    assert some.ended == [("audio-1", signal.SIGKILL)]
    assert struck.whom == "audio-1"
    assert before <= struck.begun <= struck.mended


@pytest.mark.parametrize("kind", [Kind.VOICE_TERM, Kind.HTTP_STOP, Kind.VOICE_CUT])
async def test_nobody_is_not_somebody(kind: Kind) -> None:
    with pytest.raises(TimeoutError, match="nobody was there"):
        await strike(Faults(cluster(processes=Some(looks=1 << 30)), []), kind)


async def test_a_room_in_which_it_cant_be_done_is_passed_over() -> None:
    asked: list[str] = []
    rooms = [SimpleNamespace(guild=Guild(name, refuses, asked)) for name, refuses in (("one", 1), ("two", 1))]
    struck = await strike(Faults(cluster(), cast(list[Room], rooms)), Kind.VOICE_CUT)
    assert (struck.whom, asked) == ("one", ["one", "two", "one"])


async def test_a_shard_that_is_not_connected_is_not_cut() -> None:
    twin = Twin()
    assert (await strike(Faults(cluster(twin=twin), []), Kind.GATEWAY_CUT)).whom == "shard 1"
    assert twin.cut == [1]
