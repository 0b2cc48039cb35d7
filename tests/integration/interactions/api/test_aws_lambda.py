"""The API as a function on AWS Lambda: where nothing can be heard, a job's end is taken from a list."""

import asyncio
import json

import msgspec

from interactions.api.app import create_api
from interactions.api.aws_lambda import make_handler
from tests.integration.interactions.api.test_music import PLAY, WISH, end, plays
from tests.support.api.serving import GUILD, api_settings, make_caller, serving
from tests.support.interactions.function import Function, event
from tonearm.jobs.job import Result
from tonearm.redis import keys


async def test_a_job_that_is_waited_for_is_told_by_list(database_url, redis_url, pool, node):
    async with serving(database_url, redis_url, stream_seconds=0) as http:
        caller = await make_caller(http, pool)
        await plays(node)
        asking = asyncio.create_task(caller.post("/music/pause", WISH, Prefer="respond-async, wait=2"))
        job = await end(node, Result("done", told=msgspec.Raw(b"null")))
        answer = await asking
        assert job.result_to == keys.BY_LIST
        assert (answer.status_code, answer.json()["status"]) == (200, "done")


async def test_one_that_takes_longer_is_accepted(database_url, redis_url, pool, node):
    async with serving(database_url, redis_url, stream_seconds=0) as http:
        answer = await (await make_caller(http, pool)).post("/music/play", PLAY, Prefer="wait=0.05")
        assert (answer.status_code, answer.json()["status"]) == (202, "queued")


async def test_it_is_called_with_events_and_streams_nothing(database_url, redis_url, pool, monkeypatch):
    async with serving(database_url, redis_url) as http:
        key = (await make_caller(http, pool)).secret
    apps = []

    def create(*given, **named):
        apps.append(create_api(*given, **named))
        return apps[-1]

    monkeypatch.setattr("interactions.api.aws_lambda.create_api", create)
    function = Function(lambda: make_handler(api_settings(database_url, redis_url, database_pool_size=1)))
    path = f"/api/v1/guilds/{GUILD}/events"
    try:
        found = await function(event(method="GET", path="/healthz"))
        assert (found["statusCode"], found["body"]) == (200, "ok\n")
        for headers, status in (({}, 401), ({"Authorization": f"Bearer {key}"}, 501)):
            refused = await function(event(method="GET", path=path, **headers))
            assert (refused["statusCode"], json.loads(refused["body"])["status"]) == (status, status)
            assert refused["isBase64Encoded"] is False
        assert function.left() == set()
    finally:
        parts = apps[0].state.parts
        function.close(parts.close, parts.redis.aclose)
