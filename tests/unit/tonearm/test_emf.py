"""Metrics as CloudWatch's embedded format, by its specification."""

import io
import json

import pytest

from tonearm.aws import emf


@pytest.fixture(autouse=True)
def nothing_before():
    emf.write(io.StringIO())


def lines(now_ms=5):
    out = io.StringIO()
    emf.write(out, now_ms=now_ms)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def directives(line):
    (found,) = line["_aws"]["CloudWatchMetrics"]
    return found


def test_how_it_went_is_a_dimension_and_what_was_asked_a_field():
    asked = emf.Counter("asked_total", "Asked.", ["command", "outcome"])
    asked.labels("play", "inline").inc()
    asked.labels("play", "inline").inc(2)
    (line,) = lines()
    assert line["_aws"]["Timestamp"] == 5
    assert directives(line) == {
        "Namespace": "Tonearm",
        "Dimensions": [["outcome"]],
        "Metrics": [{"Name": "asked_total", "Unit": "Count"}],
    }
    assert (line["command"], line["outcome"], line["asked_total"]) == ("play", "inline", 3)


def test_other_labels_are_another_line_and_the_same_labels_share_one():
    first, second = emf.Counter("first_total", "", ["outcome"]), emf.Counter("second_total", "", ["outcome"])
    first.labels("a").inc()
    second.labels("a").inc()
    first.labels("b").inc()
    found = {line["outcome"]: [each["Name"] for each in directives(line)["Metrics"]] for line in lines()}
    assert found == {"a": ["first_total", "second_total"], "b": ["first_total"]}


def test_a_histogram_has_its_values_and_at_most_a_hundred():
    took = emf.Histogram("took_seconds", "", buckets=(1, 2))
    took.observe(0.5)
    took.observe(0.25)
    (line,) = lines()
    assert line["took_seconds"] == [0.5, 0.25]
    assert directives(line)["Dimensions"] == [[]]
    assert directives(line)["Metrics"] == [{"Name": "took_seconds", "Unit": "Seconds"}]
    for _ in range(200):
        took.observe(1)
    (line,) = lines()
    assert line["took_seconds"] == [1] * 100


def test_a_gauge_has_its_last_value():
    open_now = emf.Gauge("open", "")
    open_now.set(3)
    open_now.inc()
    open_now.dec(2)
    (line,) = lines()
    assert line["open"] == 2


def test_what_was_written_is_not_written_again():
    emf.Counter("once_total", "").inc()
    assert len(lines()) == 1
    assert lines() == []


def test_as_many_values_as_labels():
    with pytest.raises(ValueError, match="zip"):
        emf.Counter("asked_total", "", ["command", "outcome"]).labels("play")
