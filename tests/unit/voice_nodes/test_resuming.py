"""What is leant on of discord.py, and what is made of its events. Whole sessions are in gateway/ and test_shard."""

from __future__ import annotations

import logging
from typing import Any
from unittest.mock import MagicMock

import discord
import discord.client
import discord.gateway
import pytest
from discord.gateway import DiscordWebSocket, KeepAliveHandler
from discord.guild import Guild
from discord.state import ConnectionState

from tests.support.voice_nodes import GUILD
from tonearm.errors import StartFailed
from voice_nodes.resuming import Punctual, ResumingWebSocket, abort, install, require_internals, touched, watch

BOT = 4242


def test_the_installed_discord_py_has_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discord.client, "DiscordWebSocket", DiscordWebSocket)
    monkeypatch.setattr(discord.gateway, "KeepAliveHandler", KeepAliveHandler)
    install()
    assert discord.client.DiscordWebSocket is ResumingWebSocket
    assert discord.gateway.KeepAliveHandler is Punctual


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (DiscordWebSocket, "identify"),
        (DiscordWebSocket, "resume"),
        (KeepAliveHandler, "get_payload"),
        (ConnectionState, "call_hooks"),
        (ConnectionState, "_add_guild_from_data"),
        (ConnectionState, "parse_ready"),
        (Guild, "_update_voice_state"),
        (Guild, "_voice_state_for"),
    ],
)
def test_what_is_gone_is_named_and_nothing_is_installed(owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discord.client, "DiscordWebSocket", DiscordWebSocket)
    monkeypatch.delattr(owner, name)
    with pytest.raises(StartFailed, match=rf"discord\.py {discord.__version__} lacks {name}, which resuming"):
        install()
    assert discord.client.DiscordWebSocket is DiscordWebSocket


def test_a_parameter_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def from_client(
        cls: Any, client: Any, *, initial: bool, gateway: Any, sequence: int, resume: bool
    ) -> None: ...

    monkeypatch.setattr(DiscordWebSocket, "from_client", classmethod(from_client))
    with pytest.raises(StartFailed, match="lacks session,"):
        require_internals()


def test_a_state_without_its_parsers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ConnectionState.__init__

    def make(self: Any, **options: Any) -> None:
        made(self, **options)
        del self.parsers

    monkeypatch.setattr(ConnectionState, "__init__", make)
    with pytest.raises(StartFailed, match="lacks parsers,"):
        require_internals()


@pytest.mark.parametrize(
    ("name", "data", "guild"),
    [
        ("GUILD_CREATE", {"id": str(GUILD)}, GUILD),
        ("GUILD_UPDATE", {"id": str(GUILD)}, GUILD),
        ("CHANNEL_UPDATE", {"id": "1", "guild_id": str(GUILD)}, GUILD),
        ("GUILD_ROLE_DELETE", {"guild_id": str(GUILD), "role_id": "1"}, GUILD),
        ("VOICE_STATE_UPDATE", {"guild_id": str(GUILD), "user_id": "1"}, GUILD),
        ("VOICE_STATE_UPDATE", {"user_id": "1"}, None),
        ("GUILD_MEMBER_UPDATE", {"guild_id": str(GUILD), "user": {"id": str(BOT)}}, GUILD),
        ("GUILD_MEMBER_UPDATE", {"guild_id": str(GUILD), "user": {"id": "1"}}, None),
        ("MESSAGE_CREATE", {"guild_id": str(GUILD)}, None),
    ],
)
def test_which_guild_an_event_changes(name: str, data: dict[str, Any], guild: int | None) -> None:
    assert touched(name, data, BOT) == guild


async def test_an_event_that_breaks_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """In discord.py it would end the connection without a word."""
    client = discord.Client(intents=discord.Intents(guilds=True))
    taken: list[str] = []
    watch(client, lambda name, _: taken.append(name))
    parse = client._connection.parsers["GUILD_DELETE"]
    parse({"id": "no number"})
    assert taken == []
    assert "An event of the gateway was not taken" in caplog.text
    caplog.clear()
    parse({"id": "1"})
    assert taken == ["GUILD_DELETE"]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_no_socket_is_cut_where_there_is_none() -> None:
    abort(None)


def test_a_heartbeat_is_measured_from_its_own_sending() -> None:
    socket = MagicMock(thread_id=0, sequence=1, HEARTBEAT=1, _max_heartbeat_timeout=60.0)
    beating = Punctual(ws=socket, interval=41.25, shard_id=0)
    beating._last_send -= 41  # the one before
    beating.get_payload()
    beating.ack()  # comes before discord.py has heard that it was sent
    assert beating.latency < 10
