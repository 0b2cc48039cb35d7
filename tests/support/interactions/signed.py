"""Interactions as Discord sends them, signed."""

import itertools
import json
import time

import httpx
from nacl.signing import SigningKey

from tonearm.discord.snowflake import DISCORD_EPOCH_MS
from tonearm.settings import Settings, load

KEY = SigningKey(bytes(range(32)))
APPLICATION = 845027738276462632
GUILD = 772904309264089089
CHANNEL = 772908445358620702
USER = 786008729715212338

_numbers = itertools.count(1)


def settings(redis_url: str, **others: object) -> Settings:
    """Settings of an HTTP side that verifies with our key."""
    environment = {
        "TONEARM_DISCORD_APPLICATION_ID": str(APPLICATION),
        "TONEARM_DISCORD_PUBLIC_KEY": KEY.verify_key.encode().hex(),
        "TONEARM_REDIS_URL": redis_url,
        "TONEARM_HOST": "127.0.0.1",
        "TONEARM_PORT": "0",
        **{f"TONEARM_{name.upper()}": str(value) for name, value in others.items()},
    }
    return load((), environment)


def snowflake(age_ms: float = 0, *, now: float | None = None) -> int:
    """A new id that was made ``age_ms`` ago."""
    made = int((time.time() if now is None else now) * 1000 - age_ms)
    return (made - DISCORD_EPOCH_MS << 22) + next(_numbers) % 2**22


def interaction(kind: int, data: dict | None = None, *, age_ms: float = 0, **others: object) -> dict:
    """The fields that Discord sends, as far as they matter to anybody."""
    made = {
        "id": str(snowflake(age_ms)),
        "application_id": str(APPLICATION),
        "type": kind,
        "token": "aW50ZXJhY3Rpb246" * 12,
        "version": 1,
        "app_permissions": "562949953601536",
        "authorizing_integration_owners": {"0": str(GUILD)},
        "entitlements": [],
        "guild_id": str(GUILD),
        "channel_id": str(CHANNEL),
        "channel": {"id": str(CHANNEL), "type": 0, "name": "music", "permissions": "4398046511103"},
        "member": {
            "user": {"id": str(USER), "username": "somebody", "discriminator": "0", "avatar": None},
            "roles": ["785609923542777878"],
            "permissions": "4398046511103",
            "nick": None,
            "joined_at": "2020-12-08T18:00:00.000000+00:00",
        },
        "locale": "en-GB",
        "guild_locale": "en-US",
        "context": 0,
        **others,
    }
    if data is not None:
        made["data"] = data
    return {name: value for name, value in made.items() if value is not None}


def command(name: str, /, *, age_ms: float = 0, **options: object) -> dict:
    """Somebody uses a command."""
    kinds = {str: 3, int: 4, bool: 5, float: 10}
    given = [{"name": key, "type": kinds[type(value)], "value": value} for key, value in options.items()]
    return interaction(2, {"id": "866818195033292851", "name": name, "type": 1, "options": given}, age_ms=age_ms)


def click(custom_id: str, *, age_ms: float = 0) -> dict:
    """Somebody presses a button."""
    return interaction(3, {"custom_id": custom_id, "component_type": 2}, age_ms=age_ms)


def sign(body: bytes, *, timestamp: str | None = None, key: SigningKey = KEY) -> dict[str, str]:
    """The headers that make ``body`` Discord's."""
    timestamp = str(int(time.time())) if timestamp is None else timestamp
    signature = key.sign(timestamp.encode() + body).signature.hex()
    return {"X-Signature-Ed25519": signature, "X-Signature-Timestamp": timestamp, "Content-Type": "application/json"}


async def send(client: httpx.AsyncClient, body: dict | bytes, **headers: str) -> httpx.Response:
    """POST it, signed."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post("/interactions", content=raw, headers={**sign(raw), **headers})


def text_of(response: httpx.Response) -> str:
    """All words of a response's message."""
    return "\n".join(_texts(response.json()["data"]["components"]))


def _texts(components: list) -> list[str]:
    found = []
    for component in components:
        if component["type"] == 10:
            found.append(component["content"])
        found += _texts(component.get("components", []))
    return found
