"""/play: the only command that starts music."""

from __future__ import annotations

from typing import Annotated

from interactions.commands.declare import Call, Option, command
from tonearm.errors import Refused
from tonearm.jobs.job import PLAY_VALID_MS
from tonearm.music.actions import Play
from tonearm.music.change import Where
from tonearm.sentences import Sentence

MAX_QUERY = 500
_PLACES = {Where.END: "at the end of the queue", Where.NEXT: "as the next track", Where.NOW: "now"}


@command("Play a link, or the first thing found for some words.", valid_ms=PLAY_VALID_MS)
def play(
    call: Call,  # noqa: ARG001
    query: Annotated[str, Option("A link, or words to search for.", most=MAX_QUERY, beyond=Sentence.QUERY_TOO_LONG)],
    where: Annotated[
        Where, Option("When it is to be played; at the end if you don't say.", labels=_PLACES)
    ] = Where.END,
) -> Play:
    """Queues what was found, or starts it."""
    query = query.strip()
    if not query:
        raise Refused(Sentence.QUERY_EMPTY)
    return Play(query, where)
