"""/premium: what the guild has, and what there is to be had."""

from __future__ import annotations

from interactions.commands.declare import Call, Click, button, command
from tonearm.jobs.errand import ShowPlan, StartTrial

MANAGE_GUILD = 1 << 5


@command("Show this server's plan, what it allows, and the other plans.", private=True)
def premium(call: Call) -> ShowPlan:  # noqa: ARG001
    """The state, the features, and the buttons for a trial and for buying."""
    return ShowPlan()


@button("trial", permissions=MANAGE_GUILD)
def trial(click: Click) -> StartTrial:  # noqa: ARG001
    """The one trial of this server begins."""
    return StartTrial()
