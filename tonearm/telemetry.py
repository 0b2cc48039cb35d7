"""Logs and metrics: set up once a process, declared here and nowhere else.

Where a process is scraped, the metrics are prometheus_client's; a function on AWS Lambda writes them as log lines
(:mod:`tonearm.aws.emf`), and imports nothing else for it.

Labels are bounded: never a guild, a user or a job. Names and units follow Prometheus' conventions (Prometheus'
documentation, *Metric and label naming*). Never logged: tokens, keys, passwords, what people typed.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING

import msgspec

ON_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME" in os.environ
"""Whether this process is a function on AWS Lambda, which says so to all of them."""

if TYPE_CHECKING or not ON_LAMBDA:
    from prometheus_client import Counter, Gauge, Histogram
else:
    from tonearm.aws.emf import Counter, Gauge, Histogram

INTERACTIONS = Counter("tonearm_interactions_total", "Interactions by command and outcome.", ["command", "outcome"])
ANSWER_SECONDS = Histogram(
    "tonearm_answer_seconds",
    "From the making of an interaction (its snowflake) to its first answer.",
    buckets=(0.05, 0.1, 0.2, 0.4, 0.8, 1.2, 1.6, 2.0, 2.5, 3.0, 5.0),
)
HANDOVER_SECONDS = Histogram(
    "tonearm_handover_seconds",
    "Time of the round trip that hands a job over.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.4),
)
JOBS = Counter("tonearm_jobs_total", "Jobs done by a voice node, by kind and outcome.", ["kind", "outcome"])
JOB_SECONDS = Histogram(
    "tonearm_job_seconds",
    "From a job's hand-over to its commit.",
    ["kind"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15),
)
ANSWERS = Counter("tonearm_answers_total", "Answers delivered, by the way they took.", ["way"])
PLAYERS = Gauge("tonearm_players", "Players that play something.")
LEASES = Gauge("tonearm_leases", "Shards that this voice node owns.")
LEASE_CHANGES = Counter("tonearm_lease_changes_total", "Leases taken, lost and given back.", ["change"])
MEMBERS = Gauge("tonearm_voice_nodes", "Voice nodes that this one sees, by whether they stay.", ["state"])
HANDOVERS = Counter("tonearm_shard_handovers_total", "Shards given to another voice node to spread them evenly.")
CLOCK_JUMPS = Counter("tonearm_clock_jumps_total", "Times that this process stood still for more than a second.")
SESSION_STARTS_LEFT = Gauge("tonearm_gateway_session_starts_left", "Gateway sessions that may still be started today.")
ORPHANS = Counter("tonearm_orphans_total", "Players that Lavalink had and nobody wanted, destroyed.")
VOICE_REJOINS = Counter(
    "tonearm_voice_rejoins_total", "Voice connections that had to be made anew, by reason.", ["reason"]
)
TRACK_ENDS = Counter("tonearm_track_ends_total", "Tracks that ended, by reason.", ["reason"])
EVENTS_DROPPED = Counter("tonearm_events_dropped_total", "Lavalink's events about a play that was over.", ["kind"])

LAVALINK_SESSIONS = Gauge(
    "tonearm_lavalink_sessions", "Sessions of Lavalink servers, by what is known of them.", ["state"]
)
LAVALINK_FAILURES = Counter("tonearm_lavalink_failures_total", "Calls that no Lavalink server answered.")
LAVALINK_MOVES = Counter(
    "tonearm_lavalink_moves_total", "Players that went on at another Lavalink server, by why.", ["cause"]
)

DATABASE_CONNECTIONS = Gauge("tonearm_database_connections", "Connections to PostgreSQL that are in use.")
DATABASE_WAIT_SECONDS = Histogram(
    "tonearm_database_wait_seconds",
    "Time until a connection to PostgreSQL was to be had.",
    buckets=(0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 2),
)
DATABASE_FAILURES = Counter("tonearm_database_failures_total", "Calls that PostgreSQL did not do, by error.", ["error"])
DATABASE_RETRIES = Counter("tonearm_database_retries_total", "Transactions that others came in the way of.")
TERMS_LOOKUPS = Counter(
    "tonearm_terms_lookups_total", "Look-ups of a guild's plan and settings, by who knew.", ["tier"]
)
API_KEY_LOOKUPS = Counter("tonearm_api_key_lookups_total", "Look-ups of a key of the API, by who knew.", ["tier"])
SUBSCRIPTION_EVENTS = Counter("tonearm_subscription_events_total", "Events of subscriptions.", ["kind", "outcome"])
API_REQUESTS = Counter(
    "tonearm_api_requests_total", "Requests of the API by operation and status.", ["operation", "status"]
)
API_SECONDS = Histogram(
    "tonearm_api_seconds",
    "From a request of the API to its answer.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
API_UNLIMITED = Counter("tonearm_api_unlimited_total", "Requests whose key's rate nobody counted: Redis was away.")
API_STREAMS = Gauge("tonearm_api_streams", "Streams of events that are open.")
SECRETS_READ = Counter("tonearm_secrets_read_total", "Times that the secret was read again, by outcome.", ["outcome"])
GUILD_TASKS = Counter("tonearm_guild_tasks_total", "Exports, imports and deletions, by outcome.", ["kind", "outcome"])
ROUNDS = Counter("tonearm_rounds_total", "Rounds of the workers' recurring work, by outcome.", ["round", "outcome"])

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


def exposition() -> tuple[bytes, str]:
    """The metrics of this process in Prometheus' text format, and its content type."""
    from prometheus_client import REGISTRY
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
