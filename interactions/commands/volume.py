"""/volume."""

from __future__ import annotations

from typing import Annotated

from interactions.commands.declare import Call, Option, command
from tonearm.music.actions import SetVolume
from tonearm.music.player import MAX_VOLUME
from tonearm.sentences import Sentence


@command("Set the volume.")
def volume(
    call: Call,  # noqa: ARG001
    percent: Annotated[int, Option("In per cent.", least=0, most=MAX_VOLUME, beyond=Sentence.VOLUME_RANGE)],
) -> SetVolume:
    """Louder or softer."""
    return SetVolume(percent)
