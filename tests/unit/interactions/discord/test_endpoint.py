"""The endpoint by itself: what needs no Redis."""

import json

import pytest

from interactions.discord.endpoint import Endpoint, Handled
from interactions.discord.verify import Verifier
from tests.support.interactions.signed import KEY, interaction, sign
from tests.support.metrics import counts

FIRST = "tonearm_first_answers_total"


async def post(endpoint: Endpoint, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> tuple[int, dict]:
    """Status and body of what is answered to ``body``; without ``headers`` nobody signed it."""
    sent = []

    async def receive() -> dict:
        return {"type": "http.request", "body": body}

    async def send(message: dict) -> None:
        sent.append(message)

    await endpoint({"type": "http", "headers": headers or []}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def nobody():
    raise AssertionError("nothing gets so far")


async def test_a_bad_signature_is_answered_with_the_keys_that_hold_now():
    keys = [(bytes(32),)]
    endpoint = Endpoint(Verifier(lambda: keys[0]), nobody)
    with counts("tonearm_signatures_refused_total"), counts(FIRST, 0, how="direct"):
        assert await post(endpoint, b"{}") == (401, {"error": "bad signature", "public_keys": ["00" * 32]})
    keys[0] = (b"\x01" * 32, b"\x02" * 32)
    status, said = await post(endpoint, b"{}")
    assert (status, said["public_keys"]) == (401, ["01" * 32, "02" * 32])


class Handling:
    """Has everything answered so."""

    def __init__(self, outcome: str, status: int = 200) -> None:
        self._handled = Handled(b"{}", outcome, status)

    async def handle(self, *_) -> Handled:
        return self._handled

    def label(self, _) -> str:
        return "play"


@pytest.mark.parametrize(
    ("outcome", "age_s", "how"),
    [
        ("inline", 0.8, "inline"),
        ("deferred", 0.8, "deferred"),
        ("seen", 0.8, "direct"),
        ("refused", 0.8, "direct"),
        ("inline", 3.1, "late"),
        ("void", 3.1, "late"),
    ],
)
async def test_first_answers_are_counted_by_how_they_came(outcome, age_s, how):
    body = json.dumps(interaction(2, {"name": "play"}, age_ms=age_s * 1000)).encode()
    headers = [(name.lower().encode(), value.encode()) for name, value in sign(body).items()]
    verifier = Verifier((KEY.verify_key.encode(),))
    with counts(FIRST, how=how), counts("tonearm_interactions_total", command="play", outcome=outcome):
        await post(Endpoint(verifier, lambda: Handling(outcome)), body, headers)
    with counts(FIRST, 0, how=how):  # an answer that is none
        await post(Endpoint(verifier, lambda: Handling(outcome, status=400)), body, headers)
