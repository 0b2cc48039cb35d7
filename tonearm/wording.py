"""Words from the world - titles, names, what people typed - made safe and short enough to be shown in Discord, and
lengths as people write them. Pure."""

from __future__ import annotations

import re
import unicodedata

_MARKDOWN = re.compile(r"[\\*_~`|>#\[\]<:@]")
_JOINERS = "\u200c\u200d"
_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0\u00ad\u034f\u17b4\u17b5\u180b\u180c\u180d\u180e")
_MOST_MARKS = 4


def plain(text: str, most: int) -> str:
    """``text`` as one line of at most ``most`` characters that shows what it holds, without Markdown's meaning taken.

    Line breaks become blanks. What is invisible or turns the direction of writing is dropped; joiners stay where they
    join letters or emoji, and marks that pile up on one letter are cut.
    """
    kept: list[str] = []
    marks = 0
    for character in text:
        kind = unicodedata.category(character)
        if kind in ("Zs", "Zl", "Zp") or character in "\t\n\v\f\r" or character in _BLANKS:
            character = " "
        elif kind in ("Cc", "Cf", "Cs", "Co") and character not in _JOINERS:
            continue
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if marks > _MOST_MARKS or (character in _JOINERS and (not kept or kept[-1].isascii())):
            continue
        if character == " " and (not kept or kept[-1] == " "):
            continue
        kept.append(character)
        if len(kept) > 4 * most:  # the rest will not be shown
            break
    line = "".join(kept).strip(" " + _JOINERS)
    if len(line) > most:
        line = line[: most - 1].rstrip(" " + _JOINERS) + "…"
    return line


def escape(text: str) -> str:
    """``text`` with everything that Discord's Markdown, mentions and emoji names could take for theirs escaped."""
    return _MARKDOWN.sub(r"\\\g<0>", text)


def shown(text: str, most: int, *, otherwise: str = "Untitled") -> str:
    """``text`` safe and short, or ``otherwise`` when nothing of it can be seen."""
    return escape(plain(text, most)) or otherwise


def clock(ms: int) -> str:
    """A length or position: ``3:45``, ``1:02:03``."""
    minutes, seconds = divmod(max(0, ms) // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
