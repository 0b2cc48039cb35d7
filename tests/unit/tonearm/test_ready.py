import asyncio
import socket

import pytest

from tonearm import health, ready
from tonearm.errors import SettingsError


async def asked(monkeypatch: pytest.MonkeyPatch, port: int, host: str = "127.0.0.1") -> int:
    monkeypatch.setenv("TONEARM_HOST", host)
    monkeypatch.setenv("TONEARM_PORT", str(port))
    return await asyncio.to_thread(ready.main, [])


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_who_is_ready_and_who_is_not(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    state = False
    async with health.serve(host, 0, ready=lambda: state) as url:
        port = int(url.rsplit(":", 1)[1])
        assert await asked(monkeypatch, port, host) == 1
        state = True
        assert await asked(monkeypatch, port, host) == 0


async def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert await asked(monkeypatch, bound.getsockname()[1]) == 1
    assert "refused" in capsys.readouterr().out


async def test_who_hangs_is_not_ready(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(ready, "TIMEOUT", 0.1)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        assert await asked(monkeypatch, listening.getsockname()[1]) == 1
    assert "timed out" in capsys.readouterr().out


def test_an_address_that_is_none_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONEARM_PORT", "no")
    with pytest.raises(SettingsError):
        ready.main([])
