"""Commands and buttons, from the signed request to the response."""

import asyncio

import pytest

from tests.support.interactions.signed import CHANNEL, GUILD, USER, click, command, interaction, send, text_of
from tests.support.interactions.stub_node import answer
from tonearm.jobs.job import CONTROL_VALID_MS, PLAY_VALID_MS
from tonearm.music.actions import Leave, Pause, Play, Resume, SetVolume, Skip, Stop
from tonearm.music.change import Where


async def test_a_ping_is_answered(http):
    response = await send(http, interaction(1))
    assert (response.status_code, response.json()) == (200, {"type": 1})
    assert response.headers["content-type"] == "application/json"


async def test_a_play_becomes_a_job_and_its_answer_the_response(http, node):
    sent = command("play", query=" some words ", where="next")
    doing = asyncio.create_task(node.do_one(answer("found it")))
    response = await send(http, sent)
    job = await doing
    assert response.status_code == 200
    assert response.json()["type"] == 4
    assert text_of(response) == "found it"
    assert job.id == f"i:{sent['id']}"
    assert (job.guild, job.user, job.text_channel, job.valid_ms) == (GUILD, USER, CHANNEL, PLAY_VALID_MS)
    assert job.action == Play("some words", Where.NEXT)
    assert (job.reply.token, job.reply.private, job.reply.component) == (sent["token"], False, False)
