"""What the guild's plan allows, and what it does not."""

import pytest

from tests.support.scenes import ELSEWHERE, busy, entry, idle, loaded, scene
from tonearm.errors import Refused
from tonearm.music.actions import AnyAction, Play, SetVolume
from tonearm.music.change import Queued, Started
from tonearm.music.player import MAX_QUEUE, Player
from tonearm.premium.plans import FREE, PLANS, PREMIUM, PRO, Feature, Plan
from tonearm.sentences import Sentence

QUEUE = FREE.limit(Feature.QUEUE_LENGTH)


def refused(action: AnyAction, player: Player, plan: Plan, **changes: object) -> Refused:
    with pytest.raises(Refused) as caught:
        action.apply(scene(player, plan=plan, **changes))
    return caught.value


def test_a_queue_at_the_limit_of_the_plan_names_limit_and_plan() -> None:
    refusal = refused(Play("x"), busy(), FREE, loaded=loaded("a"), queue_length=QUEUE)
    assert refusal.sentence is Sentence.PLAN_LIMIT
    assert "up to 500" in str(refusal)
    assert "**Premium**" in str(refusal)
    Play("x").apply(scene(busy(), plan=PREMIUM, loaded=loaded("a"), queue_length=QUEUE))


def test_a_queue_that_is_longer_than_the_plan_takes_no_more_and_loses_nothing() -> None:
    refusal = refused(Play("x"), busy(), FREE, loaded=loaded("a"), queue_length=MAX_QUEUE - 1)
    assert refusal.sentence is Sentence.PLAN_LIMIT
    change = Play("x").apply(scene(idle(), plan=FREE, loaded=loaded("a", "b"), queue_length=MAX_QUEUE - 1))
    assert change.queue.append == ()
    assert not change.queue.clear
    assert isinstance(change.outcome, Started)
    assert (change.outcome.left_out, change.outcome.limit) == (1, QUEUE)


def test_of_a_playlist_what_fits_the_plan_is_taken() -> None:
    change = Play("x").apply(scene(busy(), plan=FREE, loaded=loaded("a", "b", "c"), queue_length=QUEUE - 2))
    assert isinstance(change.outcome, Queued)
    assert (len(change.queue.append), change.outcome.left_out, change.outcome.limit) == (2, 1, QUEUE)


def test_no_plan_lets_more_wait_than_can() -> None:
    assert max(plan.limit(Feature.QUEUE_LENGTH) for plan in PLANS.values()) <= MAX_QUEUE
    assert refused(Play("x"), busy(), PRO, loaded=loaded("a"), queue_length=MAX_QUEUE).sentence is Sentence.QUEUE_FULL


def test_louder_than_a_hundred_is_for_those_who_have_it() -> None:
    assert refused(SetVolume(101), busy(), FREE).sentence is Sentence.PLAN_LIMIT
    assert SetVolume(100).apply(scene(busy(), plan=FREE)).player.volume == 100
    assert SetVolume(200).apply(scene(busy(), plan=PREMIUM)).player.volume == 200
    assert refused(SetVolume(201), busy(), PRO).sentence is Sentence.VOLUME_RANGE


def test_who_is_elsewhere_is_told_so_first() -> None:
    assert refused(SetVolume(150), busy(), FREE, caller_channel=ELSEWHERE).sentence is Sentence.OTHER_CHANNEL


def test_without_knowing_the_plan_nothing_is_sold() -> None:
    assert refused(SetVolume(150), busy(), FREE, plan_known=False).sentence is Sentence.PLAN_UNKNOWN


def test_the_queue_keeps_its_first_track() -> None:
    change = Play("x").apply(scene(busy(), plan=FREE, loaded=loaded("a"), queue_length=1, first=entry("first")))
    assert not change.queue.take_first
