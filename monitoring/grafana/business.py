"""What is sold, what is used, and does what sellers and customers' systems are told arrive?"""

from __future__ import annotations

from monitoring.grafana.board import NEUTRAL, Board, Kind, Panel, Row, Unit, rising
from monitoring.grafana.promql import SHOWN, Query, increase, quantiles, rate, watched

EVENTS = "tonearm_subscription_events_total"


def changed(kind: str) -> str:
    """How many subscriptions an event changed, in the time shown."""
    return increase(EVENTS, where=f'kind="{kind}", outcome="changed"')


def _count(id: int, title: str, about: str, expr: str, legend: str) -> Panel:
    return Panel(
        id=id,
        title=title,
        about=f"{about} In the time shown. No threshold: how many are enough, only you know.",
        unit=Unit.COUNT,
        decimals=0,
        kind=Kind.STAT,
        width=4,
        queries=(Query(expr, legend),),
        steps=NEUTRAL,
    )


SOLD = Row(
    100,
    "What is sold",
    (
        _count(101, "Trials that began", "One for each guild and each payer.", changed("start_trial"), "trials"),
        _count(
            102,
            "Conversions",
            "Guilds that got their first plan after a trial: bought, or given to them.",
            increase("tonearm_conversions_total"),
            "conversions",
        ),
        _count(103, "Cancellations", "They last until the end of what is paid.", changed("cancel"), "canceled"),
        _count(
            104,
            "Subscriptions that expired",
            "Trials that were not continued are among them.",
            changed("expire"),
            "expired",
        ),
        _count(105, "Payments that failed", "The plan stays for the days of grace.", changed("fail_payment"), "failed"),
        _count(
            106, "Subscriptions taken back", "Refunded, disputed, or ended by you.", changed("revoke"), "taken back"
        ),
        Panel(
            id=107,
            title="Subscriptions, by plan and state",
            about="No threshold: how many are enough, only you know. past_due falls again when cards are charged anew.",
            unit=Unit.COUNT,
            width=12,
            queries=(Query(watched("tonearm_subscriptions", "plan", "state"), "{{plan}}, {{state}}"),),
            steps=NEUTRAL,
        ),
        Panel(
            id=108,
            title="What happens to subscriptions, within an hour",
            about="activate: paid, for the first time or once more. No threshold: it follows what people do. All "
            "kinds at once at 0 for a day is a webhook that does not arrive.",
            unit=Unit.COUNT,
            kind=Kind.STACKED,
            width=12,
            queries=(Query(increase(EVENTS, "kind", where='outcome="changed"', window="1h"), "{{kind}}"),),
            steps=NEUTRAL,
        ),
    ),
)

TOLD = Row(
    200,
    "Does what is told arrive?",
    (
        Panel(
            id=201,
            title="Webhooks of sellers, by outcome",
            about="Good: stored, and a few duplicates. Refused: a wrong secret, or somebody who is no seller. No "
            "threshold: an alert watches the share that is refused.",
            unit=Unit.PER_SECOND,
            kind=Kind.STACKED,
            queries=(Query(rate("tonearm_webhook_receipts_total", "source", "outcome"), "{{source}}: {{outcome}}"),),
            steps=NEUTRAL,
            alerts=("WebhookReceiptsFailing",),
        ),
        Panel(
            id=202,
            title="From a webhook to what it does",
            about="Good: p95 below 10 s. Who pays wants to see it at once.",
            unit=Unit.SECONDS,
            queries=quantiles("tonearm_receipt_lag_seconds", 0.5, 0.95),
            steps=rising(warn=10, bad=60),
        ),
        Panel(
            id=203,
            title="Oldest webhook waiting",
            about="Nobody has acted on it yet. Good: near 0. Older: no worker runs, or Discord or Stripe can't be "
            "asked.",
            unit=Unit.SECONDS,
            decimals=0,
            kind=Kind.STAT,
            width=4,
            queries=(Query(watched("tonearm_receipt_oldest_seconds"), "oldest"),),
            steps=rising(warn=60, bad=300),
            alerts=("WebhookLag",),
        ),
        Panel(
            id=204,
            title="Webhooks that wait",
            about="Good: near 0, and falling.",
            unit=Unit.COUNT,
            decimals=0,
            kind=Kind.STAT,
            width=4,
            queries=(Query(watched("tonearm_receipts_waiting"), "waiting"),),
            steps=rising(warn=20, bad=200),
        ),
        Panel(
            id=205,
            title="What your own systems are told",
            about="Good: few waiting, none given up. `tonearm webhooks` lists both.",
            unit=Unit.COUNT,
            width=12,
            queries=(
                Query(watched("tonearm_deliveries_waiting"), "waiting"),
                Query(watched("tonearm_deliveries_dead"), "given up"),
            ),
            steps=rising(warn=20, bad=200),
            alerts=("DeliveriesDead",),
        ),
        Panel(
            id=206,
            title="Exports, imports and deletions, within an hour",
            about="Good: done. A deletion that failed is done again; a law may set its time. No threshold: the log "
            "has the reason of each.",
            unit=Unit.COUNT,
            kind=Kind.STACKED,
            width=12,
            queries=(
                Query(increase("tonearm_guild_tasks_total", "kind", "outcome", window="1h"), "{{kind}}: {{outcome}}"),
            ),
            steps=NEUTRAL,
        ),
    ),
)

API = Row(
    300,
    "The API",
    (
        Panel(
            id=301,
            title="Requests, by operation",
            about="No threshold: it follows what scripts do. Here are the ten that are used most.",
            unit=Unit.REQUESTS,
            kind=Kind.STACKED,
            queries=(Query(f"topk(10, {rate('tonearm_api_requests_total', 'operation')})", "{{operation}}"),),
            steps=NEUTRAL,
        ),
        Panel(
            id=302,
            title="Requests, by status",
            about="Good: 2xx. 4xx are the callers' mistakes, 5xx are ours. No threshold: an alert watches the share "
            "of 5xx.",
            unit=Unit.REQUESTS,
            kind=Kind.STACKED,
            queries=(Query(rate("tonearm_api_requests_total", "status"), "{{status}}"),),
            steps=NEUTRAL,
            alerts=("ApiErrors",),
        ),
        Panel(
            id=303,
            title="Refused, since somebody asked too often",
            about="Good: rare. Much from one limiter: a script that does not wait, or a limit that is too low.",
            unit=Unit.PER_SECOND,
            queries=(Query(rate("tonearm_limited_total", "limiter"), "{{limiter}}"),),
            steps=rising(warn=0.05, bad=0.11),
            alerts=("LimitsRefuseMany",),
        ),
    ),
)

USED = Row(
    400,
    "What is used",
    (
        Panel(
            id=401,
            width=12,
            title="Commands and buttons, in the time shown",
            about="No threshold: it is what people like.",
            unit=Unit.COUNT,
            decimals=0,
            kind=Kind.BARS,
            queries=(
                Query(f"sort_desc(topk(12, {increase('tonearm_interactions_total', 'command')}))", "{{command}}"),
            ),
            steps=NEUTRAL,
        ),
        Panel(
            id=402,
            width=12,
            title="What became of them",
            about="Good: few are refused; many mean that people don't understand what is offered. No threshold: see "
            "Overview for faults of ours.",
            unit=Unit.SHARE,
            kind=Kind.BARS,
            queries=(
                Query(
                    f"sort_desc({rate('tonearm_interactions_total', 'outcome', window=SHOWN)} / ignoring (outcome) "
                    f"group_left () {rate('tonearm_interactions_total', window=SHOWN)})",
                    "{{outcome}}",
                ),
            ),
            steps=NEUTRAL,
        ),
    ),
)

BOARD = Board(
    name="business",
    title="Tonearm: business",
    about="What is sold and used, and whether what sellers and your own systems are told arrives.",
    since="now-7d",
    refresh="5m",
    rows=(SOLD, TOLD, API, USED),
)
