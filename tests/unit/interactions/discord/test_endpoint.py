"""The endpoint by itself: what needs no Redis."""

import json

from interactions.discord.endpoint import Endpoint
from interactions.discord.verify import Verifier


async def post(endpoint: Endpoint, body: bytes) -> tuple[int, dict]:
    """Status and body of what is answered to ``body``, which nobody signed."""
    sent = []

    async def receive() -> dict:
        return {"type": "http.request", "body": body}

    async def send(message: dict) -> None:
        sent.append(message)

    await endpoint({"type": "http", "headers": []}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def nobody():
    raise AssertionError("nothing gets so far")


async def test_a_bad_signature_is_answered_with_the_keys_that_hold_now():
    keys = [(bytes(32),)]
    endpoint = Endpoint(Verifier(lambda: keys[0]), nobody)
    assert await post(endpoint, b"{}") == (401, {"error": "bad signature", "public_keys": ["00" * 32]})
    keys[0] = (b"\x01" * 32, b"\x02" * 32)
    status, said = await post(endpoint, b"{}")
    assert (status, said["public_keys"]) == (401, ["01" * 32, "02" * 32])
