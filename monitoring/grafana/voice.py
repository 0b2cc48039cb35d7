"""Does the music play, does it sound well, and who owns which shard?"""

from __future__ import annotations

from monitoring.grafana.board import NEUTRAL, Board, Kind, Panel, Row, Unit, at_least, falling, rising
from monitoring.grafana.promql import UP, Query, increase, quantiles, rate, total, watched

FRAMES = "tonearm_lavalink_frames_total"
LOST = 'kind=~"nulled|deficit"'

MUSIC = Row(
    100,
    "Does the music play?",
    (
        Panel(
            id=101,
            title="Players and listeners",
            about="No threshold: how much is heard is not good or bad. Both going down at once is an outage.",
            unit=Unit.COUNT,
            queries=(Query(total("tonearm_players"), "players"), Query(total("tonearm_listeners"), "listeners")),
            steps=NEUTRAL,
        ),
        Panel(
            id=102,
            title="Frames that were not sent in time, by Lavalink",
            about="Good: below 1 %. From 3 % on people hear gaps: Lavalink has too little CPU, or a source is too "
            "slow.",
            unit=Unit.SHARE,
            decimals=2,
            queries=(
                Query(
                    f"{rate(FRAMES, 'node', where=LOST)} / {rate(FRAMES, 'node')}",
                    "{{node}}",
                ),
            ),
            steps=rising(warn=0.01, bad=0.03),
            alerts=("FramesLost",),
        ),
        Panel(
            id=103,
            title="Tracks that broke, by class and source",
            about="Good: none. common: the video is gone or barred; suspicious or fault: Lavalink or the source "
            "changed, look for a newer plugin; stuck: no data came.",
            unit=Unit.PER_SECOND,
            kind=Kind.STACKED,
            queries=(Query(rate("tonearm_track_errors_total", "class", "source"), "{{class}}, {{source}}"),),
            steps=rising(warn=0.1, bad=1),
            alerts=("TracksFail",),
        ),
        Panel(
            id=104,
            width=12,
            title="Tracks that ended, by reason",
            about="Good: nearly all by their end, or since somebody skipped them. No threshold: beside it is what "
            "broke.",
            unit=Unit.PER_SECOND,
            kind=Kind.STACKED,
            queries=(Query(rate("tonearm_track_ends_total", "reason"), "{{reason}}"),),
            steps=NEUTRAL,
        ),
        Panel(
            id=105,
            width=12,
            title="Voice connections made anew, by reason",
            about="Good: rare. Many at once: a voice server of Discord went away, and the music paused for a second.",
            unit=Unit.PER_SECOND,
            kind=Kind.STACKED,
            queries=(Query(rate("tonearm_voice_rejoins_total", "reason"), "{{reason}}"),),
            steps=rising(warn=0.2, bad=2),
            alerts=("VoiceUnstable",),
        ),
    ),
)

LAVALINK = Row(
    200,
    "Lavalink",
    (
        Panel(
            id=201,
            title="Servers",
            about="Good: all up. The players of one that is down go on at the others within seconds.",
            unit=Unit.COUNT,
            kind=Kind.STAT,
            width=6,
            states=UP,
            queries=(Query("max by (node) (tonearm_lavalink_up)", "{{node}}"),),
            steps=at_least(1),
            alerts=(
                "LavalinkDown",
                "NoLavalink",
            ),
        ),
        Panel(
            id=202,
            title="Calls that no server answered",
            about="Good: 0, in the time shown.",
            unit=Unit.COUNT,
            decimals=0,
            kind=Kind.STAT,
            width=6,
            queries=(Query(increase("tonearm_lavalink_failures_total"), "calls"),),
            steps=rising(warn=1, bad=20),
        ),
        Panel(
            id=203,
            title="Players that nobody wanted",
            about="Good: 0, in the time shown. Some are left after a voice node died; each was destroyed when it "
            "was found.",
            unit=Unit.COUNT,
            decimals=0,
            kind=Kind.STAT,
            width=6,
            queries=(Query(increase("tonearm_orphans_total"), "orphans"),),
            steps=rising(warn=10, bad=100),
        ),
        Panel(
            id=204,
            title="Sessions, by what is known of them",
            about="Good: all connected. No threshold: the states change while a server restarts or is emptied.",
            unit=Unit.COUNT,
            decimals=0,
            kind=Kind.STAT,
            width=6,
            queries=(Query(total("tonearm_lavalink_sessions", "state"), "{{state}}"),),
            steps=NEUTRAL,
        ),
        Panel(
            id=205,
            title="Players, by server",
            about="Good: spread evenly. No threshold: what one server bears, its penalty says.",
            unit=Unit.COUNT,
            queries=(Query(total("tonearm_lavalink_players", "node"), "{{node}}"),),
            steps=NEUTRAL,
        ),
        Panel(
            id=206,
            title="Penalty, by server",
            about="What new players are placed by: players, load and lost frames in one figure. Good: similar "
            "everywhere; one that is far higher is overloaded.",
            unit=Unit.COUNT,
            queries=(Query("max by (node) (tonearm_lavalink_penalty)", "{{node}}"),),
            steps=rising(warn=200, bad=500),
            alerts=("LavalinkOverloaded",),
        ),
        Panel(
            id=207,
            title="Players that moved to another server, by why",
            about="Good: only while a server is emptied on purpose. failover: a server died.",
            unit=Unit.PER_SECOND,
            kind=Kind.STACKED,
            queries=(Query(rate("tonearm_lavalink_moves_total", "cause"), "{{cause}}"),),
            steps=rising(warn=0.2, bad=5),
        ),
    ),
)

DISCORD = Row(
    300,
    "Discord's gateway",
    (
        Panel(
            id=301,
            title="There and back, the slowest shard of each voice node",
            about="Good: below 200 ms. Above 1 s for minutes: Discord has an incident, see discordstatus.com.",
            unit=Unit.SECONDS,
            width=12,
            queries=(Query("max by (instance) (tonearm_gateway_latency_seconds)", "{{instance}}"),),
            steps=rising(warn=0.5, bad=1),
            alerts=("GatewaySlow",),
        ),
        Panel(
            id=302,
            title="Sessions that may still be started today",
            about="Discord gives 1,000 a day, and each shard that can't resume takes one. Good: above 500. At 0 "
            "Discord resets the token.",
            unit=Unit.COUNT,
            width=12,
            queries=(Query("min(tonearm_gateway_session_starts_left)", "left"),),
            steps=falling(good=500, warn=200),
            alerts=("SessionStartsLow",),
        ),
    ),
)

SHARDS = Row(
    400,
    "Who owns the shards?",
    (
        Panel(
            id=401,
            title="Shards, owned and without an owner",
            about="Good: none without an owner; each takeover shows a short peak. No threshold: how many there are "
            "is a setting.",
            unit=Unit.COUNT,
            queries=(Query(watched("tonearm_shards", "state"), "{{state}}"),),
            steps=NEUTRAL,
            alerts=("ShardOwnerless",),
        ),
        Panel(
            id=402,
            title="Shards, by voice node",
            about="Good: even, or all at one and the others standing by. No threshold: a node that has none is in "
            "reserve.",
            unit=Unit.COUNT,
            kind=Kind.STACKED,
            queries=(Query(total("tonearm_leases", "instance"), "{{instance}}"),),
            steps=NEUTRAL,
        ),
        Panel(
            id=403,
            title="What becomes of leases, within an hour",
            about="Good: taken and given back, in pairs, at a deployment. lost: a voice node could not reach Redis, "
            "or died. No threshold: a lease that is lost once is taken again.",
            unit=Unit.COUNT,
            kind=Kind.STACKED,
            queries=(Query(increase("tonearm_lease_changes_total", "change", window="1h"), "{{change}}"),),
            steps=NEUTRAL,
            alerts=("LeasesLost",),
        ),
        Panel(
            id=404,
            title="From the last sign of the owner to the next one",
            about="Good: p95 below 5 s when it was given back; after a crash the lease has to run out first. The "
            "music goes on meanwhile, since Lavalink plays it.",
            unit=Unit.SECONDS,
            width=12,
            queries=quantiles("tonearm_takeover_seconds", 0.5, 0.95),
            steps=rising(warn=15, bad=30),
        ),
        Panel(
            id=405,
            title="Voice nodes, and whether they stay",
            about="Good: as many as you run. No threshold: during a deployment some are leaving.",
            unit=Unit.COUNT,
            width=12,
            queries=(Query("max by (state) (tonearm_voice_nodes)", "{{state}}"),),
            steps=NEUTRAL,
        ),
    ),
)

BOARD = Board(
    name="voice",
    title="Tonearm: voice",
    about="Whether the music plays and sounds well, and who owns which shard.",
    rows=(MUSIC, LAVALINK, DISCORD, SHARDS),
)
