"""What a guild sets for its music."""

from __future__ import annotations

import msgspec

MOST_SECONDS = 86_400
"""The longest that the bot may be told to wait before it leaves."""


class GuildSettings(msgspec.Struct, frozen=True):
    """What holds where nobody has said otherwise.

    ``default_volume``: in per cent, with which a player begins. ``alone_seconds`` and ``idle_seconds``: after so long
    with nobody else in its channel, or with nothing playing, the bot leaves; 0 is at once. ``always_on``: it never
    does, where the plan allows that (24/7). ``announcements``: whether it says in the text channel why it left.
    """

    default_volume: int = 100
    alone_seconds: int = 300
    idle_seconds: int = 900
    always_on: bool = False
    announcements: bool = True
