"""Brings Lavalink and Discord's voice to what the state says. Everything it does may be repeated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tonearm.backoff import Backoff
from tonearm.errors import DiscordAway, LavalinkAway, LavalinkGone, LavalinkSilent, LeaseLost
from tonearm.music.events import Disconnected, Event, TrackOver
from tonearm.music.player import Player
from tonearm.telemetry import LOG, VOICE_REJOINS, context, traces
from voice_nodes.gateway import Gateway
from voice_nodes.lavalink import Sound
from voice_nodes.listener import Report
from voice_nodes.restarts import Restarts
from voice_nodes.voicelink import VoiceLink
from voice_nodes.wishes import Actual, Wanted

STILL_SECONDS = 9.0
"""So long Lavalink may report that a player stands still before its voice is joined again. There is a report each 5 s,
and several at once where something begins, which say the same."""

SETTLE_SECONDS = 2.0
"""How long after a voice close the gateway and Lavalink may take to say what came of it."""

SEEK_TOLERANCE_MS = 2_000
"""So far from where it should be a player may be and still count as one that did the last seek."""

REJOIN_CODES = frozenset({4006, 4009})
"""Voice close codes that end the voice session though nobody took the bot out of its channel."""


class Converger:
    """One guild's sound, following its player."""

    def __init__(
        self,
        guild: int,
        *,
        gateway: Gateway,
        sound: Sound,
        now_ms: Callable[[], int],
        submit: Callable[[Event], None],
    ) -> None:
        self._guild = guild
        self._gateway = gateway
        self._sound = sound
        self._now_ms = now_ms
        self._submit = submit
        self._player = Player()
        self._applied: Wanted | None = None
        self._losses = 0
        """How often :attr:`_applied` was forgotten: what is told across that may not have been kept."""
        self._fresh_play: str | None = None
        self._voice_lost = False
        self._server_lost = False
        self._restarts = Restarts()
        self._held = False
        self._still_since: float | None = None
        self._reported_ms = -1
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        """The gateway's session is another one since the step began: what failed may do now."""
        self._trace: str | None = None
        """The job whose state is to be brought about."""
        self._stepping = False
        self.steps = 0
        """How often something began to be brought to the state: an observation made across that is of the past."""

    def show(self, player: Player) -> None:
        """The player should be so from now on."""
        self._player = player
        self._trace = traces.traceparent() or self._trace
        self._wake.set()

    def hold(self) -> None:
        """Do nothing until it was observed what Lavalink does: it plays on, and what it plays is to go on."""
        self._held = True

    @property
    def held(self) -> bool:
        """Whether it waits for an observation."""
        return self._held

    def observe(self, actual: Actual | None, steps: int) -> None:
        """Lavalink does ``actual`` (``None``: it has no such player); ``steps`` is what :attr:`steps` was before."""
        if steps != self.steps or self._stepping:
            return
        self._held = self._server_lost = False
        self._wake.set()
        player, playing = self._player, self._player.playing
        if player.voice_channel is None:
            return
        if actual is None:
            self.session_lost()
            return
        if not actual.connected and (link := self._sound.link(self._guild)) is not None:
            link.linked.clear()
        if playing is not None and actual.play is None and self._is_over(player):
            # Its end came while nobody listened, and never comes again.
            self._submit(TrackOver(playing.play))
        self._applied = Wanted(
            actual.play, None, actual.position_ms, actual.paused, actual.volume, self._seeks_done(player, actual)
        )

    def _seeks_done(self, player: Player, actual: Actual) -> int:
        """How many of its play's seeks Lavalink has done: all, unless it is elsewhere than after the last one."""
        seeks = player.playing.seeks if player.playing is not None else 0
        away = abs(actual.position_ms - player.position_ms(self._now_ms()))
        return seeks if away <= SEEK_TOLERANCE_MS else 0

    def _is_over(self, player: Player) -> bool:
        length = player.playing.entry.track.length_ms if player.playing is not None else 0
        return bool(length) and player.position_ms(self._now_ms()) >= length

    def server_lost(self) -> None:
        """The Lavalink server that plays is gone: go on at another one."""
        self._held = False
        self._server_lost = True
        self._forget()

    def voice_lost(self) -> None:
        """Voice refuses, or does not answer: Lavalink's player is of no use any more."""
        self._rejoin("refused")

    def excuses(self, play: str) -> bool:
        """Whether an error of ``play`` is of no account, as it is started again."""
        return self._restarts.excuses(play)

    def start_again(self, play: str) -> bool:
        """``play`` is over for Lavalink. ``True`` where it never began, at the position at which it should have: then
        it is started again."""
        if not self._restarts.again(play):
            return False
        LOG.info("A track can't be started at a position: it is sought", extra=context(guild=self._guild))
        self._forget()
        return True

    def begins(self, play: str) -> None:
        """``play`` was started just now and by us, so it is to be heard from its beginning."""
        self._fresh_play = play

    def session_lost(self) -> None:
        """Lavalink has a new session: it knows neither the voice connection nor the track."""
        self._held = False
        self._voice_lost = True
        self._forget()

    def gateway_lost(self) -> None:
        """Discord has a new gateway session: the bot is in no channel."""
        link = self._sound.link(self._guild)
        if link is not None:
            link.forget()
        self._forget()
        self._news.set()

    def guild_available(self) -> None:
        """An outage of the guild is over. Where it cost the voice state, the bot joins again, if it does not already:
        discord.py also says so when a new session has told of the guild."""
        guild, link = self._gateway.get_guild(self._guild), self._sound.link(self._guild)
        if link is not None and link.linked.is_set() and guild is not None and guild.me.voice is None:
            self.gateway_lost()
        self._wake.set()

    def voice_closed(self, code: int) -> None:
        """Lavalink's voice connection was closed. What follows is decided by our voice state, not by the code alone.

        Who was taken out or moved learns it from the gateway within :data:`SETTLE_SECONDS`, and a connection that was
        only interrupted is resumed by Lavalink; where neither happened, the bot joins again.
        """
        link = self._sound.link(self._guild)
        if link is None:
            return
        link.linked.clear()
        if code in REJOIN_CODES:
            self._rejoin(f"closed with {code}")
        else:
            asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._rejoin_unlinked, link, code)

    def _rejoin_unlinked(self, link: VoiceLink, code: int) -> None:
        if self._sound.link(self._guild) is link and not link.linked.is_set():
            self._rejoin(f"closed with {code}")

    def reported(self, report: Report) -> None:
        """Lavalink tells of the player. Where it stands still, or voice does not answer, the bot joins again."""
        playing = self._player.playing
        applied = self._applied
        link = self._sound.link(self._guild)
        should = (
            playing is not None and not self._player.paused and applied is not None and applied.play == playing.play
        )
        if link is None or not should or self._held:
            self._still_since = None
            return
        stands = report.position_ms == self._reported_ms or not report.connected or report.ping_ms < 0
        self._reported_ms = report.position_ms
        now = time.monotonic()
        if not stands:
            self._still_since = None
        elif self._still_since is None:
            self._still_since = now
        elif now - self._still_since > STILL_SECONDS:
            self._still_since = None
            link.linked.clear()
            self._rejoin("stands still")

    def _rejoin(self, cause: str) -> None:
        VOICE_REJOINS.labels(cause).inc()
        LOG.warning("Voice is to be joined again: %s", cause, extra=context(guild=self._guild))
        self._forget()

    def _forget(self) -> None:
        """Lavalink does not do any more what it was told: tell it again."""
        self._losses += 1
        self._applied = None
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
            if self._held:
                continue
            self._news.clear()
            self.steps += 1
            self._stepping = True
            try:
                trace = self._trace
                with traces.span("sound", parent=trace):
                    await self._bring(self._player)
                if self._trace == trace:
                    self._trace = None
                backoff.reset()
            except (LavalinkAway, DiscordAway) as error:
                LOG.warning("The sound is not as it should be: %s", error.detail, extra=context(guild=self._guild))
                await backoff.wait(self._news)
                self._wake.set()
            except LeaseLost:
                self._wake.set()  # for who runs it again
                raise
            except Exception:
                # One guild that breaks does not stop the others.
                LOG.exception("The sound could not be brought to its state", extra=context(guild=self._guild))
                await backoff.wait(self._news)
                self._wake.set()
            finally:
                self._stepping = False

    async def _bring(self, player: Player) -> None:
        if player.voice_channel is None:
            await self._leave()
            return
        if self._server_lost:
            wanted, losses = self._wanted(player), self._losses
            self._note_start(wanted, sought=False)
            if await self._sound.move(self._guild, wanted):
                self._keep(wanted, losses)
            self._server_lost = False
        if await self._be_in(player.voice_channel):
            await self._play(player)

    async def _leave(self) -> None:
        guild = self._gateway.get_guild(self._guild)
        self._applied = None
        if guild is None or guild.me is None:
            await self._sound.drop(self._guild)  # The bot was removed, and so is in no channel.
        elif self._sound.link(self._guild) is not None or self._gateway.caller_channel(self._guild, guild.me.id):
            await self._sound.leave(guild)

    async def _be_in(self, channel: int) -> bool:
        """Be connected in ``channel``; ``False`` when that can't be, which is then told to the actor."""
        link = self._sound.link(self._guild)
        if link is not None and self._voice_lost:
            self._voice_lost = False
            await self._sound.reconnect_voice(self._guild)
        if link is not None and link.linked.is_set() and link.channel.id == channel:
            return True
        self._applied = None
        voice = self._gateway.voice_channel(self._guild, channel)
        if voice is None and self._gateway.is_unavailable(self._guild):
            raise DiscordAway("an outage of the guild")
        if voice is None:
            self._submit(Disconnected(channel, f"gone:{channel}:{self._now_ms()}"))
            return False
        # Without a server there is nothing to fail: wait for one.
        await self._sound.require_alive(self._guild)
        if link is not None and not link.linked.is_set():
            await self._sound.leave(voice.guild)
        socket = self._gateway.ws
        try:
            await self._sound.join(voice)
        except (LavalinkGone, DiscordAway):
            raise  # Nothing has failed but the server, or the gateway: try again.
        except LavalinkAway as error:
            if self._news.is_set() or self._gateway.ws is not socket:
                raise DiscordAway("another session or connection of the gateway during the join") from error
            LOG.warning("Not joined: %s", error.detail, extra=context(guild=self._guild, channel=channel))
            self._submit(Disconnected(channel, f"{JOIN_FAILED}:{channel}:{self._now_ms()}"))
            return False
        return True

    def _wanted(self, player: Player) -> Wanted:
        playing = player.playing
        if playing is None:
            return Wanted(None, None, 0, player.paused, player.volume)
        fresh = playing.play == self._fresh_play
        position = playing.position_ms if fresh else player.position_ms(self._now_ms())
        return Wanted(playing.play, playing.entry.track.encoded, position, player.paused, player.volume, playing.seeks)

    async def _play(self, player: Player) -> None:
        wanted, losses = self._wanted(player), self._losses
        applied = self._applied
        if applied is None:
            changed, new_track, seek = wanted.play is not None, True, False
        else:
            new_track = applied.play != wanted.play
            seek = not new_track and applied.seeks != wanted.seeks
            changed = new_track or seek or (applied.paused, applied.volume) != (wanted.paused, wanted.volume)
        if changed:
            sought = new_track and self._restarts.seeks(wanted.play)
            if new_track or seek:  # Before it is told: that it failed may be heard before the answer.
                self._note_start(wanted, sought=sought)
            try:
                if sought:
                    await self._sound.start_and_seek(self._guild, wanted)
                else:
                    await self._sound.update(self._guild, wanted, new_track=new_track, seek=seek)
            except LavalinkSilent:
                self._begun(wanted)  # Nobody knows; it goes on as any other, and nothing is heard twice.
                raise
        self._keep(wanted, losses)
        self._begun(wanted)

    def _begun(self, wanted: Wanted) -> None:
        """The beginning was heard: from now on it is where the clock says. What began meanwhile is still to be."""
        if self._fresh_play == wanted.play:
            self._fresh_play = None

    def _keep(self, wanted: Wanted, losses: int) -> None:
        """Lavalink was told ``wanted``; ``losses`` is what was counted before."""
        if losses == self._losses:
            self._applied = wanted

    def _note_start(self, wanted: Wanted, *, sought: bool) -> None:
        playing = self._player.playing
        length = playing.entry.track.length_ms if playing is not None else 0
        self._restarts.started(wanted.play, 0 if sought else wanted.position_ms, length)


JOIN_FAILED = "join"
