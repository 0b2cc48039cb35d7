"""One UDP socket for all voice connections, with arrival times that do not depend on how busy this process is.

The kernel stamps every datagram as it comes in (`SO_TIMESTAMPNS`), so a late event loop makes no packet late,
and the socket may be drained in batches: after each the receiver rests for a few milliseconds, which at
5,000 packets/s costs a fraction of waking up for every single one. What is not drained in time is dropped by
the kernel, and counted: a measurement with drops is void.
"""

import asyncio
import logging
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Final

BUFFER_BYTES: Final = 16 << 20
REST_S: Final = 0.004
_BATCH: Final = 512
_DATAGRAM_BYTES: Final = 2048
# From Linux' asm-generic/socket.h; the socket module does not name them.
_SO_RCVBUFFORCE: Final = 33
_SO_TIMESTAMPNS: Final = 35
_SO_MEMINFO: Final = 55
_SK_MEMINFO_DROPS: Final = 8
_TIMESPEC: Final = struct.Struct("@ll")

log = logging.getLogger(__name__)

OnPacket = Callable[[bytes, tuple[str, int], int], None]
"""(datagram, sender, arrival by CLOCK_MONOTONIC in ns)"""


class Receiver:
    """Hands every datagram to `on_packet`, and calls `on_batch` after each batch of them."""

    def __init__(self, host: str, on_packet: OnPacket, on_batch: Callable[[], None]) -> None:
        self._on_packet = on_packet
        self._on_batch = on_batch
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self.buffer_bytes = _enlarge(self._socket)
        self._stamped = _stamp(self._socket)
        self._host = host
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rest: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port, once started."""
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def drops(self) -> int:
        """Datagrams that the kernel dropped since the start, as in /proc/net/udp; 0 if it does not say."""
        if sys.platform != "linux":
            return 0
        answer = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_SK_MEMINFO_DROPS + 1))
        return int.from_bytes(answer[4 * _SK_MEMINFO_DROPS :], sys.byteorder)

    def start(self) -> None:
        """Bind to a free port and receive from now on. Raises `OSError` if there is no such address."""
        self._socket.bind((self._host, 0))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Stop receiving; what is still in the kernel's buffer is lost."""
        if self._rest is not None:
            self._rest.cancel()
        if self._loop is not None:
            self._loop.remove_reader(self._socket)
        self._socket.close()

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        """Send a datagram, or drop it if the kernel's buffer is full, as a network may."""
        try:
            self._socket.sendto(data, address)
        except OSError as error:
            log.debug("cannot send to %s: %s", address, error)

    def _readable(self) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._socket)
        try:
            self._drain()
            self._on_batch()
        finally:
            self._rest = self._loop.call_later(REST_S, self._rested)

    def _rested(self) -> None:
        assert self._loop is not None
        self._loop.add_reader(self._socket, self._readable)

    def _drain(self) -> None:
        receive, on_packet = self._socket.recvmsg, self._on_packet
        now = time.monotonic_ns()
        offset = now - time.time_ns()
        for _ in range(_BATCH):
            try:
                data, ancillary, _, sender = receive(_DATAGRAM_BYTES, 64)
            except BlockingIOError:
                return
            except OSError as error:  # an ICMP error of something sent earlier
                log.debug("cannot receive: %s", error)
                continue
            arrival = time.monotonic_ns()
            if self._stamped and ancillary:
                seconds, nanoseconds = _TIMESPEC.unpack_from(ancillary[0][2])
                arrival = min(arrival, seconds * 1_000_000_000 + nanoseconds + offset)
            on_packet(data, sender, arrival)


def _enlarge(udp: socket.socket) -> int:
    """Make the receive buffer as large as allowed and return its size in bytes, as the kernel counts it."""
    try:
        udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
    except OSError:  # needs CAP_NET_ADMIN
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    size = udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    if size < 8 << 20:
        log.warning("the receive buffer is only %d bytes: a busy machine may drop packets", size)
    return size


def _stamp(udp: socket.socket) -> bool:
    try:
        udp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return sys.platform == "linux"
