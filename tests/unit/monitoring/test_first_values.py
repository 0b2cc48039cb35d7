"""What is rare is counted from its first time on: Prometheus sees no increase in a series that begins with 1."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from tonearm.guild_data.tasks import TaskKind
from tonearm.postgres import grants  # noqa: F401 - counts
from tonearm.premium.states import Kind
from tonearm.worker import guild_tasks  # noqa: F401 - counts


@pytest.mark.parametrize("kind", Kind)
def test_what_happens_to_subscriptions_begins_at_zero(kind: Kind) -> None:
    labels = {"kind": kind.value, "outcome": "changed"}
    assert REGISTRY.get_sample_value("tonearm_subscription_events_total", labels) is not None


@pytest.mark.parametrize("kind", TaskKind)
@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_guilds_tasks_begin_at_zero(kind: TaskKind, outcome: str) -> None:
    labels = {"kind": kind.value, "outcome": outcome}
    assert REGISTRY.get_sample_value("tonearm_guild_tasks_total", labels) is not None
