"""/seek."""

from __future__ import annotations

import re
from typing import Annotated

from interactions.commands.declare import Call, Option, command
from tonearm.errors import Refused
from tonearm.music.actions import Seek
from tonearm.sentences import Sentence

_MOMENT = re.compile(r"(?:(?:(?P<hours>\d{1,2}):)?(?P<minutes>\d{1,2}):)?(?P<seconds>\d{1,6})", re.ASCII)


@command("Go to a moment of this track.")
def seek(call: Call, to: Annotated[str, Option("From its beginning, as 90, 1:30 or 1:02:03.", most=10)]) -> Seek:  # noqa: ARG001
    """Back or forward."""
    return Seek(moment_ms(to))


def moment_ms(text: str) -> int:
    """``90``, ``1:30`` or ``1:02:03`` in ms.

    Raises:
        Refused: it is none of these.
    """
    found = _MOMENT.fullmatch(text.strip())
    if found is None or (found["minutes"] and (len(found["seconds"]) != 2 or int(found["seconds"]) > 59)):
        raise Refused(Sentence.SEEK_FORM)
    if found["hours"] and int(found["minutes"]) > 59:
        raise Refused(Sentence.SEEK_FORM)
    return (int(found["hours"] or 0) * 3600 + int(found["minutes"] or 0) * 60 + int(found["seconds"])) * 1000
