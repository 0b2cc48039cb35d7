"""Are the two promises kept, and where does the time go?"""

from __future__ import annotations

from monitoring.grafana.board import NEUTRAL, Board, Kind, Panel, Row, Unit, falling, rising
from monitoring.grafana.promql import ANSWERED, AUDIBLE, Query, burn, kept, quantile, quantiles, rate

ANSWER, SOUND = "tonearm_answer_seconds", "tonearm_sound_seconds"

PROMISES = Row(
    100,
    "The two promises",
    (
        Panel(
            id=101,
            title="Share that is answered within 3 s",
            about="Promise: 99.9 %. Here over windows of 5 minutes: a short dip costs little, see the budget.",
            unit=Unit.SHARE,
            decimals=2,
            queries=(Query(kept("answers", "5m"), "answered"),),
            steps=falling(good=ANSWERED, warn=0.995),
        ),
        Panel(
            id=102,
            title="Share of /play that is audible within 5 s",
            about="Promise: 99.5 %. Here over windows of 5 minutes.",
            unit=Unit.SHARE,
            decimals=2,
            queries=(Query(kept("plays", "5m"), "audible"),),
            steps=falling(good=AUDIBLE, warn=0.98),
        ),
        Panel(
            id=103,
            title="How fast the budgets of errors are used up",
            about="Good: below 1, over the last hour. At 1 a month uses up all that the promise allows; at 14.4 two "
            "days do, and somebody is paged.",
            unit=Unit.COUNT,
            decimals=1,
            queries=(
                Query(burn("answers", ANSWERED, "1h"), "answered within 3 s"),
                Query(burn("plays", AUDIBLE, "1h"), "audible within 5 s"),
            ),
            steps=rising(warn=1, bad=14.4),
            alerts=(
                "AnswersBudgetBurnsFast",
                "AnswersBudgetBurnsSlowly",
                "PlaysBudgetBurnsFast",
                "PlaysBudgetBurnsSlowly",
            ),
        ),
    ),
)

ANSWERS = Row(
    200,
    "From the click to the answer",
    (
        Panel(
            id=201,
            title="From the click to the first answer",
            about="By the time in the interaction's id, so Discord's part and both clocks are in it. Good: p95 "
            "below 1 s, p99 below 3 s.",
            unit=Unit.SECONDS,
            queries=quantiles(ANSWER, 0.5, 0.95, 0.99),
            steps=rising(warn=1, bad=3),
        ),
        Panel(
            id=202,
            title="Of it: handing the job over",
            about="Good: p99 below 10 ms.",
            unit=Unit.SECONDS,
            queries=quantiles("tonearm_handover_seconds", 0.5, 0.95, 0.99),
            steps=rising(warn=0.05, bad=0.4),
        ),
        Panel(
            id=203,
            title="From the hand-over to the commit, by kind of job",
            about="p95. Good: below 1 s, for then the answer is inline; /play waits for Lavalink to find the track.",
            unit=Unit.SECONDS,
            queries=(Query(quantile(0.95, "tonearm_job_seconds", "kind"), "{{kind}}"),),
            steps=rising(warn=1, bad=3),
        ),
        Panel(
            id=204,
            title="Jobs, by outcome",
            about="Good: done, and what is refused for a reason. dead: given up, see Services. No threshold: an "
            "alert watches what is dead.",
            unit=Unit.PER_SECOND,
            kind=Kind.STACKED,
            width=12,
            queries=(Query(rate("tonearm_jobs_total", "outcome"), "{{outcome}}"),),
            steps=NEUTRAL,
        ),
        Panel(
            id=205,
            title="Answers that came after the first, by way",
            about="edited and followed_up are what a deferral promises. lost: nobody got it. No threshold: Overview "
            "has what is lost.",
            unit=Unit.PER_SECOND,
            kind=Kind.STACKED,
            width=12,
            queries=(Query(rate("tonearm_answers_total", "way"), "{{way}}"),),
            steps=NEUTRAL,
        ),
    ),
)

REST = Row(
    300,
    "From the command to the sound, and what waits for what",
    (
        Panel(
            id=301,
            title="From the command to the first sound",
            about="Until Lavalink says that the track has started. Good: p95 below 3 s, p99 below 5 s.",
            unit=Unit.SECONDS,
            queries=quantiles(SOUND, 0.5, 0.95, 0.99),
            steps=rising(warn=3, bad=5),
        ),
        Panel(
            id=302,
            title="Wait for a connection to PostgreSQL",
            about="p99, by kind of process. Good: below 50 ms. Longer: the pool is too small, or statements take "
            "too long.",
            unit=Unit.SECONDS,
            queries=(Query(quantile(0.99, "tonearm_database_wait_seconds", "job"), "{{job}}"),),
            steps=rising(warn=0.05, bad=0.5),
        ),
        Panel(
            id=303,
            title="The API's time to answer",
            about="Good: p95 below 250 ms. What waits for music to be done (`Prefer: wait`) takes longer, and counts.",
            unit=Unit.SECONDS,
            queries=quantiles("tonearm_api_seconds", 0.5, 0.95, 0.99),
            steps=rising(warn=0.25, bad=1),
        ),
    ),
)

BOARD = Board(
    name="performance",
    title="Tonearm: performance",
    about="Whether the two promises are kept, and where the time goes.",
    since="now-6h",
    rows=(PROMISES, ANSWERS, REST),
)
