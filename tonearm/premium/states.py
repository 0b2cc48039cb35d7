"""The states of a subscription, and the one table of how it goes from one to another.

Code, documentation and the diagram are made from :data:`TABLE`; what is not in it does not happen.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """Where a subscription stands."""

    NONE = "none"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    CANCELING = "canceling"
    EXPIRED = "expired"


class Kind(StrEnum):
    """What happens to a subscription."""

    START_TRIAL = "start_trial"
    ACTIVATE = "activate"
    FAIL_PAYMENT = "fail_payment"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    CANCEL = "cancel"
    RESUME = "resume"
    REVOKE = "revoke"
    EXPIRE = "expire"


class Transition(NamedTuple):
    """From ``source`` by ``kind`` to ``target``."""

    source: State
    kind: Kind
    target: State
    meaning: str


TABLE: tuple[Transition, ...] = (
    Transition(State.NONE, Kind.START_TRIAL, State.TRIALING, "one for each guild and each payer"),
    Transition(State.NONE, Kind.ACTIVATE, State.ACTIVE, "paid, or given"),
    Transition(State.TRIALING, Kind.ACTIVATE, State.ACTIVE, "paid before the trial is over"),
    Transition(State.TRIALING, Kind.START_TRIAL, State.TRIALING, "told again by its seller"),
    Transition(State.TRIALING, Kind.FAIL_PAYMENT, State.PAST_DUE, "the first payment failed"),
    Transition(State.TRIALING, Kind.UPGRADE, State.TRIALING, "at once"),
    Transition(State.TRIALING, Kind.REVOKE, State.EXPIRED, "taken back at once"),
    Transition(State.TRIALING, Kind.EXPIRE, State.EXPIRED, "the trial is over"),
    Transition(State.ACTIVE, Kind.ACTIVATE, State.ACTIVE, "renewed"),
    Transition(State.ACTIVE, Kind.UPGRADE, State.ACTIVE, "at once"),
    Transition(State.ACTIVE, Kind.DOWNGRADE, State.ACTIVE, "at the end of the period"),
    Transition(State.ACTIVE, Kind.FAIL_PAYMENT, State.PAST_DUE, "the grace period begins"),
    Transition(State.ACTIVE, Kind.CANCEL, State.CANCELING, "until the end of the period"),
    Transition(State.ACTIVE, Kind.REVOKE, State.EXPIRED, "refunded, or ended at once"),
    Transition(State.ACTIVE, Kind.EXPIRE, State.EXPIRED, "the period and its grace are over"),
    Transition(State.PAST_DUE, Kind.ACTIVATE, State.ACTIVE, "paid after all"),
    Transition(State.PAST_DUE, Kind.CANCEL, State.CANCELING, "without further grace"),
    Transition(State.PAST_DUE, Kind.REVOKE, State.EXPIRED, "refunded, or ended at once"),
    Transition(State.PAST_DUE, Kind.EXPIRE, State.EXPIRED, "the grace is over"),
    Transition(State.CANCELING, Kind.RESUME, State.ACTIVE, "before the end of the period"),
    Transition(State.CANCELING, Kind.ACTIVATE, State.ACTIVE, "renewed, so it was resumed elsewhere"),
    Transition(State.CANCELING, Kind.REVOKE, State.EXPIRED, "refunded, or ended at once"),
    Transition(State.CANCELING, Kind.EXPIRE, State.EXPIRED, "the period is over"),
    Transition(State.EXPIRED, Kind.ACTIVATE, State.ACTIVE, "paid again"),
)

NEXT: dict[tuple[State, Kind], State] = {(row.source, row.kind): row.target for row in TABLE}
"""The table, to look up."""


def diagram() -> str:
    """The table as a Mermaid state diagram (Mermaid's documentation, *State diagrams*).

    Mermaid draws several arrows between the same two states over each other, so there is one for each pair; what leaves
    a state as it is stands in the state.
    """
    arrows: dict[tuple[State, State], list[str]] = {}
    for row in TABLE:
        arrows.setdefault((row.source, row.target), []).append(row.kind.replace("_", " "))
    staying = {source: kinds for (source, target), kinds in arrows.items() if source is target}
    lines = [
        "%% Written by `make diagrams` from tonearm/premium/states.py: change it there.",
        "stateDiagram-v2",
        *(f'    state "<b>{state}</b><br/>{", ".join(kinds)}" as {state}' for state, kinds in staying.items()),
        "    [*] --> none",
        *(f"    {a} --> {b}: {'<br/>'.join(kinds)}" for (a, b), kinds in arrows.items() if a is not b),
    ]
    return "\n".join(lines) + "\n"
