"""/leave."""

from __future__ import annotations

from interactions.commands.declare import Call, command
from tonearm.music.actions import Leave


@command("Leave the voice channel. The queue is kept.")
def leave(call: Call) -> Leave:  # noqa: ARG001
    """Out of the voice channel."""
    return Leave()
