"""Logs: one event a line, on standard error. Never logged: tokens, keys, passwords, what people typed."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec

from tonearm.telemetry import traces

_about: ContextVar[Mapping[str, object]] = ContextVar("about")

LOG = logging.getLogger("tonearm")


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in values_of(record).items():
            line.setdefault(name, value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return msgspec.json.encode(line, enc_hook=str).decode()
        except (TypeError, ValueError):  # half a surrogate pair, or a key that is no text
            return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """A line for a person."""

    def format(self, record: logging.LogRecord) -> str:
        context = values_of(record)
        text = super().format(record)
        return f"{text} {' '.join(f'{key}={value}' for key, value in context.items())}" if context else text


def set_up_logging(log_format: str, *, level: int = logging.INFO) -> None:
    """Logs go to standard error; standard output carries the one line that says that a process is ready."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter() if log_format == "json" else TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for noisy in ("discord", "wavelink", "aiohttp.access", "httpx", "mangum"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def context(**values: object) -> dict[str, dict[str, object]]:
    """Values for a log line: ``LOG.info("...", extra=context(job=job.id))``."""
    return {"context": {key: value for key, value in values.items() if value is not None}}


@contextmanager
def about(**values: object) -> Iterator[None]:
    """What is logged meanwhile has these values too, wherever it comes from; what is ``None`` is left out."""
    before = _about.set({**_about.get({}), **{key: value for key, value in values.items() if value is not None}})
    try:
        yield
    finally:
        _about.reset(before)


def values_of(record: logging.LogRecord) -> Mapping[str, object]:
    """What a line says beside its sentence."""
    told = {**_about.get({}), **getattr(record, "context", {})}
    trace = traces.trace_id(traces.traceparent())
    return told if trace is None else {"trace": trace, **told}


def announce_ready(**values: object) -> None:
    """Print the one line on standard output that a supervisor waits for."""
    sys.stdout.write(msgspec.json.encode({"ready": True, **values}).decode() + "\n")
    sys.stdout.flush()
