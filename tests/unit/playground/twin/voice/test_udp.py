"""Arrival times are those of the network, not of the event loop; drops are seen."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from playground.twin.voice.udp import Receiver

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps datagrams as they come in")


class Heard:
    def __init__(self) -> None:
        self.packets: list[tuple[bytes, int]] = []
        self.batch = asyncio.Event()
        self.receiver = Receiver(
            "127.0.0.1", lambda data, _, arrival: self.packets.append((data, arrival)), self.batch.set
        )


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    heard = Heard()
    heard.receiver.start()
    yield heard
    heard.receiver.close()


async def test_a_busy_loop_makes_no_packet_late(heard: Heard) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sent = []
        for number in range(3):
            sent.append(time.monotonic_ns())
            sender.sendto(bytes([number]), ("127.0.0.1", heard.receiver.port))
            time.sleep(0.05)  # noqa: ASYNC251 -- the loop is to be busy
    async with asyncio.timeout(5):
        await heard.batch.wait()
    assert [data for data, _ in heard.packets] == [b"\0", b"\1", b"\2"]
    for (_, arrival), at in zip(heard.packets, sent, strict=True):
        assert abs(arrival - at) < 20_000_000


def drops_in_proc(port: int) -> int:
    rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    (drops,) = [int(row[-1]) for row in rows if row[1].endswith(f":{port:04X}")]
    return drops


async def test_what_the_kernel_drops_is_told_as_proc_tells_it(heard: Heard) -> None:
    assert heard.receiver.drops == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(heard.receiver.buffer_bytes // 512 + 1_000):
            sender.sendto(bytes(600), ("127.0.0.1", heard.receiver.port))
    drops = heard.receiver.drops
    assert drops > 0
    assert drops == drops_in_proc(heard.receiver.port)


async def test_the_buffer_is_large(heard: Heard) -> None:
    if os.geteuid() == 0:
        assert heard.receiver.buffer_bytes >= 8 << 20
