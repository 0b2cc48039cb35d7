"""The part ``jobs``: the plan, the run, the table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from tests.chaos.checker import DONE, FAILED, REFUSED, SILENT
from tests.chaos.cluster import Cluster, Shape
from tests.chaos.jobs import Jobs, make_tones
from tests.chaos.outcome import LEAST_DONE, LONG_LEAST_DONE, Outcome
from tests.chaos.part import Run
from tests.chaos.patient import VALID_MS
from tests.chaos.plan import FAULT_EVERY, FROZEN, Kind, make_plan
from tests.chaos.report import Result, Row, Sheet
from tests.chaos.script import Script
from tests.chaos.shares import Shares
from tests.chaos.stalls import Stalls

GUILDS = 50
SHORT_LONGEST = 5.0
SHORT_EVERY = 1.3
"""Seconds: in the short form everything is shorter and comes sooner."""

MOST_VOID = 3
"""So often the twin may be too busy to say what it did; that is not judged then. More, and the run proves nothing."""

OUTCOME = "outcome.json"
"""What was found, kept before it is judged."""

SPACE = 3.0
"""Seconds from one fault to the next, as promised."""
SPACES_OVER, LONGEST_SPACE = 0.1, 15.0
"""The share of them that may be longer, and how long (s): where a fault waits for a whole victim, or for another fault
of the same store to be mended, which takes 15 s at most."""

PATIENT = f"Jobs might wait for {VALID_MS // 1000} s, longer than any fault lasted: none may be refused as too old."
TONES = "A tone that began again within its first two seconds is not told from one that went on a second off."
IN_MEMORY = "Redis' append-only file was in memory: the disk had no part in this."
ON_DISK = "Redis' append-only file was on disk: had the disk held a write up for long, the run would be void."


async def run(asked: Run) -> Result:
    """500 or 10,000 jobs, with two or twenty faults of each kind."""
    plan = make_plan(
        asked.seed,
        jobs=10_000 if asked.long else 500,
        guilds=GUILDS,
        repeats=0 if not asked.faults else 20 if asked.long else 2,
        longest=FROZEN[1] if asked.long else SHORT_LONGEST,
        every=FAULT_EVERY if asked.long else SHORT_EVERY,
    )
    folder = asked.tones / "marked"
    make_tones(folder, plan)
    shape = Shape(workers=2, api=2, patient=True)
    with Stalls() as stalls:
        async with Cluster(asked.folder, folder, shape, asked.log) as cluster, Script(cluster) as script:
            outcome = await Jobs(script, plan, GUILDS, asked.log).run()
            violations = await cluster.twin.violations()
            complaints = await cluster.complaints()
    outcome.stalls = stalls.long
    outcome.least_done = LONG_LEAST_DONE if asked.long else LEAST_DONE
    (asked.folder / OUTCOME).write_bytes(msgspec.json.encode(outcome, enc_hook=str))
    result = judge(outcome)
    result.missed += complaints
    result.lines += cluster.remarks()
    result.lines += [PATIENT, TONES]
    result.lines.append(IN_MEMORY if cluster.aof_in_memory else ON_DISK)
    result.figures["violations"] = violations
    return result


@dataclass
class _Line:
    longest_ms: int = 0
    packets: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0

    def add(self, watch_lost: int, waits: list[int], troubles: list[str]) -> None:
        self.longest_ms = max([self.longest_ms, *waits])
        self.packets += watch_lost
        self.lost += sum(word in ("lost", "dead", "silent") for word in troubles)
        self.doubled += troubles.count("doubled")
        self.disordered += troubles.count("out of order")


def judge(outcome: Outcome) -> Result:
    """The table, and what it means."""
    result = Result("jobs")
    sheet = Sheet(
        "What each fault did, until the next one",
        ("fault", "made", "longest wait of a job (s)", "packets lost", "jobs lost", "doubled", "out of order"),
    )
    lines = _lines(outcome)
    made = Counter(struck.fault.kind for struck in outcome.struck)
    for kind in ("(before the first)", *Kind):
        line = lines.get(kind)
        if line is not None:
            times = made[kind] if isinstance(kind, Kind) else ""
            cells = (kind, times, f"{line.longest_ms / 1000:.2f}", line.packets)
            short = isinstance(kind, Kind) and made[kind] < outcome.planned.get(kind, 0)
            good = not (line.lost or line.doubled or line.disordered or short)
            sheet.rows.append(Row((*cells, line.lost, line.doubled, line.disordered), good))
    verdict = outcome.verdict
    result.sheets = [_totals(outcome), sheet]
    if outcome.books is not None:
        result.sheets.append(outcome.books)
    for name, found in (
        ("lost", verdict.lost),
        ("done or heard twice", verdict.doubled),
        ("out of order", verdict.disordered),
        ("dead letter", verdict.dead),
        ("never answered", verdict.silent),
        ("not as the log says", verdict.wrong),
    ):
        result.missed += [f"{name}: {each}" for each in found]
    result.missed += outcome.missed
    _judge_faults(outcome, made, result)
    shares = Shares(outcome)
    result.missed += shares.missed
    void = [f"void: {each}" for each in (*outcome.void, *shares.void)]
    if len(void) > MOST_VOID:
        result.missed += void
    result.lines += [*shares.lines, *outcome.notes, *void]
    result.figures = {
        "jobs": len(outcome.sent),
        "not_done": shares.figures,
        "faults": [
            {"kind": s.fault.kind, "whom": s.whom, "at_s": s.begun, "mended_after_s": round(s.mended - s.begun, 2)}
            for s in outcome.struck
        ],
    }
    return result


def _judge_faults(outcome: Outcome, made: Mapping[Kind, int], result: Result) -> None:
    """As many were made as were planned, and soon enough after one another."""
    for kind, planned in outcome.planned.items():
        if made[kind] < planned:
            result.missed.append(f"{kind}: made {made[kind]} times, not {planned}")
    spaces = [after - before for before, after in pairwise(sorted(struck.begun for struck in outcome.struck))]
    if not spaces:
        return
    over = [space for space in spaces if space > SPACE]
    told = (
        f"{len(outcome.struck)} faults, one each {sum(spaces) / len(spaces):.1f} s; {len(over)} of {len(spaces)} began "
        f"more than {SPACE:g} s after the one before (allowed: {SPACES_OVER:.0%}), at most {max(spaces):.1f} s "
        f"(allowed: {LONGEST_SPACE:g} s)"
    )
    result.lines.append(told)
    if len(over) > SPACES_OVER * len(spaces) or max(spaces) > LONGEST_SPACE:
        result.missed.append(f"the faults came too late: {told}")


def _lines(outcome: Outcome) -> dict[str, _Line]:
    lines: dict[str, _Line] = defaultdict(_Line)
    begins = [*(watch.begun_ms for watch in outcome.watches), 1 << 62]
    first = begins[0]
    spans = [("(before the first)", 0, first, 0)]
    spans += [(w.kind, w.begun_ms, end, w.lost) for w, end in zip(outcome.watches, begins[1:], strict=True)]
    for kind, begin, end, packets in spans:
        ids = [id for id, at in outcome.sent_ms.items() if begin <= at < end]
        waits = [outcome.done_ms[id] - outcome.sent_ms[id] for id in ids if id in outcome.done_ms]
        lines[kind].add(packets, waits, [outcome.verdict.jobs[id] for id in ids if id in outcome.verdict.jobs])
    return lines


def _totals(outcome: Outcome) -> Sheet:
    sheet = Sheet("Jobs", ("kind", "sent", "done", "refused", "not delivered", "never answered"))
    for kind in ("play", "skip", "pause", "resume", "volume"):
        jobs = [job for job in outcome.sent if job.kind == kind]
        counts = [sum(job.outcome == each for job in jobs) for each in (DONE, REFUSED, FAILED, SILENT)]
        sheet.rows.append(Row((kind, len(jobs), *counts), counts[3] == 0))
    return sheet
