import json
import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tonearm.telemetry import JsonFormatter, TextFormatter, about, announce_ready, context, set_up_logging


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str = "Job %s done", *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("tonearm.test", logging.WARNING, __file__, 1, message, args or ("i:1",), None)
    made.__dict__.update(extra)
    return made


def test_a_line_of_json() -> None:
    line = json.loads(JsonFormatter().format(record(**context(job="i:1", guild=5, none=None))))
    assert line["level"] == "warning"
    assert line["logger"] == "tonearm.test"
    assert line["message"] == "Job i:1 done"
    assert (line["job"], line["guild"]) == ("i:1", 5)
    assert "none" not in line
    assert line["time"][10] == "T"


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_a_line_stays_one_line_whatever_is_in_it(message: str, value: str) -> None:
    line = JsonFormatter().format(record("%s", message, **context(value=value)))
    assert "\n" not in line
    assert "\r" not in line
    assert json.loads(line)["message"] == message
    assert json.loads(line)["value"] == value


def test_what_is_logged_meanwhile_is_about_the_same() -> None:
    with about(job="i:1", guild=5, trace=None):
        with about(guild=6):
            within = json.loads(JsonFormatter().format(record(**context(job="i:2"))))
        line = TextFormatter("%(message)s").format(record())
    assert (within["job"], within["guild"]) == ("i:2", 6)
    assert line == "Job i:1 done job=i:1 guild=5"
    assert TextFormatter("%(message)s").format(record()) == "Job i:1 done"


def test_an_exception_is_in_the_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        made = record()
        made.exc_info = sys.exc_info()
    line = json.loads(JsonFormatter().format(made))
    assert "ValueError: broken" in line["exception"]


def test_values_that_json_does_not_know_break_no_log() -> None:
    line = json.loads(JsonFormatter().format(record(**context(error=ValueError("broken"), at=object()))))
    assert "broken" in line["error"]
    assert line["message"] == "Job i:1 done"
    assert json.loads(JsonFormatter().format(record("%s", "\ud800", **context(a=1))))["a"] == 1


def test_context_does_not_hide_what_a_line_is() -> None:
    line = json.loads(JsonFormatter().format(record(**context(level="x", message="y"))))
    assert (line["level"], line["message"]) == ("warning", "Job i:1 done")


def test_a_line_for_a_person() -> None:
    formatter = TextFormatter("%(levelname)s %(message)s")
    assert formatter.format(record(**context(job="i:1", guild=5))) == "WARNING Job i:1 done job=i:1 guild=5"
    assert formatter.format(record()) == "WARNING Job i:1 done"


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_logs_go_to_standard_error(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(log_format)
    logging.getLogger("tonearm").info("Hello", extra=context(job="i:1"))
    logging.getLogger("aiohttp.access").info("GET /webhooks/1/secret")
    said = capsys.readouterr()
    assert said.out == ""
    assert "Hello" in said.err
    assert "i:1" in said.err
    assert "secret" not in said.err
    assert said.err.startswith("{") == (log_format == "json")


def test_ready_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    announce_ready(url="http://127.0.0.1:1", port=1)
    said = capsys.readouterr()
    assert json.loads(said.out) == {"ready": True, "url": "http://127.0.0.1:1", "port": 1}
    assert said.out.count("\n") == 1
    assert said.err == ""
