"""Logs and metrics: set up once a process, declared here and nowhere else.

Where a process is scraped, the metrics are prometheus_client's; a function on AWS Lambda writes them as log lines
(:mod:`tonearm.aws.emf`), and imports nothing else for it.

Labels are bounded: never a guild, a user or a job. Names and units follow Prometheus' conventions (Prometheus'
documentation, *Metric and label naming*). ``docs/operations/metrics.md`` is made from what stands here, so a help text
says which values a label has where its name does not. What is set up and served is in
:mod:`tonearm.telemetry.exposing`.
"""

from __future__ import annotations

from tonearm.telemetry.declaring import PROCESSES, counter, gauge, histogram
from tonearm.telemetry.logs import LOG as LOG
from tonearm.telemetry.logs import JsonFormatter as JsonFormatter
from tonearm.telemetry.logs import TextFormatter as TextFormatter
from tonearm.telemetry.logs import about as about
from tonearm.telemetry.logs import announce_ready as announce_ready
from tonearm.telemetry.logs import context as context
from tonearm.telemetry.logs import set_up_logging as set_up_logging

_HTTP = ("interactions",)
_API = ("api",)
_VOICE = ("voice-node",)
_WORKER = ("worker",)
_DATABASE = (*_API, *_VOICE, *_WORKER)
_JOBS = (*_VOICE, *_WORKER)

# Every process.

BUILD_INFO = gauge("tonearm_build_info", "1, for each version that runs.", "version", "process", of=PROCESSES)
MEMORY_LIMIT = gauge(
    "tonearm_memory_limit_bytes", "Memory that the process' cgroup may have; 0 where there is no limit.", of=PROCESSES
)
SECRETS_READ = counter(
    "tonearm_secrets_read_total",
    "Times that the secret was read again, by outcome: done, failed.",
    "outcome",
    of=PROCESSES,
)

# Discord's interactions over HTTP.

INTERACTIONS = counter(
    "tonearm_interactions_total",
    "Interactions by command and outcome (inline, deferred, seen, read, answered, refused, away, void, failed, "
    "invalid, bad_signature).",
    "command",
    "outcome",
    of=_HTTP,
)
FIRST_ANSWERS = counter(
    "tonearm_first_answers_total",
    "First answers that were written, by how: inline (the job's own answer), deferred, direct (no job was needed, or "
    "none was taken), late (over 3 s after the making of the interaction, so Discord does not take it).",
    "how",
    of=_HTTP,
)
ANSWER_SECONDS = histogram(
    "tonearm_answer_seconds",
    "From the making of an interaction (its snowflake) to its first answer.",
    of=_HTTP,
    buckets=(0.05, 0.1, 0.2, 0.4, 0.8, 1.2, 1.6, 2.0, 2.5, 3.0, 5.0),
)
HANDOVER_SECONDS = histogram(
    "tonearm_handover_seconds",
    "Time of the round trip that hands a job over.",
    of=(*_HTTP, *_API),
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.4),
)
SIGNATURES_REFUSED = counter(
    "tonearm_signatures_refused_total",
    "Requests to the interactions' address whose signature is not Discord's.",
    of=_HTTP,
)
LIMITED = counter(
    "tonearm_limited_total",
    "Requests that a limiter of ours refused: user and guild (their rates of commands), waiting (a guild has 20 jobs "
    "that are not done), busy (a stream is full), api_key (a key's rate).",
    "limiter",
    of=(*_HTTP, *_API, *_WORKER),
)

# Jobs and their answers, at voice nodes and workers.

JOBS = counter(
    "tonearm_jobs_total",
    "Jobs done, by kind (play, skip ...) and outcome: done, again (done before), dead (given up: a dead letter); else "
    "why not, at a voice node by the name of the sentence, at a worker refused, late or away.",
    "kind",
    "outcome",
    of=_JOBS,
)
JOB_SECONDS = histogram(
    "tonearm_job_seconds",
    "From a job's hand-over to its commit.",
    "kind",
    of=_JOBS,
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15),
)
ANSWERS = counter(
    "tonearm_answers_total",
    "Answers that were still owed after the first answer, by what became of them: edited, followed_up, posted (in the "
    "channel: the interaction's token was void), deleted (somebody had removed the message), refused (by Discord), "
    "lost, expired (its record is gone); unconfirmed (the HTTP side wrote one and could not say so: it is edited in "
    "once more).",
    "way",
    of=(*_HTTP, *_JOBS),
)
ANSWERS_LOST = counter(
    "tonearm_answers_lost_total",
    "Answers of jobs that nobody ever got: the token was void or unknown to the end, the record was gone, or "
    "Discord refused them.",
    of=_JOBS,
)

# Voice nodes: shards and the gateway.

LEASES = gauge("tonearm_leases", "Shards that this voice node owns.", of=_VOICE)
LEASE_CHANGES = counter(
    "tonearm_lease_changes_total",
    "Leases by what became of them: taken, taken again (it had run out while Redis was away), lost, given back.",
    "change",
    of=_VOICE,
)
MEMBERS = gauge(
    "tonearm_voice_nodes", "Voice nodes that this one sees, by state: staying, leaving.", "state", of=_VOICE
)
HANDOVERS = counter(
    "tonearm_shard_handovers_total", "Shards given to another voice node to spread them evenly.", of=_VOICE
)
TAKEOVER_SECONDS = histogram(
    "tonearm_takeover_seconds",
    "From the last sign of life of a shard's owner before (it gave the shard back, or was last heard) until the shard "
    "is ready again; after more than ten minutes nobody was waiting, and it is not counted.",
    of=_VOICE,
    buckets=(0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 10, 15, 30, 60, 300),
)
CLOCK_JUMPS = counter(
    "tonearm_clock_jumps_total", "Times that this process stood still for more than a second.", of=_VOICE
)
GATEWAY_LATENCY = gauge(
    "tonearm_gateway_latency_seconds",
    "Time of the last heartbeat's round trip at Discord's gateway, of the slowest of this node's shards; NaN without "
    "any.",
    of=_VOICE,
)
SESSION_STARTS_LEFT = gauge(
    "tonearm_gateway_session_starts_left",
    "Gateway sessions that may still be started today; NaN where it is not known.",
    of=_VOICE,
)

# Voice nodes: players.

PLAYERS = gauge("tonearm_players", "Players that play something.", of=_VOICE)
LISTENERS = gauge("tonearm_listeners", "Others in the channels where something plays, this bot not counted.", of=_VOICE)
SOUND_SECONDS = histogram(
    "tonearm_sound_seconds",
    "From the hand-over of a /play that starts music to the track's start, as Lavalink tells it.",
    of=_VOICE,
    buckets=(0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 30),
)
SOUNDS_MISSED = counter(
    "tonearm_sounds_missed_total",
    "The same that were not heard: the track broke, the channel could not be joined, or somebody gave up after more "
    "than 5 s, before it had started.",
    of=_VOICE,
)
VOICE_REJOINS = counter(
    "tonearm_voice_rejoins_total",
    "Voice connections that had to be made anew, by reason: refused, stands still, closed with a code of Discord's.",
    "reason",
    of=_VOICE,
)
TRACK_ENDS = counter(
    "tonearm_track_ends_total", "Tracks that ended by themselves, by reason: end, failed.", "reason", of=_VOICE
)
TRACK_ERRORS = counter(
    "tonearm_track_errors_total",
    "Tracks that broke, by class (Lavalink's common, suspicious and fault; stuck; load: it could not be looked up) and "
    "source (youtube, soundcloud, http ...; other).",
    "class",
    "source",
    of=_VOICE,
)
EVENTS_DROPPED = counter(
    "tonearm_events_dropped_total", "Lavalink's events about a play that was over.", "kind", of=_VOICE
)
ORPHANS = counter("tonearm_orphans_total", "Players that Lavalink had and nobody wanted, destroyed.", of=_VOICE)

# Voice nodes: Lavalink. A node's name is that of a server in the settings, or an address that DNS gives for it; it is
# forgotten with the server.

LAVALINK_UP = gauge(
    "tonearm_lavalink_up", "1 where a session at the server is open and it answers, else 0.", "node", of=_VOICE
)
LAVALINK_PENALTY = gauge(
    "tonearm_lavalink_penalty", "How bad a place the server is for one more player.", "node", of=_VOICE
)
LAVALINK_PLAYERS = gauge("tonearm_lavalink_players", "This voice node's players at the server.", "node", of=_VOICE)
LAVALINK_FRAMES = counter(
    "tonearm_lavalink_frames_total",
    "Frames of 20 ms of this voice node's players, by kind: sent, nulled (silence, as none was there in time), deficit "
    "(not sent). Lavalink tells averages each minute; they are multiplied by the players.",
    "node",
    "kind",
    of=_VOICE,
)
LAVALINK_SESSIONS = gauge(
    "tonearm_lavalink_sessions",
    "Sessions of Lavalink servers by state: connected, draining, away (none is open), open (the server does not answer "
    "and is asked now and then only).",
    "state",
    of=_VOICE,
)
LAVALINK_FAILURES = counter("tonearm_lavalink_failures_total", "Calls that no Lavalink server answered.", of=_VOICE)
LAVALINK_MOVES = counter(
    "tonearm_lavalink_moves_total",
    "Players that went on at another Lavalink server, by cause: failover, drain, overload.",
    "cause",
    of=_VOICE,
)

# PostgreSQL, as a process sees it, and what is cached of it.

DATABASE_POOL_SIZE = gauge(
    "tonearm_database_pool_size", "Connections to PostgreSQL that this process may have.", of=_DATABASE
)
DATABASE_CONNECTIONS = gauge("tonearm_database_connections", "Connections to PostgreSQL that are in use.", of=_DATABASE)
DATABASE_WAIT_SECONDS = histogram(
    "tonearm_database_wait_seconds",
    "Time until a connection to PostgreSQL was to be had.",
    of=_DATABASE,
    buckets=(0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 2),
)
DATABASE_FAILURES = counter(
    "tonearm_database_failures_total",
    "Calls that PostgreSQL did not do, by error (the name of asyncpg's class).",
    "error",
    of=_DATABASE,
)
DATABASE_RETRIES = counter(
    "tonearm_database_retries_total", "Transactions that others came in the way of.", of=_DATABASE
)
TERMS_LOOKUPS = counter(
    "tonearm_terms_lookups_total",
    "Look-ups of a guild's plan and settings, by who knew: process, redis, postgres; last_known and defaults where "
    "nobody did.",
    "tier",
    of=_DATABASE,
)

# The API and webhooks.

API_REQUESTS = counter(
    "tonearm_api_requests_total", "Requests of the API by operation and status.", "operation", "status", of=_API
)
API_SECONDS = histogram(
    "tonearm_api_seconds",
    "From a request of the API to its answer.",
    of=_API,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
API_UNLIMITED = counter(
    "tonearm_api_unlimited_total", "Requests whose key's rate nobody counted: Redis was away.", of=_API
)
API_STREAMS = gauge("tonearm_api_streams", "Streams of events that are open.", of=_API)
API_KEY_LOOKUPS = counter(
    "tonearm_api_key_lookups_total",
    "Look-ups of a key of the API, by who knew: process, redis, postgres, last_known.",
    "tier",
    of=_API,
)
WEBHOOK_RECEIPTS = counter(
    "tonearm_webhook_receipts_total",
    "Webhook events that came in, by source (discord, stripe) and outcome (stored, duplicate, refused, failed: it "
    "could not be stored, and was answered with 503).",
    "source",
    "outcome",
    of=_API,
)

# Workers.

SUBSCRIPTION_EVENTS = counter(
    "tonearm_subscription_events_total",
    "Events of subscriptions by kind (start_trial, activate ...) and outcome (changed, nothing, again).",
    "kind",
    "outcome",
    of=(*_API, *_WORKER),
)
CONVERSIONS = counter(
    "tonearm_conversions_total",
    "Guilds that got their first plan after a trial: bought, or given to them.",
    of=(*_API, *_WORKER),
)
RECEIPT_LAG_SECONDS = histogram(
    "tonearm_receipt_lag_seconds",
    "From the storing of a webhook event to its having been acted on.",
    of=_WORKER,
    buckets=(0.5, 1, 2, 5, 10, 30, 60, 300, 1_800),
)
GUILD_TASKS = counter(
    "tonearm_guild_tasks_total",
    "Exports, imports and deletions, by outcome: done, failed.",
    "kind",
    "outcome",
    of=_WORKER,
)
ROUNDS = counter(
    "tonearm_rounds_total",
    "Rounds of the workers' recurring work, by outcome: done, failed.",
    "round",
    "outcome",
    of=_WORKER,
)
ROUND_SUCCESS = gauge(
    "tonearm_round_success_timestamp_seconds",
    "When this worker last finished a round (seconds since 1970). One of the workers has each turn: take the highest.",
    "round",
    of=_WORKER,
)

# What every worker sees of the stores (tonearm/worker/watch.py). NaN is what is not known now: no comparison with it
# holds, so nothing old looks healthy.

WATCHED = gauge(
    "tonearm_watch_timestamp_seconds",
    "When both stores were last looked at (seconds since 1970); 0 before the first look.",
    of=_WORKER,
)
SHARDS = gauge("tonearm_shards", "Shards by state: owned, ownerless (no voice node has them).", "state", of=_WORKER)
BACKLOG = gauge("tonearm_backlog_jobs", "Jobs of all shards and workers' streams that are not done.", of=_WORKER)
OLDEST_JOB = gauge(
    "tonearm_oldest_job_seconds", "Age of the oldest job that is not done; 0 where there is none.", of=_WORKER
)
DEAD_LETTERS = gauge("tonearm_dead_letters", "Jobs that were given up, and wait for an operator.", of=_WORKER)
OUTBOX = gauge("tonearm_outbox_answers", "Answers that are not known to have arrived.", of=_WORKER)
OUTBOX_OLDEST = gauge(
    "tonearm_outbox_oldest_seconds",
    "Time since the oldest click that one of them answers; 0 where none waits.",
    of=_WORKER,
)
REDIS_UP = gauge("tonearm_redis_up", "1 where Redis answers, of a cluster every master; else 0.", of=_WORKER)
REDIS_MEMORY = gauge(
    "tonearm_redis_memory_ratio",
    "Part of Redis' maxmemory that is used, at the fullest master; 0 without a maxmemory, or where it is not told.",
    of=_WORKER,
)
POSTGRES_UP = gauge("tonearm_postgres_up", "1 where PostgreSQL answers, else 0.", of=_WORKER)
POSTGRES_CONNECTIONS = gauge(
    "tonearm_postgres_connections_ratio", "Part of PostgreSQL's max_connections that is used.", of=_WORKER
)
POSTGRES_SIZE = gauge("tonearm_postgres_size_bytes", "Size of our database.", of=_WORKER)
SUBSCRIPTIONS = gauge(
    "tonearm_subscriptions", "Subscriptions by plan and state, as they were recorded.", "plan", "state", of=_WORKER
)
RECEIPTS_WAITING = gauge("tonearm_receipts_waiting", "Webhook events that are stored and not acted on.", of=_WORKER)
RECEIPT_OLDEST = gauge(
    "tonearm_receipt_oldest_seconds", "Age of the oldest of them; 0 where there is none.", of=_WORKER
)
DELIVERIES_WAITING = gauge(
    "tonearm_deliveries_waiting", "Webhooks to the operator that have not arrived, and are tried again.", of=_WORKER
)
DELIVERIES_DEAD = gauge("tonearm_deliveries_dead", "Webhooks to the operator that were given up.", of=_WORKER)
