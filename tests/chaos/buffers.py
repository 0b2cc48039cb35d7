"""Whether the kernel keeps what the ear has not read yet: what it drops looks as if the bot had lost it."""

from __future__ import annotations

import socket

from playground.twin.voice.udp import _enlarge
from tests.chaos.report import Result

LEAST_BYTES = 8 << 20
"""As the kernel counts it."""


def receive_buffer() -> int:
    """How large the kernel makes it here, where the twin's is made just so. Bytes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        return _enlarge(udp)


def judge_buffer(result: Result, *, long: bool, size: int) -> None:
    """One that is too small voids the long form; the short form has to run in containers that may not enlarge it."""
    if size >= LEAST_BYTES:
        return
    told = f"the receive buffer is {size} bytes, not {LEAST_BYTES} (sysctl net.core.rmem_max)"
    if long:
        result.missed.append(f"void: {told}")
    else:
        result.lines.append(f"On this machine {told}: what the kernel drops voids the run.")
