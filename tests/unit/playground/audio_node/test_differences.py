"""Differences that no recording can show must be held by a test of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import playground.audio_node

LISTED = json.loads(Path(playground.audio_node.__file__).with_name("differences.json").read_text())
TESTS = Path(__file__).parents[3]


@pytest.mark.parametrize("entry", LISTED["measured"], ids=lambda entry: entry["proof"])
def test_a_measured_difference_has_its_test(entry: dict[str, str]) -> None:
    sources = (path.read_text() for path in TESTS.rglob("test_*.py"))
    assert any(f"def {entry['proof']}(" in source for source in sources)
    assert entry["reason"]
