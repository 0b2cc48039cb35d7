"""/premium: what the guild has, and what there is to be had."""

from __future__ import annotations

from interactions.commands.declare import Call, Click, button, command
from tonearm.errors import Refused
from tonearm.jobs.errand import ManagePlan, ShowPlan, StartTrial, Subscribe
from tonearm.premium.plans import PlanId
from tonearm.sentences import Sentence

MANAGE_GUILD = 1 << 5


@command("Show this server's plan, what it allows, and the other plans.", private=True)
def premium(call: Call) -> ShowPlan:  # noqa: ARG001
    """The state, the features, and the buttons for a trial and for buying."""
    return ShowPlan()


@button("trial", permissions=MANAGE_GUILD)
def trial(click: Click) -> StartTrial:  # noqa: ARG001
    """The one trial of this server begins."""
    return StartTrial()


@button("subscribe", permissions=MANAGE_GUILD)
def subscribe(click: Click) -> Subscribe:
    """A page where this server's plan is paid."""
    if click.value not in (PlanId.PREMIUM, PlanId.PRO):
        raise Refused(Sentence.OLD_BUTTON)
    return Subscribe(click.value)


@button("manage")
def manage(click: Click) -> ManagePlan:  # noqa: ARG001
    """A page where who pays changes or cancels it."""
    return ManagePlan()
