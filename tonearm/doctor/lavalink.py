"""What ``tonearm doctor`` looks at in each Lavalink server."""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec

from tonearm.addresses import DNS, addresses_of, session_to
from tonearm.doctor.finding import TIMEOUT, Finding
from tonearm.settings import PREFIX, LavalinkNode, Settings

OLDEST_LAVALINK = (4, 2, 2)


async def examine(settings: Settings) -> list[Finding]:
    """Every check of every configured server."""
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
