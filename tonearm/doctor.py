"""``tonearm doctor``: explains each setting, and looks whether what they name answers as it must."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import msgspec

from tonearm.addresses import DNS, addresses_of, session_to
from tonearm.errors import SettingsError
from tonearm.redis.client import FAILURES, connect
from tonearm.settings import DECLARED, PREFIX, LavalinkNode, Settings, explain, load

TIMEOUT = 5.0
OLDEST_LAVALINK = (4, 2, 2)


class Finding(msgspec.Struct, frozen=True):
    """What one look found; ``remedy`` is a sentence where something is wrong."""

    what: str
    found: str
    remedy: str = ""


def main(argv: list[str]) -> int:
    """Print every setting and every finding; 1 when something must be mended."""
    parser = argparse.ArgumentParser(prog="tonearm doctor", description="Explains the settings and checks them.")
    parser.add_argument("--settings", action="store_true", help="only explain the settings, look at nothing")
    options = parser.parse_args(argv)
    for name, value, meaning in explain():
        print(f"{name} = {value}\n    {meaning}")
    if options.settings:
        return 0
    findings = [*wrong_settings(os.environ)]
    if not findings:
        findings = asyncio.run(examine(load(())))
    print()
    for finding in findings:
        print(f"{'!!' if finding.remedy else 'ok'}  {finding.what}: {finding.found}")
        if finding.remedy:
            print(f"    {finding.remedy}")
    return 1 if any(finding.remedy for finding in findings) else 0


def wrong_settings(environ: Mapping[str, str]) -> list[Finding]:
    """A finding for each setting that has a wrong form."""
    findings = []
    for setting in DECLARED:
        name = PREFIX + setting.name.upper()
        try:
            load((), {name: environ.get(name, "")})
        except SettingsError as error:
            findings.append(Finding(name, "wrong", str(error)))
    return findings


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything that is configured; each look has a timeout and none stops the others."""
    looks: list[Callable[[], Awaitable[list[Finding]]]] = []
    if settings.redis_url:
        looks.append(lambda: _redis(settings))
    if settings.discord_bot_token:
        looks.append(lambda: _discord(settings))
    if settings.lavalink_nodes:
        looks.append(lambda: _lavalink(settings))
    if settings.database_url:
        looks.append(lambda: _database(settings))
    return [finding for findings in await asyncio.gather(*(look() for look in looks)) for finding in findings]


async def _redis(settings: Settings) -> list[Finding]:
    client = connect(settings.redis_url, timeout=TIMEOUT)
    try:
        info = await client.info()
        policy = (await client.config_get("maxmemory-policy")).get("maxmemory-policy")
    except FAILURES as error:
        return [Finding("Redis", f"does not answer ({error})", f"Check {PREFIX}REDIS_URL, and that the server runs.")]
    finally:
        await client.aclose()
    version = info.get("valkey_version") or info.get("redis_version")
    findings = [Finding("Redis", f"version {version}")]
    if policy != "noeviction":
        remedy = "Set maxmemory-policy to noeviction: with any other, queues vanish when memory is short."
        return [*findings, Finding("Redis' policy", str(policy), remedy)]
    return [*findings, Finding("Redis' policy", "noeviction")]


async def _discord(settings: Settings) -> list[Finding]:
    from tonearm.discord.rest import RestClient
    from tonearm.errors import DiscordAway, DiscordError

    try:
        async with RestClient(settings.discord_api_url, bot_token=settings.discord_bot_token) as rest:
            application = await rest.fetch_application(timeout=TIMEOUT)
    except DiscordAway as error:
        return [Finding("Discord", f"does not answer ({error.detail})", f"Check {PREFIX}DISCORD_API_URL.")]
    except DiscordError as error:
        return [Finding("Discord", str(error), f"Check {PREFIX}DISCORD_BOT_TOKEN.")]
    findings = [Finding("Discord", f"application {application['name']}")]
    if settings.discord_application_id and int(application["id"]) != settings.discord_application_id:
        remedy = f"Set {PREFIX}DISCORD_APPLICATION_ID to {application['id']}."
        findings.append(Finding("Application id", str(settings.discord_application_id), remedy))
    if settings.discord_public_key and bytes.fromhex(application["verify_key"]) not in settings.discord_public_key:
        remedy = f"Set {PREFIX}DISCORD_PUBLIC_KEY to the one in Discord's developer portal."
        findings.append(Finding("Public key", "is not this application's", remedy))
    return findings


async def _lavalink(settings: Settings) -> list[Finding]:
    return [finding for node in settings.lavalink_nodes for finding in await _lavalink_node(node)]


async def _lavalink_node(node: LavalinkNode) -> list[Finding]:
    """A name that stands for several servers has a finding for each."""
    url = node.url.removeprefix(DNS)
    addresses: tuple[str | None, ...] = (None,)
    if url != node.url:
        try:
            addresses = await addresses_of(url)
        except OSError as error:
            remedy = f"Check the name in {PREFIX}LAVALINK_NODES."
            return [Finding(f"Lavalink at {node.url}", f"has no address ({error})", remedy)]
    return [await _lavalink_at(url, node.password, address) for address in addresses]


async def _lavalink_at(url: str, password: str, address: str | None) -> Finding:
    name = f"Lavalink at {url}" + (f" ({address})" if address else "")
    try:
        async with session_to(address, TIMEOUT) as http:
            response = await http.get(f"{url}/v4/info", headers={"Authorization": password})
            async with response:
                info = msgspec.json.decode(await response.read(), type=dict[str, Any]) if response.status == 200 else {}
                return _judge_lavalink(name, response.status, info)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Finding(name, f"does not answer ({error!r})", f"Check {PREFIX}LAVALINK_NODES, and that the server runs.")
    except msgspec.DecodeError:
        return Finding(name, "is not a Lavalink server", f"Check {PREFIX}LAVALINK_NODES.")


def _judge_lavalink(name: str, status: int, info: dict[str, dict[str, object]]) -> Finding:
    if status != 200:
        return Finding(name, f"refuses ({status})", f"Check the password in {PREFIX}LAVALINK_NODES.")
    version = info.get("version", {})
    number = tuple(int(str(version.get(part) or 0)) for part in ("major", "minor", "patch"))
    text = str(version.get("semver", "unknown"))
    if number < OLDEST_LAVALINK:
        remedy = "Discord's voice is end-to-end encrypted only (DAVE) since March 2026: use Lavalink 4.2.2 or newer."
        return Finding(name, text, remedy)
    return Finding(name, text)


async def _database(settings: Settings) -> list[Finding]:
    import asyncpg

    try:
        connection = await asyncpg.connect(settings.database_url, timeout=TIMEOUT)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        remedy = f"Check {PREFIX}DATABASE_URL, and that the server runs."
        return [Finding("PostgreSQL", f"does not answer ({error})", remedy)]
    try:
        return [Finding("PostgreSQL", f"version {await connection.fetchval('show server_version')}")]
    finally:
        await connection.close()
