"""Whatever anybody sends: no status of 500 or above, and nothing in Redis without Discord's signature."""

import asyncio
import json
import random

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from interactions.discord.decode import MAX_BODY
from tests.support.interactions.signed import command, interaction, send, sign
from tonearm.redis import keys
from tonearm.telemetry import INTERACTIONS

ALLOWED = {200, 400, 401, 404, 405, 413}
anything = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def effects(redis):
    return {key for key in await redis.keys() if key not in (b"tonearm:shard_count", b"{s0}:lease", b"{s0}:token")} - {
        keys.jobs(0).encode()
    }, await redis.xlen(keys.jobs(0))


NOTHING = (set(), 0)

header = st.binary(max_size=150)


@anything
@given(
    body=st.binary(max_size=400),
    signature=st.one_of(st.none(), header, st.just(b"0" * 128)),
    timestamp=st.one_of(st.none(), header, st.integers(0, 2**70).map(lambda number: str(number).encode())),
    more=st.lists(st.tuples(st.sampled_from([b"x-signature-ed25519", b"traceparent", b"content-type"]), header)),
)
async def test_unsigned_bytes(http, node, redis_client, body, signature, timestamp, more):
    headers = [(b"x-signature-ed25519", signature), (b"x-signature-timestamp", timestamp), *more]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/interactions",
        "query_string": b"",
        "headers": [(name, value) for name, value in headers if value is not None],
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def take(message):
        sent.append(message)

    await http.app(scope, receive, take)
    assert sent[0]["status"] == 401
    assert await effects(redis_client) == NOTHING


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@anything
@given(body=st.one_of(st.binary(max_size=300), json_value.map(lambda value: json.dumps(value).encode())))
async def test_signed_bytes_that_are_no_interaction(http, node, redis_client, body):
    response = await send(http, body)
    assert response.status_code == 400
    assert "error" in response.json()
    assert await effects(redis_client) == NOTHING


FIELDS = ["id", "application_id", "type", "token", "guild_id", "channel_id", "member", "data", "user"]


@anything
@given(
    changes=st.dictionaries(st.sampled_from(FIELDS), json_value, min_size=1, max_size=3),
    options=st.lists(
        st.fixed_dictionaries(
            {"name": st.sampled_from(["query", "where", "x"]), "type": st.integers(0, 20), "value": json_value}
        ),
        max_size=4,
    ),
)
async def test_signed_interactions_with_wrong_fields(http, changes, options):
    # No voice node: what is right by chance is refused.
    body = command("play")
    body["data"]["options"] = options
    response = await send(http, body | changes)
    assert response.status_code in ALLOWED


@pytest.mark.parametrize("nested", ["[" * 100_000, '{"a":' * 40_000, '{"type":1,"data":' + "[" * 100_000])
async def test_nesting_bombs(http, nested):
    assert (await send(http, nested.encode())).status_code == 400


@pytest.mark.parametrize("text", ["\\ud800", "\\u0000", "\\udfff\\ud800", "💥" * 250, "‮"])
async def test_strange_text_in_a_query(http, node, text):
    body = json.dumps(command("play", query="QUERY")).replace("QUERY", text).encode()
    response = await send(http, body)
    assert response.status_code in (200, 400)


async def test_lone_bytes_in_the_place_of_utf8(http):
    body = json.dumps(command("play", query="QUERY")).encode().replace(b"QUERY", b"\xff\xfe")
    assert (await send(http, body)).status_code == 400


async def test_mutations_of_a_valid_request_do_nothing(http, node, redis_client):
    """Seeded: one byte of the body, the timestamp, the signature, another key, a cut, a second header."""
    choose = random.Random(20)
    for _ in range(500):
        body = bytearray(json.dumps(command("play", query="x")).encode())
        headers = sign(bytes(body))
        match choose.randrange(6):
            case 0:
                body[choose.randrange(len(body))] ^= 1 << choose.randrange(8)
            case 1:
                headers["X-Signature-Timestamp"] = str(int(headers["X-Signature-Timestamp"]) + choose.choice([-1, 1]))
            case 2:
                flipped = bytearray.fromhex(headers["X-Signature-Ed25519"])
                flipped[choose.randrange(64)] ^= 1 << choose.randrange(8)
                headers["X-Signature-Ed25519"] = flipped.hex()
            case 3:
                headers = sign(bytes(body), key=SigningKey(choose.randbytes(32)))
            case 4:
                del body[choose.randrange(len(body)) :]
            case _:
                name = choose.choice(["X-Signature-Timestamp", "X-Signature-Ed25519"])
                headers = httpx.Headers([*headers.items(), (name, headers[name])])
        response = await http.post("/interactions", content=bytes(body), headers=headers)
        assert response.status_code == 401
    assert await effects(redis_client) == NOTHING


async def test_a_bad_signature_is_counted(http):
    before = INTERACTIONS.labels("unknown", "bad_signature")._value.get()
    await http.post("/interactions", content=b"{}")
    assert INTERACTIONS.labels("unknown", "bad_signature")._value.get() == before + 1


@pytest.mark.parametrize("size", [MAX_BODY + 1, 1_200_000])
async def test_a_long_body_is_refused_while_it_is_read(http, size):
    read = 0

    async def pieces():
        nonlocal read
        while read < size:
            piece = b"x" * min(65_536, size - read)
            read += len(piece)
            yield piece

    response = await http.post("/interactions", content=pieces(), headers={"X-Signature-Ed25519": "0" * 128})
    assert response.status_code == 413
    assert response.headers["connection"] == "close"
    assert read <= MAX_BODY + 65_536


async def test_a_body_of_the_longest_length_is_read(http):
    body = json.dumps(interaction(1)).encode()
    assert (await send(http, body.ljust(MAX_BODY))).status_code == 200


async def test_a_body_that_does_not_come_is_not_waited_for(http, monkeypatch):
    monkeypatch.setattr("interactions.discord.endpoint.BODY_TIMEOUT", 0.01)
    first = [{"type": "http.request", "body": b"{", "more_body": True}]
    sent = []

    async def receive():
        if first:
            return first.pop()
        return await http.never.wait()

    async def take(message):
        sent.append(message)

    http.never = asyncio.Event()
    scope = {"type": "http", "method": "POST", "path": "/interactions", "query_string": b"", "headers": []}
    async with asyncio.timeout(2):
        await http.app(scope, receive, take)
    assert sent[0]["status"] == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/interactions", 405),
        ("PUT", "/interactions", 405),
        ("HEAD", "/interactions", 405),
        ("POST", "/interactions/", 404),
        ("POST", "/", 404),
        ("POST", "/metrics", 405),
        ("GET", "/../etc/passwd", 404),
    ],
)
async def test_other_ways_in(http, method, path, status):
    assert (await http.request(method, path)).status_code == status
