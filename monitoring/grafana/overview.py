"""Is everything all right, and if not: where to look next?"""

from __future__ import annotations

from monitoring.grafana.board import NEUTRAL, Board, Kind, Panel, Row, Unit, at_least, below, falling, rising
from monitoring.grafana.promql import (
    ANSWERED,
    AUDIBLE,
    SHOWN,
    UP,
    Query,
    increase,
    kept,
    quantile,
    rate,
    total,
    watched,
)

THEIRS = "bad_signature|invalid"
"""Outcomes of what is no interaction of Discord's, and so neither good nor bad."""
ALL = f'outcome!~"{THEIRS}"'
OURS = f'outcome!~"failed|away|void|{THEIRS}"'
"""Outcomes of interactions without a fault of ours: even a refusal is an answer."""

PEOPLE = Row(
    100,
    "Do people get what they ask for?",
    (
        Panel(
            id=101,
            title="Answered within 3 s",
            about="Promise: 99.9 % of all interactions, here over the last 6 hours; later, or never, is bad. "
            "Discord tells people that the bot does not respond when an answer takes longer. Below it: "
            "Performance.",
            unit=Unit.SHARE,
            decimals=3,
            kind=Kind.STAT,
            width=4,
            queries=(Query(kept("answers", "6h"), "answered"),),
            steps=falling(good=ANSWERED, warn=0.995),
            alerts=(
                "AnswersBudgetBurnsFast",
                "AnswersBudgetBurnsSlowly",
            ),
        ),
        Panel(
            id=102,
            title="Music audible within 5 s",
            about="Promise: 99.5 % of all /play that start music, here over the last 6 hours. A track that broke by "
            "a fault, or got stuck, is bad too. Below it: Voice.",
            unit=Unit.SHARE,
            decimals=2,
            kind=Kind.STAT,
            width=4,
            queries=(Query(kept("plays", "6h"), "audible"),),
            steps=falling(good=AUDIBLE, warn=0.98),
            alerts=(
                "PlaysBudgetBurnsFast",
                "PlaysBudgetBurnsSlowly",
            ),
        ),
        Panel(
            id=103,
            title="Answered without a fault of ours",
            about="Good is above 99.9 %. The rest failed, came too late, or found Redis away. What was refused for "
            "a good reason counts as answered.",
            unit=Unit.SHARE,
            decimals=3,
            kind=Kind.STAT,
            width=4,
            queries=(
                Query(
                    f"{rate('tonearm_interactions_total', where=OURS, window=SHOWN)} / "
                    f"{rate('tonearm_interactions_total', where=ALL, window=SHOWN)}",
                    "without a fault",
                ),
            ),
            steps=falling(good=0.999, warn=0.95),
            alerts=("InteractionErrors",),
        ),
        Panel(
            id=104,
            title="Answers nobody got",
            about="Good is 0: interactions, in the time shown, whose person never saw an answer, since their token "
            "was void before one could be delivered.",
            unit=Unit.COUNT,
            decimals=0,
            kind=Kind.STAT,
            width=4,
            queries=(Query(increase("tonearm_answers_lost_total"), "lost"),),
            steps=rising(warn=1, bad=3),
            alerts=("InteractionsUnanswered",),
        ),
        Panel(
            id=105,
            title="Oldest job waiting",
            about="Good is below 2 s. Older: a shard has no owner, or its owner can't keep up.",
            unit=Unit.SECONDS,
            decimals=1,
            kind=Kind.STAT,
            width=4,
            queries=(Query(watched("tonearm_oldest_job_seconds"), "oldest"),),
            steps=rising(warn=2, bad=15),
            alerts=("BacklogOld",),
        ),
        Panel(
            id=106,
            title="Shards without an owner",
            about="Good is 0. Guilds of such a shard get no music; a takeover takes seconds.",
            unit=Unit.COUNT,
            decimals=0,
            kind=Kind.STAT,
            width=4,
            queries=(Query(watched("tonearm_shards", where='state="ownerless"'), "without"),),
            steps=below(1),
            alerts=("ShardOwnerless",),
        ),
    ),
)

TRAFFIC = Row(
    200,
    "What goes on",
    (
        Panel(
            id=201,
            title="Interactions, by command",
            about="No threshold: how much is used is not good or bad. A sudden end of everything is: look at Services.",
            unit=Unit.REQUESTS,
            kind=Kind.STACKED,
            queries=(Query(rate("tonearm_interactions_total", "command"), "{{command}}"),),
            steps=NEUTRAL,
        ),
        Panel(
            id=202,
            title="First answers, by how",
            about="inline: with the outcome; deferred: it follows; direct: needed no job. Good: none are late "
            "(above 3 s). No threshold: the promise stands above.",
            unit=Unit.REQUESTS,
            kind=Kind.STACKED,
            queries=(Query(rate("tonearm_first_answers_total", "how"), "{{how}}"),),
            steps=NEUTRAL,
        ),
        Panel(
            id=203,
            title="Players and listeners",
            about="No threshold: how much is heard is not good or bad. Both going down at once is an outage.",
            unit=Unit.COUNT,
            queries=(
                Query(total("tonearm_players"), "players"),
                Query(total("tonearm_listeners"), "listeners"),
            ),
            steps=NEUTRAL,
        ),
    ),
)

TIMES = Row(
    300,
    "How long it takes",
    (
        Panel(
            id=301,
            title="From the click to the first answer",
            about="Good: p95 below 1 s, p99 below 3 s, which is all the time that Discord gives.",
            unit=Unit.SECONDS,
            queries=(
                Query(quantile(0.95, "tonearm_answer_seconds"), "p95"),
                Query(quantile(0.99, "tonearm_answer_seconds"), "p99"),
            ),
            steps=rising(warn=1, bad=3),
            alerts=(
                "AnswersSlowP95",
                "AnswersSlowP99",
            ),
        ),
        Panel(
            id=302,
            title="From the command to the sound",
            about="Good: p95 below 3 s, p99 below 5 s. Only /play that starts music counts, not what joins a queue.",
            unit=Unit.SECONDS,
            queries=(
                Query(quantile(0.95, "tonearm_sound_seconds"), "p95"),
                Query(quantile(0.99, "tonearm_sound_seconds"), "p99"),
            ),
            steps=rising(warn=3, bad=5),
        ),
        Panel(
            id=303,
            title="Waiting: jobs, and answers that are owed",
            about="Good: near 0, and falling after each peak. A line that only rises is a shard without a working "
            "owner.",
            unit=Unit.COUNT,
            queries=(
                Query(watched("tonearm_backlog_jobs"), "jobs"),
                Query(watched("tonearm_outbox_answers"), "answers owed"),
            ),
            steps=rising(warn=20, bad=200),
            alerts=(
                "BacklogLong",
                "AnswersOwed",
            ),
        ),
    ),
)

PARTS = Row(
    400,
    "Is everything there?",
    (
        Panel(
            id=401,
            title="Processes that answer",
            about="Good: as many as you run, none at 0. What Prometheus can't scrape is not counted.",
            unit=Unit.COUNT,
            decimals=0,
            kind=Kind.STAT,
            width=12,
            queries=(Query('sum by (job) (up{job=~"interactions|api|voice-node|worker"})', "{{job}}"),),
            steps=at_least(1),
            alerts=(
                "ProcessDown",
                "NoInteractionsProcess",
                "NoVoiceNode",
                "NoWorker",
            ),
        ),
        Panel(
            id=402,
            title="What Tonearm stands on",
            about="Good: all up. A Lavalink server that is down hands its players to the others.",
            unit=Unit.COUNT,
            kind=Kind.STAT,
            width=12,
            states=UP,
            queries=(
                Query(watched("tonearm_redis_up"), "Redis"),
                Query(watched("tonearm_postgres_up"), "PostgreSQL"),
                Query("max by (node) (tonearm_lavalink_up)", "Lavalink {{node}}"),
            ),
            steps=at_least(1),
            alerts=(
                "RedisDown",
                "PostgresDown",
                "LavalinkDown",
                "NoLavalink",
            ),
        ),
    ),
)

BOARD = Board(
    name="overview",
    title="Tonearm: overview",
    about="Whether everything is all right, and if not, where to look next.",
    rows=(PEOPLE, TRAFFIC, TIMES, PARTS),
)
