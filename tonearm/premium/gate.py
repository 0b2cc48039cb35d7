"""The one gate: everything that a plan limits passes through :func:`require_feature`."""

from __future__ import annotations

from tonearm.errors import Refused
from tonearm.premium.plans import PLANS, SWITCHES, Feature, Plan, least_with
from tonearm.sentences import Sentence

REFUSALS = frozenset(Sentence[name] for name in ("PLAN_LACKS", "PLAN_LIMIT", "PLAN_MOST", "PLAN_UNKNOWN"))
"""The sentences of this gate, for who must tell its refusals from others."""

NAMES: dict[Feature, str] = {
    Feature.QUEUE_LENGTH: "The queue",
    Feature.VOLUME: "The volume",
    Feature.ALWAYS_ON: "24/7",
    Feature.HISTORY_LENGTH: "The history",
    Feature.PLAYLISTS: "The number of playlists",
    Feature.CUSTOM_FILTERS: "filters of your own",
    Feature.AUTOPLAY: "autoplay",
    Feature.EXPORTS: "exports",
}
"""What a feature is called in a sentence: in its middle where a plan has it or has not, else at its beginning."""


def require_feature(plan: Plan, feature: Feature, wanted: int = 1, *, known: bool = True) -> None:
    """``plan`` allows ``wanted`` of ``feature``. ``known`` is whether ``plan`` is more than what is given to all.

    Raises:
        Refused: it does not; the sentence names the limit, and the least plan that lifts it.
    """
    limit = plan.limit(feature)
    if wanted <= limit:
        return
    # Where no plan goes as far, the one that goes furthest is named, unless it is this one.
    furthest = max(PLANS.values(), key=lambda plan: plan.limit(feature))
    needed = least_with(feature, min(wanted, furthest.limit(feature)))
    if needed is None or needed.limit(feature) <= limit:
        raise Refused(Sentence.PLAN_MOST, what=NAMES[feature], limit=f"{limit:,}")
    if not known:
        raise Refused(Sentence.PLAN_UNKNOWN)
    if feature in SWITCHES:
        raise Refused(Sentence.PLAN_LACKS, what=NAMES[feature], plan=plan.name, needed=needed.name)
    more = f"{needed.limit(feature):,}"
    raise Refused(
        Sentence.PLAN_LIMIT, what=NAMES[feature], limit=f"{limit:,}", plan=plan.name, more=more, needed=needed.name
    )
