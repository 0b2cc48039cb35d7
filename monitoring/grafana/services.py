"""Is each process and store well, and how near is it to a limit?"""

from __future__ import annotations

from monitoring.grafana.board import NEUTRAL, Board, Kind, Panel, Row, Unit, falling, rising
from monitoring.grafana.promql import Query, increase, quantiles, rate, watched

OURS = 'job=~"interactions|api|voice-node|worker"'
NEAR = 'tier=~"process|redis"'
"""Tiers of a cache that spare PostgreSQL."""
BACKED_UP = "kube_cronjob_status_last_successful_time"
OUR_SPACE = 'namespace="discord-bot"'

PROCESSES = Row(
    100,
    "Processes",
    (
        Panel(
            id=101,
            title="CPU, by kind of process",
            about="100 % is one core. A process of ours uses one at most: the busiest of a kind well below 80 %.",
            unit=Unit.SHARE,
            queries=(Query(f"max by (job) (rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval]))", "{{job}}"),),
            steps=rising(warn=0.8, bad=0.95),
        ),
        Panel(
            id=102,
            title="Memory, by kind of process",
            about="The largest of each kind. No threshold: what is too much is the container's limit, which an "
            "alert watches. Good: level from day to day.",
            unit=Unit.BYTES,
            queries=(Query(f"max by (job) (process_resident_memory_bytes{{{OURS}}})", "{{job}}"),),
            steps=NEUTRAL,
            alerts=("MemoryNearLimit",),
        ),
        Panel(
            id=103,
            title="Since the last start",
            about="Of the youngest process of each kind. Good: since the last deployment. Seconds, again and again, "
            "are a crash loop: look at the log of the one before.",
            unit=Unit.SECONDS,
            kind=Kind.BARS,
            width=4,
            queries=(Query(f"time() - max by (job) (process_start_time_seconds{{{OURS}}})", "{{job}}"),),
            steps=falling(good=300, warn=60),
            alerts=("CrashLoop",),
        ),
        Panel(
            id=104,
            title="Versions",
            about="Good: one version in all processes, once a deployment is through. No threshold: during one, "
            "there are two.",
            unit=Unit.COUNT,
            decimals=0,
            kind=Kind.BARS,
            width=4,
            queries=(Query("count by (process, version) (tonearm_build_info)", "{{process}} {{version}}"),),
            steps=NEUTRAL,
        ),
    ),
)

REDIS = Row(
    200,
    "Redis",
    (
        Panel(
            id=201,
            title="Memory that is used",
            about="Good: below 75 % of maxmemory. When it is full, nothing new is taken. It is 0 where no maxmemory "
            "is set.",
            unit=Unit.SHARE,
            queries=(Query(watched("tonearm_redis_memory_ratio"), "used"),),
            steps=rising(warn=0.75, bad=0.85),
            alerts=("RedisFull",),
        ),
        Panel(
            id=202,
            title="Time to hand a job over",
            about="Good: p99 below 10 ms. It is a round trip to Redis, so it says how well Redis and the network are.",
            unit=Unit.SECONDS,
            queries=quantiles("tonearm_handover_seconds", 0.5, 0.99),
            steps=rising(warn=0.05, bad=0.4),
        ),
        Panel(
            id=203,
            title="Jobs that could not be done",
            about="Good: 0. `tonearm jobs dead` lists them with the reason of each; the person was told.",
            unit=Unit.COUNT,
            decimals=0,
            queries=(Query(watched("tonearm_dead_letters"), "dead letters"),),
            steps=rising(warn=1, bad=10),
            alerts=("DeadLetters",),
        ),
    ),
)

POSTGRES = Row(
    300,
    "PostgreSQL",
    (
        Panel(
            id=301,
            title="Connections of the server that are used",
            about="Good: below 70 % of max_connections.",
            unit=Unit.SHARE,
            queries=(Query(watched("tonearm_postgres_connections_ratio"), "used"),),
            steps=rising(warn=0.7, bad=0.9),
            alerts=("PostgresConnectionsFull",),
        ),
        Panel(
            id=302,
            title="Pool: share in use, by kind of process",
            about="Good: below 70 %. At 100 %, requests wait for each other.",
            unit=Unit.SHARE,
            queries=(
                Query("max by (job) (tonearm_database_connections / (tonearm_database_pool_size > 0))", "{{job}}"),
            ),
            steps=rising(warn=0.7, bad=0.9),
            alerts=("DatabasePoolExhausted",),
        ),
        Panel(
            id=303,
            title="Calls that failed, by error",
            about="Good: none. TimeoutError: it is away or too busy; others are named as PostgreSQL names them.",
            unit=Unit.PER_SECOND,
            queries=(Query(rate("tonearm_database_failures_total", "error"), "{{error}}"),),
            steps=rising(warn=0.01, bad=0.1),
            alerts=("PostgresFull",),
        ),
        Panel(
            id=304,
            title="Size of the database",
            about="No threshold: how much disk there is, only you know. Good: it grows with the guilds, not with time.",
            unit=Unit.BYTES,
            width=12,
            queries=(Query(watched("tonearm_postgres_size_bytes"), "size"),),
            steps=NEUTRAL,
        ),
        Panel(
            id=305,
            title="Transactions that collided and were done again",
            about="Good: rare. Many: several systems change the same guild's subscription at once.",
            unit=Unit.PER_SECOND,
            width=12,
            queries=(Query(rate("tonearm_database_retries_total", "job"), "{{job}}"),),
            steps=rising(warn=1, bad=10),
        ),
    ),
)

WORKER = Row(
    400,
    "Worker",
    (
        Panel(
            id=401,
            title="Since each round last succeeded",
            about="Good: each falls back to 0 again and again, as often as the round is due. No threshold: each "
            "round has its own time.",
            unit=Unit.SECONDS,
            queries=(Query("time() - max by (round) (tonearm_round_success_timestamp_seconds)", "{{round}}"),),
            steps=NEUTRAL,
            alerts=(
                "ExpiryLate",
                "EntitlementsLate",
            ),
        ),
        Panel(
            id=402,
            title="Rounds, by outcome",
            about="Good: none failed; the worker's log has the reason. No threshold: one failure is made good by "
            "the next round.",
            unit=Unit.PER_SECOND,
            kind=Kind.STACKED,
            queries=(Query(rate("tonearm_rounds_total", "outcome"), "{{outcome}}"),),
            steps=NEUTRAL,
        ),
        Panel(
            id=403,
            title="Age of these figures",
            about="Good: below 60 s. Backlog, owners, stores and subscriptions are counted by a worker's round; "
            "when no worker runs, they are as old as this.",
            unit=Unit.SECONDS,
            decimals=0,
            kind=Kind.STAT,
            width=4,
            queries=(Query("time() - max(tonearm_watch_timestamp_seconds > 0)", "age"),),
            steps=rising(warn=60, bad=120),
            alerts=("WatchStale",),
        ),
        Panel(
            id=404,
            title="Stood still for over 1 s",
            about="Good: 0. Voice nodes that did not run for that long within the last hour: too little CPU, or a "
            "machine that was paused. They lose their shards then.",
            unit=Unit.COUNT,
            decimals=0,
            kind=Kind.STAT,
            width=4,
            queries=(Query(increase("tonearm_clock_jumps_total", window="1h"), "times"),),
            steps=rising(warn=1, bad=3),
            alerts=("ProcessFrozen",),
        ),
    ),
)

CACHES = Row(
    500,
    "Caches",
    (
        Panel(
            id=501,
            title="A guild's plan and settings: who knew",
            about="Good: nearly all from the process or Redis; PostgreSQL is asked when something changed. "
            "`last_known` and `defaults`: no store answered. No threshold: beside it is the share.",
            unit=Unit.PER_SECOND,
            kind=Kind.STACKED,
            width=12,
            queries=(Query(rate("tonearm_terms_lookups_total", "tier"), "{{tier}}"),),
            steps=NEUTRAL,
        ),
        Panel(
            id=502,
            title="Answers of caches that needed no PostgreSQL",
            about="Good: above 90 % once a process has run for some minutes.",
            unit=Unit.SHARE,
            width=12,
            queries=tuple(
                Query(f"{rate(metric, where=NEAR)} / {rate(metric)}", legend)
                for metric, legend in (
                    ("tonearm_terms_lookups_total", "plans and settings"),
                    ("tonearm_api_key_lookups_total", "keys of the API"),
                )
            ),
            steps=falling(good=0.9, warn=0.5),
        ),
    ),
)

KEYS = Row(
    600,
    "Signatures and secrets",
    (
        Panel(
            id=601,
            title="Requests that Discord did not sign",
            about="Good: rare; anybody can send them, and Discord itself tries a few when the address is saved. All "
            "of them, and no answers: the public key is another application's.",
            unit=Unit.PER_SECOND,
            width=12,
            queries=(Query(rate("tonearm_signatures_refused_total"), "refused"),),
            steps=rising(warn=0.02, bad=0.07),
            alerts=("AllSignaturesRefused", "SignatureFailures"),
        ),
        Panel(
            id=602,
            title="Secrets that were read again, within an hour",
            about="Good: done, or nothing where secrets are not rotated. No threshold: a secret that can't be read "
            "is read again, and the old one goes on.",
            unit=Unit.COUNT,
            kind=Kind.STACKED,
            width=12,
            queries=(Query(increase("tonearm_secrets_read_total", "outcome", window="1h"), "{{outcome}}"),),
            steps=NEUTRAL,
            alerts=("SecretNotRead",),
        ),
    ),
)

BACKUPS = Row(
    700,
    "Backups",
    (
        Panel(
            id=701,
            title="Age of the last good backup, of what it may be",
            about="Good: below 100 %, which is 26 h for PostgreSQL and 3 h for Redis. It is Kubernetes' word, by "
            "kube-state-metrics: empty without it, and with compose.",
            unit=Unit.SHARE,
            width=24,
            queries=tuple(
                Query(f'(time() - max({BACKED_UP}{{{OUR_SPACE}, cronjob="{cronjob}"}})) / {oldest}', store)
                for store, cronjob, oldest in (
                    ("PostgreSQL", "backup-postgres", 93600),
                    ("Redis", "backup-redis", 10800),
                )
            ),
            steps=rising(warn=0.95, bad=1),
            alerts=("BackupLate",),
        ),
    ),
)

BOARD = Board(
    name="services",
    title="Tonearm: services",
    about="Whether each process and store is well, and how near it is to a limit.",
    rows=(PROCESSES, REDIS, POSTGRES, WORKER, CACHES, KEYS, BACKUPS),
)
