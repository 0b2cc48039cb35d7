"""What ours is measured beside: a /play by plain means, with libraries as everybody uses them."""

import os

import redis
from nacl.signing import VerifyKey

JSON = {"content-type": "application/json"}

client = redis.Redis.from_url(os.environ["TONEARM_REDIS_URL"])
key = VerifyKey(bytes.fromhex(os.environ["TONEARM_DISCORD_PUBLIC_KEY"]))


def play(event, context):
    """Verify, append to a stream, defer."""
    headers, body = event["headers"], event["body"].encode()
    signed = headers["x-signature-timestamp"].encode() + body
    key.verify(signed, bytes.fromhex(headers["x-signature-ed25519"]))
    client.xadd("plain", {"job": body})
    return {"statusCode": 200, "headers": JSON, "body": '{"type":5}'}
