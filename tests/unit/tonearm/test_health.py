"""What an orchestrator is told, over real sockets."""

from __future__ import annotations

import aiohttp
import pytest

from tonearm import health


async def get(url: str) -> tuple[int, str, str]:
    """Status, body and content type."""
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, await answer.text(), answer.headers["Content-Type"]


async def test_a_process_lives_before_it_is_ready() -> None:
    ready = False
    async with health.serve("127.0.0.1", 0, ready=lambda: ready) as url:
        assert (await get(f"{url}/healthz"))[:2] == (200, '{"status": "ok"}')
        assert (await get(f"{url}/readyz"))[:2] == (503, '{"status": "starting"}')
        ready = True
        assert (await get(f"{url}/readyz"))[:2] == (200, '{"status": "ready"}')
        status, body, kind = await get(f"{url}/metrics")
        assert (status, kind.partition(";")[0]) == (200, "text/plain")
        assert "tonearm_build_info" in body or "# HELP tonearm_" in body
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(f"{url}/healthz")


async def test_an_address_of_ipv6_is_told_as_one() -> None:
    async with health.serve("::1", 0, ready=lambda: True) as url:
        assert url.startswith("http://[::1]:")
        assert (await get(f"{url}/healthz"))[0] == 200


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with health.serve("127.0.0.1", 0, ready=lambda: True) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            async with health.serve("127.0.0.1", port, ready=lambda: True):
                pass
