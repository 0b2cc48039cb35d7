"""What people read: a sentence of the catalogue, or what tells them that something was done. All else is unknown."""

from __future__ import annotations

import re

from tonearm.sentences import Sentence

DONE, UNKNOWN = "done", "not of the catalogue"

_OUTCOMES = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"-# Now playing\n### .+",
        r"-# Queued as (next|number [\d,]+ in the queue)[^\n]*\n### .+",
        r"⏸️ Paused \*\*[^\n]+\*\* at [\d:]+ of [\d:]+",
        r"▶️ Going on with \*\*[^\n]+\*\* at [\d:]+ of [\d:]+",
        r"⏭️ Skipped \*\*[^\n]+\*\*\n(Now playing \*\*[^\n]+\*\*|The queue is at its end\.)",
        r"[🔇🔊] [▰▱]{10} \*\*\d+%\*\*",
        r"### .+\n(⏸️ Paused|▶️ (Playing|Ends)) ?[^\n]*\n-# Requested by <@\d+>.*",  # the player, after a click
        r"(-# (Paused|Now playing)\n\*\*.+|Nothing is waiting\. .+|` *\d+` .+)",  # the queue
        r"### This server's plan: .+",
        r"`/\w+`: .+",  # what there is to use
    )
)
"""Written down here, not taken from the product: it could not be wrong otherwise."""


def told(text: str) -> str:
    """The name of the sentence that a text is, or that it is the outcome of something that was done."""
    text = text.strip()
    for name, pattern in _SENTENCES.items():
        if pattern.fullmatch(text):
            return name
    return DONE if any(pattern.fullmatch(text) for pattern in _OUTCOMES) else UNKNOWN


def _pattern(sentence: Sentence) -> re.Pattern[str]:
    parts = re.split(r"\{\w+\}", sentence.value)
    return re.compile(".+".join(re.escape(part) for part in parts), re.DOTALL)


_SENTENCES = {sentence.name: _pattern(sentence) for sentence in Sentence}
