"""What a guild's voice is like where it is not as usual: its encryption, DAVE, a bad network. Set by tests."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence

from playground.twin.voice.protocol import MODES

Deliver = Callable[[bytes, int], None]
"""(packet, arrival by CLOCK_MONOTONIC in ns)"""


class Network:
    """The way of a guild's audio to the server: it may be long, and lossy. The order is kept.

    Args:
        delay: seconds that each packet takes.
        loss: the share of packets that never arrive, 0 to 1.
        seed: decides which ones.
    """

    def __init__(self, delay: float, loss: float, seed: int) -> None:
        self.delay = delay
        self.loss = loss
        self._random = random.Random(seed)
        self._under_way: deque[tuple[bytes, int, Deliver]] = deque()

    def carry(self, packet: bytes, sent: int, deliver: Deliver) -> None:
        """Take a packet that was sent at that moment (ns), and deliver it when it is due, or never."""
        if self._random.random() < self.loss:
            return
        if self.delay <= 0:
            deliver(packet, sent)
            return
        self._under_way.append((packet, sent + int(self.delay * 1e9), deliver))
        asyncio.get_running_loop().call_later(self.delay, self._arrived)

    def _arrived(self) -> None:
        packet, arrival, deliver = self._under_way.popleft()
        deliver(packet, arrival)


class Conditions:
    """All of them, by guild; where nothing is set, everything is as usual."""

    def __init__(self) -> None:
        self.usual_modes: tuple[str, ...] = MODES
        """What guilds offer for which nothing else is said."""
        self._modes: dict[int, tuple[str, ...]] = {}
        self._dave: set[int] = set()
        self._networks: dict[int, Network] = {}

    def modes(self, guild_id: int) -> tuple[str, ...]:
        """Return the modes of encryption that are offered there."""
        return self._modes.get(guild_id, self.usual_modes)

    def offer(self, guild_id: int | None, modes: Sequence[str] | None) -> None:
        """Offer only these modes in a guild, or (None) everywhere else; None offers what is usual again.

        Raises ``ValueError`` for an unknown mode, or for none at all.
        """
        if modes is not None and (not modes or not set(modes) <= set(MODES)):
            raise ValueError(f"modes are some of {', '.join(MODES)}")
        if guild_id is None:
            self.usual_modes = MODES if modes is None else tuple(modes)
        elif modes is None:
            self._modes.pop(guild_id, None)
        else:
            self._modes[guild_id] = tuple(modes)

    def require_dave(self, place_id: int, required: bool) -> None:
        """Let a guild or a channel admit only clients that can do DAVE: here that is nobody."""
        if required:
            self._dave.add(place_id)
        else:
            self._dave.discard(place_id)

    def needs_dave(self, guild_id: int, channel_id: int) -> bool:
        """Return whether a client without DAVE is turned away there."""
        return guild_id in self._dave or channel_id in self._dave

    def network(self, guild_id: int) -> Network | None:
        """Return the way of a guild's audio, None where there is nothing to tell of it."""
        return self._networks.get(guild_id)

    def delay(self, guild_id: int, delay: float, loss: float) -> None:
        """Make a guild's way long or lossy, from now on; what is under way arrives as it was to.

        Raises ``ValueError`` if the delay is negative, or the loss no share.
        """
        if delay < 0 or not 0 <= loss <= 1:
            raise ValueError("the delay is not negative, and the loss between 0 and 1")
        if delay or loss:
            self._networks[guild_id] = Network(delay, loss, guild_id)
        else:
            self._networks.pop(guild_id, None)
