"""Response bodies."""

import json

import msgspec
import pytest

from interactions.discord import respond
from tonearm.jobs.job import Answer


@pytest.mark.parametrize(
    ("private", "component", "body"),
    [
        (False, False, {"type": 5}),
        (True, False, {"type": 5, "data": {"flags": 64}}),
        (False, True, {"type": 6}),
        (True, True, {"type": 6}),
    ],
)
def test_deferrals(private, component, body):
    assert json.loads(respond.deferral(private=private, component=component)) == body


@pytest.mark.parametrize(
    ("private", "component", "kind"), [(False, False, 4), (True, False, 4), (False, True, 7), (True, True, 4)]
)
def test_an_answer_is_put_in_as_it_is(private, component, kind):
    rendered = b'{"flags": 1,  "content":"\xc3\xa4"}'
    body = respond.answer(Answer(msgspec.Raw(rendered), private), component=component)
    assert body == b'{"type":%d,"data":%s}' % (kind, rendered)


def test_messages_made_here():
    message = {"flags": 1 << 15, "components": []}
    assert json.loads(respond.message(message)) == {"type": 4, "data": message}
    assert json.loads(respond.message(message, private=True))["data"]["flags"] == 1 << 15 | 64
    # An edit can't change who sees the message.
    assert json.loads(respond.message(message, private=True, updates=True)) == {"type": 7, "data": message}


def test_a_sentence_is_for_the_caller_only():
    body = json.loads(respond.sentence("Nothing is playing."))
    assert (body["type"], body["data"]["flags"] & 64, body["data"]["allowed_mentions"]) == (4, 64, {"parse": []})
    assert "Nothing is playing." in json.dumps(body)
