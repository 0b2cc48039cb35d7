"""How answers look. Pure: a state in, the body of a Discord message out.

Every body keeps Discord's limits (40 components, 4,000 characters of text, custom ids unique and at most 100
characters: Discord's documentation, *Component Reference*), whatever the names of tracks hold, and pings nobody.
All times are in ms of Redis' clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from tonearm.discord.components import (
    DANGER,
    PRIMARY,
    Component,
    Message,
    button,
    container,
    line,
    message,
    row,
    text,
    with_picture,
)
from tonearm.discord.text import count, from_now, linked, web_address
from tonearm.music.change import (
    Left,
    Outcome,
    Paused,
    Queued,
    Resumed,
    Skipped,
    Sought,
    Started,
    Stopped,
    VolumeSet,
)
from tonearm.music.player import Player, Playing
from tonearm.music.track import Entry, Track
from tonearm.wording import clock, shown

PAGE_SIZE = 10
"""Tracks on a page of the queue."""

PLAYING_COLOUR = 0xF2A33A
PAUSED_COLOUR = 0x8C93A1
QUEUED_COLOUR = 0x4F8FE6
QUIET_COLOUR = 0x4E5058

_TITLE, _AUTHOR, _IN_LIST = 120, 60, 60
_LINK_IN_LIST = 150
_MAX_ARTWORK = 2_048
_MAX_SENTENCE = 2_000
_BAR = 16


def sentence(content: str) -> Message:
    """A refusal or a notice: one sentence of the catalogue, filled."""
    kept = content if len(content) <= _MAX_SENTENCE else content[: _MAX_SENTENCE - 1] + "…"
    return message(container(QUIET_COLOUR, text(kept or "…")))


def outcome(outcome: Outcome, player: Player, *, queue_length: int, now_ms: int) -> Message:
    """What a command did, told to the one who gave it.

    ``player`` and ``queue_length`` are the state after it.
    """
    match outcome:
        case Started():
            return _started(outcome)
        case Queued():
            return _queued(outcome, player, now_ms)
        case Paused(track, position):
            return message(container(PAUSED_COLOUR, text(f"⏸️ Paused {_bold(track)} {_at(track, position)}")))
        case Resumed(track, position):
            return message(container(PLAYING_COLOUR, text(f"▶️ Going on with {_bold(track)} {_at(track, position)}")))
        case Skipped(track, following):
            after = f"Now playing {_bold(following)}" if following else "The queue is at its end."
            colour = PLAYING_COLOUR if following else QUIET_COLOUR
            return message(container(colour, text(f"⏭️ Skipped {_bold(track)}\n{after}")))
        case Stopped(removed):
            after = f" {count(removed, 'waiting track')} removed." if removed else ""
            return message(container(QUIET_COLOUR, text(f"⏹️ Stopped.{after}")))
        case Left(channel):
            kept = f" The queue is kept: {count(queue_length, 'track')}." if queue_length else ""
            return message(container(QUIET_COLOUR, text(f"👋 Left <#{channel}>.{kept}")))
        case Sought(track, position):
            colour = PAUSED_COLOUR if player.paused else PLAYING_COLOUR
            return message(container(colour, text(f"⏩ {_bold(track)} is {_at(track, position)}")))
        case VolumeSet(volume):
            full = round(max(0, min(100, volume)) / 10)
            bar = "▰" * full + "▱" * (10 - full)
            return message(container(QUEUED_COLOUR, text(f"{'🔇' if volume == 0 else '🔊'} {bar} **{volume}%**")))


def player_message(player: Player, queue_length: int, *, following: Track | None, now_ms: int) -> Message:
    """The message with the buttons: what plays and what comes next. It needs no edit while a track plays.

    ``following`` is the first track of the queue. When nothing plays it says so and has no buttons.
    """
    playing = player.playing
    if playing is None:
        return _nothing(queue_length)
    parts = [_track_with_picture(playing, _moment(player, playing, now_ms)), *_coming(following, queue_length, player)]
    return message(container(_colour(player), *parts, _buttons(player, playing)))


def now_playing(player: Player, queue_length: int, *, now_ms: int) -> Message:
    """What plays at this moment, with how far it is, and the buttons."""
    playing = player.playing
    if playing is None:
        return _nothing(queue_length)
    parts = [_track_with_picture(playing, _progress(player, playing, now_ms)), *_coming(None, queue_length, player)]
    return message(container(_colour(player), *parts, _buttons(player, playing)))


def queue_page(player: Player, length: int, entries: Sequence[Entry], *, first: int, now_ms: int) -> Message:
    """One page of the queue: ``entries`` are those from place ``first`` (0 = the next one) on, of ``length`` in all.

    The page buttons bring back ``v1:page:<n>``, where ``n`` counts from 1; see :func:`first_of_page`.
    """
    entries = entries[:PAGE_SIZE]
    playing = player.playing
    parts: list[Component] = []
    if playing is not None:
        track = playing.entry.track
        state = "Paused" if player.paused else "Now playing"
        head = f"-# {state}\n**{_title_in_list(track)}**\n{_progress(player, playing, now_ms)}"
        parts += [text(head), line()]
    if entries:
        parts.append(text("\n".join(_place(first + index + 1, entry) for index, entry in enumerate(entries))))
    elif length:
        parts.append(text("There is nothing on this page any more."))
    else:
        parts.append(text("Nothing is waiting. Add something with `/play`."))
    pages = max(1, -(-length // PAGE_SIZE))
    page = first // PAGE_SIZE + 1
    if length:
        parts.append(text(_summary(length, entries, page, pages)))
    if pages > 1 or page > 1:
        parts.append(row(_page_buttons(page, pages)))
    return message(container(_colour(player), *parts))


def first_of_page(page: int) -> int:
    """The place (0 = the next one) of the first track on page ``page``, which counts from 1."""
    return (max(1, page) - 1) * PAGE_SIZE


def _started(outcome: Started) -> Message:
    track = outcome.track
    content = f"-# Now playing\n### {linked(track.title, track.uri, _TITLE)}\n{_by_and_length(track)}"
    if outcome.more:
        source = f" from **{shown(outcome.playlist, _AUTHOR)}**" if outcome.playlist else ""
        content += f"\n-# and {count(outcome.more, 'more track')}{source} in the queue"
    content += _left_out(outcome)
    return message(container(PLAYING_COLOUR, with_picture(content, _artwork(track))))


def _queued(outcome: Queued, player: Player, now_ms: int) -> Message:
    first, last = outcome.position, outcome.position + len(outcome.tracks) - 1
    if len(outcome.tracks) == 1:
        track = outcome.tracks[0]
        place = "next" if first == 1 else f"number {first:,} in the queue"
        content = f"-# Queued as {place}{_starts(first, player, now_ms)}\n### {linked(track.title, track.uri, _TITLE)}"
        content += f"\n{_by_and_length(track)}"
        picture = _artwork(track)
    else:
        source = f" from **{shown(outcome.playlist, _TITLE)}**" if outcome.playlist else ""
        content = f"### Queued {count(len(outcome.tracks), 'track')}{source}\n"
        content += f"Places {first:,} to {last:,} · {_total(outcome.tracks)}"
        picture = next((art for art in map(_artwork, outcome.tracks[:5]) if art), None)
    return message(container(QUEUED_COLOUR, with_picture(content + _left_out(outcome), picture)))


def _left_out(outcome: Started | Queued) -> str:
    if not outcome.left_out:
        return ""
    return f"\n-# {count(outcome.left_out, 'track')} did not fit: {outcome.limit:,} can wait."


def _starts(place: int, player: Player, now_ms: int) -> str:
    end = _end_ms(player, now_ms)
    moment = from_now(end) if place == 1 and end is not None else None
    return f" · starts {moment}" if moment else ""


def _nothing(queue_length: int) -> Message:
    waiting = ""
    if queue_length:
        verb = "is" if queue_length == 1 else "are"
        waiting = f"\n-# {count(queue_length, 'track')} {verb} still waiting."
    return message(container(QUIET_COLOUR, text(f"Nothing is playing. Start something with `/play`.{waiting}")))


def _track_with_picture(playing: Playing, moment: str) -> Component:
    track = playing.entry.track
    content = f"### {linked(track.title, track.uri, _TITLE)}\n{_by_and_length(track)}\n{moment}"
    content += f"\n-# Requested by <@{playing.entry.user}>"
    return with_picture(content, _artwork(track))


def _coming(following: Track | None, queue_length: int, player: Player) -> list[Component]:
    said = []
    if following is not None:
        said.append(f"Next: {shown(following.title, _IN_LIST)} · {_length(following)}")
    if queue_length:
        said.append(f"{queue_length:,} waiting")
    if player.volume != 100:
        said.append(f"Volume {player.volume}%")
    return [line(), text("-# " + "  ·  ".join(said))] if said else []


def _buttons(player: Player, playing: Playing) -> Component:
    play = playing.play
    hold = (
        button("resume", play, "Resume", style=PRIMARY, emoji="▶️")
        if player.paused
        else button("pause", play, "Pause", emoji="⏸️")
    )
    return row([hold, button("skip", play, "Skip", emoji="⏭️"), button("stop", play, "Stop", style=DANGER, emoji="⏹️")])


def _page_buttons(page: int, pages: int) -> list[Component]:
    back = button("page", max(0, min(page - 1, pages)), "Back", emoji="◀️")
    on = button("page", page + 1, "Next", emoji="▶️")
    if page <= 1:
        back["disabled"] = True
    if page >= pages:
        on["disabled"] = True
    return [back, on]


def _colour(player: Player) -> int:
    if player.playing is None:
        return QUIET_COLOUR
    return PAUSED_COLOUR if player.paused else PLAYING_COLOUR


def _length(track: Track) -> str:
    return "live" if track.is_live else clock(track.length_ms)


def _by_and_length(track: Track) -> str:
    author = shown(track.author, _AUTHOR, otherwise="")
    length = "🔴 live" if track.is_live else clock(track.length_ms)
    return f"{author} · {length}" if author else length


def _at(track: Track, position_ms: int) -> str:
    if track.is_live:
        return ""
    return f"at {clock(position_ms)} of {clock(track.length_ms)}"


def _end_ms(player: Player, now_ms: int) -> int | None:
    """When the current track will be over, if that is known."""
    playing = player.playing
    if playing is None or player.paused or playing.entry.track.is_live:
        return None
    return now_ms + max(0, playing.entry.track.length_ms - player.position_ms(now_ms))


def _moment(player: Player, playing: Playing, now_ms: int) -> str:
    """How far the track is, in words that stay true while it plays."""
    track = playing.entry.track
    position = player.position_ms(now_ms)
    if player.paused:
        return f"⏸️ Paused {_at(track, position)}".rstrip()
    end = _end_ms(player, now_ms)
    moment = from_now(now_ms - position if end is None else end)
    if moment is None:
        return "▶️ Playing"
    return f"▶️ Live, tuned in {moment}" if end is None else f"▶️ Ends {moment}"


def _progress(player: Player, playing: Playing, now_ms: int) -> str:
    """How far the track is at this moment, as a bar."""
    track = playing.entry.track
    position = player.position_ms(now_ms)
    sign = "⏸️" if player.paused else "▶️"
    if track.is_live:
        return f"{sign} 🔴 live for {clock(position)}"
    done = max(0, min(_BAR, position * _BAR // track.length_ms))
    return f"{sign} {clock(position)} {'━' * done}●{'─' * (_BAR - done)} {clock(track.length_ms)}"


def _artwork(track: Track) -> str | None:
    return web_address(track.artwork, most=_MAX_ARTWORK)


def _bold(track: Track) -> str:
    return f"**{linked(track.title, track.uri, _TITLE)}**"


def _title_in_list(track: Track) -> str:
    return linked(track.title, track.uri, _IN_LIST, most_link=_LINK_IN_LIST)


def _place(place: int, entry: Entry) -> str:
    return f"`{place:>2}` {_title_in_list(entry.track)} · {_length(entry.track)} · <@{entry.user}>"


def _total(tracks: Sequence[Track]) -> str:
    total = clock(sum(track.length_ms for track in tracks if not track.is_live))
    return f"{total} and live" if any(track.is_live for track in tracks) else f"{total} in all"


def _summary(length: int, entries: Sequence[Entry], page: int, pages: int) -> str:
    said = [f"{count(length, 'track')} waiting"]
    if entries:
        total = _total([entry.track for entry in entries])
        said.append(total if len(entries) == length else f"this page: {total.removesuffix(' in all')}")
    if pages > 1:
        said.append(f"page {page:,} of {pages:,}")
    return "-# " + "  ·  ".join(said)
