"""A guild's voice where it is not as usual."""

import asyncio

import pytest

from playground.twin.voice.conditions import Conditions, Network
from playground.twin.voice.protocol import AES_GCM, MODES, XCHACHA


def test_modes_of_a_guild_go_before_those_of_all() -> None:
    conditions = Conditions()
    assert conditions.modes(1) == MODES
    conditions.offer(1, [XCHACHA])
    conditions.offer(None, [AES_GCM])
    assert (conditions.modes(1), conditions.modes(2)) == ((XCHACHA,), (AES_GCM,))
    conditions.offer(1, None)
    conditions.offer(None, None)
    assert conditions.modes(1) == MODES
    for modes in ([], ["xsalsa20_poly1305"]):
        with pytest.raises(ValueError, match="modes are some of"):
            conditions.offer(1, modes)


def test_dave_is_demanded_in_a_guild_or_a_channel() -> None:
    conditions = Conditions()
    conditions.require_dave(7, True)
    assert (conditions.needs_dave(1, 7), conditions.needs_dave(7, 1), conditions.needs_dave(1, 2)) == (
        True,
        True,
        False,
    )
    conditions.require_dave(7, False)
    assert not conditions.needs_dave(1, 7)


def test_a_way_without_delay_and_loss_is_none() -> None:
    conditions = Conditions()
    conditions.delay(1, 0.1, 0.0)
    assert conditions.network(1) is not None
    conditions.delay(1, 0.0, 0.0)
    assert conditions.network(1) is None
    for delay, loss in ((-1.0, 0.0), (0.0, 1.1), (0.0, -0.1)):
        with pytest.raises(ValueError, match="delay"):
            conditions.delay(1, delay, loss)


def test_the_same_share_is_lost_each_time() -> None:
    def arrived(seed: int) -> list[int]:
        network, found = Network(0.0, 0.25, seed), list[int]()
        for number in range(1_000):
            network.carry(b"", number, lambda _, arrival: found.append(arrival))
        return found

    assert arrived(1) == arrived(1) != arrived(2)
    assert 700 < len(arrived(1)) < 800


async def test_late_packets_keep_their_order_and_tell_when_they_came() -> None:
    network, found = Network(0.02, 0.0, 1), list[tuple[bytes, int]]()
    all_here = asyncio.Event()

    def deliver(packet: bytes, arrival: int) -> None:
        found.append((packet, arrival))
        if len(found) == 3:
            all_here.set()

    for number in range(3):
        network.carry(bytes([number]), number, deliver)
    assert found == []
    async with asyncio.timeout(5):
        await all_here.wait()
    assert found == [(bytes([number]), 20_000_000 + number) for number in range(3)]
