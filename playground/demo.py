"""``tonearm demo``: a whole Tonearm on this machine; an actor plays music, and a listener says what it hears."""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from playground.library import Piece, make_library, tone
from playground.system import STARTED, System
from playground.twin.client import TwinError
from playground.twin.handles import Actor, Channel, Guild
from playground.twin.seen import Reply, SeenMessage, Unanswered
from playground.twin.voice.client import ListenerClient
from playground.twin.voice.listener import NotHeard
from tonearm.child_logs import LogFolder
from tonearm.errors import TonearmError
from tonearm.supervisor import Event

HEARD = Path("heard.wav")
WITHIN = 10.0
"""Seconds for anything to be heard."""

HALF = 6.02
"""dB."""

ENJOYED = 150
"""Packets of 20 ms."""

TROUBLE = (TonearmError, TwinError, Unanswered, NotHeard, LookupError, TimeoutError)
"""What a step of the script, or a command that was typed, can end with."""


def main(argv: list[str]) -> int:
    """Play the script; 0 when everything was heard as it should be. Without ``--once``, stay up until Ctrl-C.

    Raises:
        StartFailed: a process did not come up.
    """
    parser = argparse.ArgumentParser(prog="tonearm demo", description="A whole Tonearm on this machine, with music.")
    parser.add_argument("--once", action="store_true", help="end after the script, with 0 if all was heard")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and music in DIR")
    options = parser.parse_args(argv)
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    return asyncio.run(Demo(once=options.once, keep=options.keep and options.keep.absolute()).run())


CONCERT_A = Piece("440 Hz", "Tonearm", Path("concert-a.webm"), 440.0, 30.0)


class Scene(msgspec.Struct):
    """Where the script plays, and who is in it."""

    guild: Guild
    text: Channel
    voice: Channel
    ada: Actor
    ear: ListenerClient


class Heard(msgspec.Struct, frozen=True):
    """One line of the summary."""

    what: str
    expected: str
    heard: str
    ok: bool


class Demo:
    """The demo, from the first process to the last word."""

    def __init__(self, *, once: bool, keep: Path | None) -> None:
        self._once = once
        self._keep = keep
        self._console = Console(highlight=False)
        self._heard: list[Heard] = []
        self._first_packets: list[float] = []

    async def run(self) -> int:
        """Everything; the exit code."""
        say = self._console.print
        say("[bold]Tonearm[/bold]: a music bot for Discord, with the whole world it needs, on this machine.\n")
        async with self._folder() as folder:
            pieces = make_library(folder / "music")
            # Music is never equally loud for long; the volume is measured on a tone that is.
            tone(folder / "music" / CONCERT_A.path, CONCERT_A.frequency, CONCERT_A.seconds)
            say(f"  composed {len(pieces)} pieces: " + ", ".join(f"“{piece.title}”" for piece in pieces))
            begun = time.monotonic()
            async with self._system(folder) as system:
                say(f"  [green]up[/green] after {time.monotonic() - begun:.1f} s\n")
                scene = await self._scene(system)
                try:
                    await self._play(scene, pieces)
                except TROUBLE as trouble:
                    self._note("the script", "played to its end", str(trouble), ok=False)
                await scene.ear.save_wav(HEARD)
                good = await self._sum_up(scene)
                if not self._once:
                    await self._stay(system, scene, pieces)
        return 0 if good else 1

    @asynccontextmanager
    async def _folder(self) -> AsyncIterator[Path]:
        if self._keep is not None:
            yield self._keep
            return
        with tempfile.TemporaryDirectory(prefix="tonearm-") as folder:
            yield Path(folder)

    @asynccontextmanager
    async def _system(self, folder: Path) -> AsyncIterator[System]:
        status = self._console.status("")

        def step(name: str) -> None:
            status.update(f"starting {name} ({STARTED.index(name) + 1} of {len(STARTED)}) …")

        with LogFolder(folder / "logs") as log:
            system = System(folder, library=folder / "music", on_step=step, log=log)
            system.supervisor.stop_on(signal.SIGINT, signal.SIGTERM)
            status.start()
            async with system:
                status.stop()
                yield system

    async def _scene(self, system: System) -> Scene:
        guild = await system.twin.create_guild(name="The Listening Room")
        ada = await system.twin.create_user("Ada")
        await ada.join_guild(guild)
        voice = guild.voice_channels[0]
        await ada.join(voice)
        ear = await ada.listen(voice)
        await ear.record()
        return Scene(guild, guild.text_channels[0], voice, ada, ear)

    # The script.

    async def _play(self, scene: Scene, pieces: list[Piece]) -> None:
        first, second = pieces[0], pieces[1]
        self._console.print(f"[bold]Ada[/bold] joins [bold]{scene.voice.name}[/bold].\n")
        await self._command(scene, "play", query=first.title)
        await self._listen_for(scene, first)
        await self._enjoy(scene)
        await self._command(scene, "play", query=second.title)
        await self._command(scene, "queue")
        await self._command(scene, "pause")
        await self._expect_silence(scene)
        await self._command(scene, "resume")
        await self._command(scene, "play", query=CONCERT_A.title, where="now")
        await self._listen_for(scene, CONCERT_A)
        before = await self._level(scene)
        await self._command(scene, "volume", percent=50)
        await self._expect_half(scene, before)
        await self._command(scene, "volume", percent=100)
        await self._click_skip(scene, second)
        await self._enjoy(scene)
        await self._command(scene, "nowplaying")
        await self._command(scene, "stop")
        await self._expect_silence(scene)

    async def _command(self, scene: Scene, name: str, **options: str | int) -> Reply:
        words = " ".join([f"/{name}", *(f"{key}:{value}" for key, value in options.items())])
        reply = await scene.ada.command(scene.guild, scene.text, name, **options)
        message = await reply.answer(timeout=WITHIN)
        self._show(f"Ada: {words}", message, f"answered after {reply.elapsed_ms:.0f} ms")
        if name == "play" and not self._first_packets:
            written = reply.written_at_ns or 0
            packet = await scene.ear.wait_first_packet(after_ns=written, timeout=WITHIN)
            self._first_packets.append((packet - written) / 1e6)
            self._console.print(f"   first sound {self._first_packets[-1]:.0f} ms after the POST\n", style="cyan")
        return reply

    def _show(self, title: str, message: SeenMessage, note: str) -> None:
        body = as_seen(message.text)
        for label in _labels(message):
            body.append(f"  [{label}]", style="bold cyan")
        private = " (only Ada sees it)" if message.ephemeral else ""
        self._console.print(
            Panel(body, title=f"{title}", title_align="left", subtitle=f"{note}{private}", width=92), markup=False
        )

    async def _listen_for(self, scene: Scene, piece: Piece) -> None:
        try:
            sound = await scene.ear.hears(piece.frequency, within=WITHIN)
            self._note(
                f"“{piece.title}”", f"{piece.frequency:.0f} Hz", f"{sound.frequency:.0f} Hz, {sound.level:.0f} dBFS"
            )
        except NotHeard as missing:
            self._note(f"“{piece.title}”", f"{piece.frequency:.0f} Hz", str(missing), ok=False)

    async def _enjoy(self, scene: Scene) -> None:
        """Let it play for a while: 50 packets are a second."""
        await scene.ear.wait_packets((await scene.ear.report()).packets + ENJOYED, timeout=WITHIN)

    async def _expect_silence(self, scene: Scene) -> None:
        try:
            await scene.ear.hears_silence(for_ms=400, within=WITHIN)
            self._note("then", "silence", "silence")
        except NotHeard as missing:
            self._note("then", "silence", str(missing), ok=False)

    async def _level(self, scene: Scene) -> float:
        """How loud it is, once the beginning of the tone has passed."""
        await scene.ear.wait_packets((await scene.ear.report()).packets + 25, timeout=WITHIN)
        return await scene.ear.level()

    async def _expect_half(self, scene: Scene, before: float) -> None:
        """Half the volume is a quarter of the power: 6 dB less."""
        level = before
        end = time.monotonic() + WITHIN
        while time.monotonic() < end:
            packets = (await scene.ear.report()).packets
            await scene.ear.wait_packets(packets + 10, timeout=WITHIN)
            level = await scene.ear.level()
            if abs(before - level - HALF) < 1.0:
                break
        self._note(
            "half the volume", f"{before - 6:.0f} dBFS", f"{level:.0f} dBFS", ok=abs(before - level - HALF) < 1.0
        )

    async def _click_skip(self, scene: Scene, following: Piece) -> None:
        message = await scene.text.wait_message(lambda found: "Skip" in _labels(found), WITHIN)
        reply = await scene.ada.click(message, "Skip")
        self._show("Ada clicks Skip", await reply.answer(timeout=WITHIN), f"answered after {reply.elapsed_ms:.0f} ms")
        await self._listen_for(scene, following)

    def _note(self, what: str, expected: str, heard: str, *, ok: bool = True) -> None:
        self._heard.append(Heard(what, expected, heard, ok))
        mark = "[green]heard[/green]" if ok else "[red]not heard[/red]"
        self._console.print(f"   {mark}: {what}: {heard}\n")

    async def _sum_up(self, scene: Scene) -> bool:
        report = await scene.ear.report()
        table = Table(title="What the listener heard", title_justify="left")
        for column in ("", "should be", "was"):
            table.add_column(column)
        for heard in self._heard:
            table.add_row(heard.what, heard.expected, f"[{'green' if heard.ok else 'red'}]{heard.heard}[/]")
        self._console.print(table)
        good = all(heard.ok for heard in self._heard) and report.lost == 0 and bool(self._first_packets)
        self._console.print(
            f"first sound {self._first_packets[0]:.0f} ms after the POST of /play (the join of the channel is in it); "
            if self._first_packets
            else "no first sound; ",
            f"{report.packets} packets, {report.lost} lost, longest pause between two {report.largest_gap_ms:.0f} ms",
            sep="",
        )
        self._console.print(f"all that was heard is in {HEARD}")
        self._console.print(
            "[green]All was heard.[/green]"
            if good
            else "[red]Not all was heard as it should be.[/red] With `--keep DIR` the logs are kept."
        )
        return good

    # Staying up.

    async def _stay(self, system: System, scene: Scene, pieces: list[Piece]) -> None:
        titles = ", ".join(piece.title for piece in pieces)
        self._console.print(
            f"\nStill up. Type commands as Ada would: /play copper, /queue, /skip, /volume 30 … Titles: {titles}.\n"
            f"Its Discord is {system.environ['TONEARM_DISCORD_API_URL']}; logs are in {system.folder / 'logs'}. "
            "Ctrl-C ends everything.",
            markup=False,
        )
        over = asyncio.ensure_future(system.supervisor.wait())
        try:
            async for line in _lines(over):
                await self._typed(scene, line)
            if not over.done():
                await over
        finally:
            over.cancel()

    async def _typed(self, scene: Scene, line: str) -> None:
        name, _, rest = line.strip().removeprefix("/").partition(" ")
        if not name:
            return
        option = {"play": "query", "volume": "percent", "queue": "page"}.get(name)
        value: str | int = int(rest) if rest.strip().isdecimal() and name != "play" else rest.strip()
        try:
            await self._command(scene, name, **({option: value} if option and rest.strip() else {}))
            sound = await scene.ear.sound()
            self._console.print(
                f"   the listener hears {sound.frequency:.0f} Hz at {sound.level:.0f} dBFS", style="cyan"
            )
        except (*TROUBLE, ValueError) as error:
            self._console.print(f"   {error}", style="red", markup=False)


def as_seen(markdown: str) -> Text:
    """Discord's Markdown, about as a person sees it (Discord's documentation, Reference, *Message Formatting*)."""
    seen = Text()
    for number, line in enumerate(markdown.splitlines()):
        plain = line.removeprefix("-# ").removeprefix("### ")
        plain = re.sub(r"<t:(\d+):R>", lambda found: f"in {max(0, int(found[1]) - int(time.time()))} s", plain)
        plain = re.sub(r"<@(\d+)>", "@Ada", plain)
        plain = re.sub(r"<#(\d+)>", "#Voice 1", plain)
        styled = Text("\n" if number else "")
        for part, text in enumerate(re.sub(r"\\(\W)", r"\1", plain).split("**")):
            styled.append(text, style="bold" if part % 2 or line.startswith("### ") else "")
        if line.startswith("-# "):
            styled.stylize("dim")
        seen.append_text(styled)
    return seen


def _labels(message: SeenMessage) -> list[str]:
    return [str(button.get("label") or button.get("emoji", {}).get("name")) for button in message.buttons]


async def _lines(over: asyncio.Future[Event | None]) -> AsyncIterator[str]:
    """Lines that are typed, until ``over`` or the end of standard input."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    try:
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    except (ValueError, OSError):
        return  # Standard input is closed, or a file: nothing is typed there.
    try:
        while True:
            typed = asyncio.ensure_future(reader.readline())
            waits: list[asyncio.Future[Any]] = [typed, over]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not typed.done():
                typed.cancel()
                return
            line = typed.result().decode(errors="replace")
            if not line:
                return
            yield line
    finally:
        transport.close()
