"""/resume, and its button."""

from __future__ import annotations

from interactions.commands.declare import Call, Click, button, command
from tonearm.music.actions import Resume


@command("Go on with the music.")
def resume(call: Call) -> Resume:  # noqa: ARG001
    """Music again, from where it was paused."""
    return Resume()


@button("resume")
def resume_button(click: Click) -> Resume:
    """The same, for the track that the button was shown with."""
    return Resume(play=click.value)
