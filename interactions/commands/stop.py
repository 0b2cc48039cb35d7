"""/stop, and its button."""

from __future__ import annotations

from interactions.commands.declare import Call, Click, button, command
from tonearm.music.actions import Stop


@command("Stop the music and clear the queue.")
def stop(call: Call) -> Stop:  # noqa: ARG001
    """Silence, and an empty queue."""
    return Stop()


@button("stop")
def stop_button(click: Click) -> Stop:
    """The same, for the track that the button was shown with."""
    return Stop(play=click.value)
