"""Keeps the message with the buttons true, and says what concerns the whole channel."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from tonearm.backoff import Backoff
from tonearm.discord import cards
from tonearm.discord.components import Message
from tonearm.discord.rest import RestClient, nonce_for
from tonearm.errors import DiscordAway, DiscordError, LeaseLost
from tonearm.music.events import Announced, Event
from tonearm.music.player import PlayerMessage
from tonearm.redis.guilds import GuildView
from tonearm.telemetry import LOG, context

GONE = 404
MAX_NOTICES = 20


class Announcer:
    """One guild's messages. A channel in which the bot may not write is left alone."""

    def __init__(
        self,
        guild: int,
        *,
        rest: RestClient,
        check: Callable[[], None],
        now_ms: Callable[[], int],
        submit: Callable[[Event], None],
    ) -> None:
        self._guild = guild
        self._rest = rest
        self._check = check
        self._now_ms = now_ms
        self._submit = submit
        self._view: GuildView | None = None
        self._message: PlayerMessage | None = None
        self._shown: object = None
        self._forbidden: int | None = None
        self._gone: PlayerMessage | None = None
        self._notices: deque[tuple[str, str]] = deque()
        self._wake = asyncio.Event()

    def show(self, view: GuildView) -> None:
        """The guild is so from now on."""
        self._view = view
        if view.player.message not in (None, self._gone):
            self._message = view.player.message
        self._wake.set()

    def say(self, text: str, nonce: str) -> None:
        """Say ``text`` once in the channel where the player was last asked for something."""
        if len(self._notices) < MAX_NOTICES:
            self._notices.append((text, nonce))
            self._wake.set()

    async def run(self) -> None:
        """Follow until cancelled. It may be run again.

        Raises:
            LeaseLost: the lease has run out.
        """
        backoff = Backoff()
        while True:
            await self._wake.wait()
            self._wake.clear()
            view = self._view
            if view is None:
                continue
            try:
                await self._bring(view)
                backoff.reset()
            except DiscordAway as error:
                LOG.warning("The player's message is old: %s", error.detail, extra=context(guild=self._guild))
                await backoff.wait()
                self._wake.set()
            except DiscordError as error:
                LOG.info("May not write here: %s", error, extra=context(guild=self._guild))
                self._forbidden = view.player.text_channel
                self._notices.clear()
            except LeaseLost:
                self._wake.set()  # for who runs it again
                raise
            except Exception:
                LOG.exception("The player's message could not be shown", extra=context(guild=self._guild))

    async def _bring(self, view: GuildView) -> None:
        channel = view.player.text_channel
        if channel is None or channel == self._forbidden:
            return
        while self._notices:
            text, nonce = self._notices[0]
            self._check()
            await self._rest.create_message(channel, cards.sentence(text), nonce=nonce_for(nonce))
            self._notices.popleft()
        shown = _essence(view)
        if shown == self._shown:
            return
        await self._bring_message(view, channel)
        self._shown = shown

    async def _bring_message(self, view: GuildView, channel: int) -> None:
        following = view.first.track if view.first else None
        body = cards.player_message(view.player, view.queue_length, following=following, now_ms=self._now_ms())
        message = self._message
        playing = view.player.playing
        if message is not None and message.channel == channel and await self._edit(message, body):
            if playing is None:
                self._forget()
            return
        if playing is None:
            return
        self._check()
        posted = await self._rest.create_message(channel, body, nonce=nonce_for(f"player:{self._guild}:{playing.play}"))
        self._message = PlayerMessage(channel, posted)
        self._submit(Announced(self._message))

    async def _edit(self, message: PlayerMessage, body: Message) -> bool:
        """Edit it; ``False`` when somebody deleted it."""
        self._check()
        try:
            await self._rest.edit_message(message.channel, message.id, body)
        except DiscordError as error:
            if error.status != GONE:
                raise
            self._gone, self._message = message, None
            return False
        return True

    def _forget(self) -> None:
        """The message tells of an end; the next player gets a new one."""
        self._gone, self._message = self._message, None
        self._submit(Announced(None, self._gone))


def _essence(view: GuildView) -> object:
    """All of a guild that its message shows."""
    player = view.player
    playing = player.playing
    return (
        playing and playing.play,
        player.paused,
        player.volume,
        player.text_channel,
        view.queue_length,
        view.first and view.first.id,
    )
