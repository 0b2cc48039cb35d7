"""/skip, and its button."""

from __future__ import annotations

from interactions.commands.declare import Call, Click, button, command
from tonearm.music.actions import Skip


@command("Skip this track.")
def skip(call: Call) -> Skip:  # noqa: ARG001
    """The next track."""
    return Skip()


@button("skip")
def skip_button(click: Click) -> Skip:
    """The same, for the track that the button was shown with."""
    return Skip(play=click.value)
