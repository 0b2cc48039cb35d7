"""Logs: one event a line, on standard error. Never logged: tokens, keys, passwords, what people typed."""

from __future__ import annotations

import json
import logging
import sys

import msgspec

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
        for name, value in getattr(record, "context", {}).items():
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
        context = getattr(record, "context", None)
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


def announce_ready(**values: object) -> None:
    """Print the one line on standard output that a supervisor waits for."""
    sys.stdout.write(msgspec.json.encode({"ready": True, **values}).decode() + "\n")
    sys.stdout.flush()
