"""/pause, and its button."""

from __future__ import annotations

from interactions.commands.declare import Call, Click, button, command
from tonearm.music.actions import Pause


@command("Pause the music.")
def pause(call: Call) -> Pause:  # noqa: ARG001
    """Silence at this position."""
    return Pause()


@button("pause")
def pause_button(click: Click) -> Pause:
    """The same, for the track that the button was shown with."""
    return Pause(play=click.value)
