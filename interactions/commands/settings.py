"""/settings: what a guild sets for itself, with selects and a form."""

from __future__ import annotations

from interactions.commands.declare import Call, Click, button, command
from interactions.commands.forms import Field, Form, form
from interactions.commands.premium import MANAGE_GUILD
from tonearm.errors import Refused
from tonearm.jobs.errand import ChangeSettings, ShowSettings
from tonearm.music.guild_settings import MOST_SECONDS
from tonearm.music.player import MAX_VOLUME
from tonearm.sentences import Sentence

MOST_MINUTES = MOST_SECONDS // 60


@command("Show and change what this server has set.", private=True, permissions=MANAGE_GUILD)
def settings(call: Call) -> ShowSettings:  # noqa: ARG001
    """All settings, each with a way to change it."""
    return ShowSettings()


@button("setvolume", permissions=MANAGE_GUILD)
def choose_volume(click: Click) -> ChangeSettings:
    """The volume of a new player, in per cent."""
    return ChangeSettings(default_volume=_number(_chosen(click), "volume", MAX_VOLUME))


@button("setswitch", permissions=MANAGE_GUILD)
def choose_switches(click: Click) -> ChangeSettings:
    """What is on; what was not chosen is off."""
    if set(click.chosen) - {"always_on", "announcements"}:
        raise Refused(Sentence.OLD_BUTTON)
    return ChangeSettings(always_on="always_on" in click.chosen, announcements="announcements" in click.chosen)


@form(
    "leaving",
    "When I leave the voice channel",
    permissions=MANAGE_GUILD,
    alone=Field("Minutes alone", "Empty leaves it as it is", most=4),
    idle=Field("Minutes with nothing playing", "Empty leaves it as it is", most=4),
)
def leaving(call: Call, alone: str, idle: str) -> ChangeSettings:  # noqa: ARG001
    """The two timers."""
    return ChangeSettings(
        alone_seconds=_number(alone, "Minutes alone", MOST_MINUTES) * 60 if alone else None,
        idle_seconds=_number(idle, "Minutes with nothing playing", MOST_MINUTES) * 60 if idle else None,
    )


@button("setleaving", permissions=MANAGE_GUILD)
def ask_leaving(click: Click) -> Form:  # noqa: ARG001
    """The form opens."""
    return leaving


def _chosen(click: Click) -> str:
    if len(click.chosen) != 1:
        raise Refused(Sentence.OLD_BUTTON)
    return click.chosen[0]


def _number(text: str, option: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= most):
        raise Refused(Sentence.BAD_OPTION, option=option, reason=f"a whole number from 0 to {most}")
    return int(text)
