"""``tonearm setup`` and ``tonearm doctor`` as whoever installs Tonearm meets them: a terminal, and a running system."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING

from playground.twin.permissions import EVERYONE
from tests.e2e.test_up import said_at_the_end
from tonearm import envfile
from tonearm.discord.invite import PERMISSIONS
from tonearm.discord.rest import RestClient
from tonearm.setup.steps import APPLICATION_ID, BOT_TOKEN, PUBLIC_KEY, PUBLIC_URL

if TYPE_CHECKING:
    from playground.system import System


class Terminal:
    """Somebody at a terminal of their own, in which ``tonearm`` runs with nothing set but where Discord is."""

    def __init__(self, system: System, folder: Path, *words: str, **settings: str) -> None:
        self.said = ""
        self._system = system
        self._folder = folder
        self._words = words
        self._settings = {f"TONEARM_{name}": value for name, value in settings.items()}

    async def __aenter__(self) -> Terminal:
        self._ours, theirs = pty.openpty()
        os.set_blocking(self._ours, False)

        def own_it() -> None:
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        clean = {name: value for name, value in os.environ.items() if not name.startswith("TONEARM_")}
        api = {"TONEARM_DISCORD_API_URL": self._system.environ["TONEARM_DISCORD_API_URL"]}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tonearm", *self._words),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**clean, **api, **self._settings},
            cwd=self._folder,
            preexec_fn=own_it,
        )
        os.close(theirs)
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._ours)
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        os.close(self._ours)

    def _read(self) -> None:
        try:
            self.said += os.read(self._ours, 65536).decode()
        except OSError:  # the other end is closed
            asyncio.get_running_loop().remove_reader(self._ours)
        self._more.set()

    async def asked(self, words: str, answer: str) -> None:
        """Wait for a question, then type an answer."""
        async with asyncio.timeout(30):
            while words not in self.said:
                self._more.clear()
                await self._more.wait()
        os.write(self._ours, f"{answer}\n".encode())

    async def ended(self) -> int:
        """The exit code."""
        async with asyncio.timeout(30):
            code = await self._process.wait()
        self._read()
        return code


async def test_from_a_terminal_to_a_bot_that_answers(system: System, tmp_path: Path) -> None:
    """First with a token typed wrong, then without an address, then whole; and the doctor finds nothing wrong."""
    token, where = system.environ[BOT_TOKEN], await interactions_url(system)
    async with Terminal(system, tmp_path, "setup") as terminal:
        await terminal.asked("Token (is not shown): ", "MTA.typed.wrong")
        await terminal.asked("Public URL", "")
        assert await terminal.ended() == 1
        assert "!!  Discord: refuses the token" in terminal.said
        assert "MTA.typed.wrong" not in terminal.said
    file = tmp_path / ".env"
    assert not file.exists()

    async with Terminal(system, tmp_path, "setup") as terminal:
        await terminal.asked("Token (is not shown): ", f"Bot {token} ")
        await terminal.asked("Public URL", "")
        assert await terminal.ended() == 3
        assert token not in terminal.said
        assert "discord.com/oauth2/authorize" in terminal.said
    assert file.stat().st_mode & 0o777 == 0o600
    assert envfile.read(file) == {name: system.environ[name] for name in (APPLICATION_ID, PUBLIC_KEY, BOT_TOKEN)}

    async with Terminal(system, tmp_path, "setup", "--public-url", f"{where}/interactions") as terminal:
        assert await terminal.ended() == 1
        assert "must be without /interactions at its end" in terminal.said

    async with Terminal(system, tmp_path, "setup", "--wait", "0") as terminal:
        await terminal.asked("Public URL (empty: later): ", "http://127.0.0.1:1")
        assert await terminal.ended() == 1
        assert "!!  Public URL: http://127.0.0.1:1/interactions can't be reached" in terminal.said

    async with Terminal(system, tmp_path, "setup", "--wait", "0") as terminal:
        await terminal.asked("Public URL (empty: http://127.0.0.1:1): ", where)
        assert await terminal.ended() == 0
        assert f"ok  Interactions URL: Discord has verified {where}/interactions" in terminal.said
    assert envfile.read(file)[PUBLIC_URL] == where

    code, said = await said_at_the_end(system, "doctor", "--json", "--search", "long", PUBLIC_URL=where)
    assert code == 0, said
    verdicts = {row["what"]: row["verdict"] for row in json.loads(said)}
    assert set(verdicts.values()) == {"ok"}, said
    assert {"Redis' policy", "Tables", "Clock", "Commands", "Interactions URL", "Public URL"} <= verdicts.keys()


async def test_a_script_has_nobody_to_ask(system: System, tmp_path: Path) -> None:
    file = str(tmp_path / "own.env")
    code, said = await said_at_the_end(system, "setup", "--env-file", file, DISCORD_BOT_TOKEN="")
    assert code == 1
    assert f"TONEARM_DISCORD_BOT_TOKEN is missing. Set it in the environment or in {file}." in said
    code, said = await said_at_the_end(
        system, "setup", "--env-file", file, "--wait", "0", PUBLIC_URL="http://music.example"
    )
    assert code == 1
    assert "Discord sends nothing to http://" in said
    where = await interactions_url(system)
    code, said = await said_at_the_end(system, "setup", "--env-file", file, "--public-url", where)
    assert code == 0, said
    code, said = await said_at_the_end(system, "setup", "--env-file", file, DISCORD_APPLICATION_ID="77")
    assert code == 1
    assert "the environment has another TONEARM_DISCORD_APPLICATION_ID" in said


async def interactions_url(system: System) -> str:
    """Where the HTTP side is, as Discord has it."""
    async with RestClient(system.environ["TONEARM_DISCORD_API_URL"], bot_token=system.environ[BOT_TOKEN]) as rest:
        url = str((await rest.fetch_application())["interactions_endpoint_url"])
    return url.removesuffix("/interactions")


async def test_what_the_invite_asks_for_is_enough(system: System) -> None:
    """The bot is heard, and its message appears, where it may do nothing but what its link asked for."""
    guild = await system.twin.create_guild(name="Strict", bot=False)
    ada = await system.twin.create_user("Ada")
    await ada.join_guild(guild)
    everything = await guild.create_role("People", EVERYONE)
    await guild.change_member(ada, roles=[everything.id])
    await guild.everyone.set_permissions(0)
    await guild.add_bot(int(PERMISSIONS))
    voice, text = guild.voice_channels[0], guild.text_channels[0]
    await ada.join(voice)
    ear = await ada.listen(voice)
    await (await ada.command(guild, text, "play", query="long 440")).answer(timeout=10)
    await ear.hears(frequency=440, within=10)
    await text.wait_message(lambda found: any(each.get("label") == "Pause" for each in found.buttons), 10)
    await guild.disconnect_bot()
    assert await system.twin.violations() == []
