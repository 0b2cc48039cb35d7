"""The catalogue: every sentence a person in Discord can read, in one place.

A sentence says what happened and, where there is something to do, what to do. Placeholders are filled by
:meth:`Sentence.format`; a test proves that each sentence is used and that its placeholders are known.
"""

from __future__ import annotations

from enum import StrEnum

from tonearm.wording import shown

FROM_THE_WORLD = frozenset({"query", "reason"})
"""Placeholders for words that were not written here."""

MOST_SHOWN = 100
"""Characters of such words that are shown."""


class Sentence(StrEnum):
    """One sentence for a person. The value is a :meth:`str.format` template in Discord's Markdown."""

    # What the caller can change.
    NOT_IN_VOICE = "You are not in a voice channel. Join one and try again."
    OTHER_CHANNEL = "I am playing in <#{channel}>. Join me there and try again."
    NOTHING_PLAYING = "Nothing is playing. Start something with `/play`."
    NOT_CONNECTED = "I am not in a voice channel. Start something with `/play`."
    TRACK_ENDED = "That track had already ended."
    NOTHING_FOUND = "I found nothing for “{query}”. Try other words, or a link."
    TRACK_BROKEN = "“{query}” can't be played: {reason}. Try another link or file."
    QUEUE_FULL = "The queue is full: {limit} tracks are waiting. Skip some, or `/stop` to clear it."
    LIVE_CANT_SEEK = "This is live: there is nothing to go back or forward to."
    SEEK_RANGE = "This track is {length} long. Choose a moment before its end, as in 1:30."
    SEEK_FORM = "That is no moment of a track. Write it as 90, 1:30 or 1:02:03."
    VOLUME_RANGE = "The volume goes from 0 to {limit}."
    QUERY_EMPTY = "Tell me what to play: a link, or words to search for."
    QUERY_TOO_LONG = "That is too long to search for. Use at most {limit} characters."

    # What a plan can change.
    PLAN_LIMIT = (
        "{what} goes up to {limit} with the plan **{plan}**, and up to {more} with **{needed}**. "
        "`/premium` shows the plans."
    )
    PLAN_LACKS = "The plan **{plan}** does not include {what}. **{needed}** does: `/premium` shows the plans."
    PLAN_MOST = "{what} goes up to {limit}."
    PLAN_UNKNOWN = (
        "I can't look up this server's plan at the moment, so only what is free works. Try again in a minute."
    )
    SUBSCRIPTION_CANT = "That can't be done: this server's plan is **{plan}**, and its state is “{state}”."
    TRIAL_USED_BY_GUILD = "This server has had its trial. `/premium` shows the plans."
    BOUGHT_ALREADY = "This server has a plan that somebody pays for. `/premium` shows how it is managed."
    NOTHING_BOUGHT = "You pay for no plan of this server by card. `/premium` shows the plans."
    NOT_SOLD = "That plan is not sold here any more. `/premium` shows the plans."
    TRIAL_USED_BY_PAYER = "You have had your trial, on this server or another. `/premium` shows the plans."

    # What someone else can change.
    NO_CONNECT = "I may not join <#{channel}>. Ask an admin to give me the permission **Connect** there."
    NO_SPEAK = "I may not speak in <#{channel}>. Ask an admin to give me the permission **Speak** there."
    CHANNEL_FULL = "<#{channel}> is full. Make room for me, or choose another channel."
    NOT_ALLOWED = "You may not change that. Ask somebody with the permission **Manage Server**."
    NOT_A_MEMBER = "I am not a member of this server. Ask an admin to invite me: {link}"
    GUILD_ONLY = "Music plays in servers. Use this command in a server."
    UNKNOWN_COMMAND = "I don't know this command any more. Reload Discord (Ctrl+R) and choose it again."
    OLD_BUTTON = "This button belongs to an older player. Use the newest one, or a command."
    BAD_OPTION = "The value of `{option}` doesn't fit: {reason}. Choose another."

    # What time changes.
    TOO_MANY_FROM_USER = "You are quicker than I am. Wait {seconds} s and try again."
    TOO_MANY_FROM_GUILD = "This server sends more than I can do. Wait {seconds} s and try again."
    TOO_MANY_WAITING = "{limit} commands of this server are waiting. Wait a few seconds and try again."
    TOO_BUSY = "I have too much to do at the moment. Wait half a minute and try again."
    TOO_LATE = "This reached me {seconds} s late, so nothing was done. Please try again."
    NOT_DONE_IN_TIME = "Not done: the player was away for {seconds} s. Please try again."

    LEFT_ALONE = "Nobody was left in <#{channel}>, so I left. The queue is kept: `/play` brings me back."
    LEFT_IDLE = "Nothing was playing, so I left <#{channel}>. The queue is kept: `/play` brings me back."

    # What the operator must change.
    MEMORY_AWAY = "My memory doesn't answer at the moment, so nothing was done. Try again in a minute."
    NO_WORKER = "Nobody is there to look that up at the moment, so nothing was done. Try again in a minute."
    DATABASE_AWAY = "I can't look into my books at the moment, so nothing was done. Try again in a minute."
    NO_PLAYER = "No player is running at the moment, so nothing was done. Try again in a minute."
    SOUND_AWAY = "My sound system doesn't answer at the moment, so nothing was done. Try again in a minute."
    JOIN_FAILED = "I could not connect to <#{channel}>. The queue is kept: try `/play` again, or another channel."
    DISCORD_AWAY = "Discord doesn't answer me at the moment, so nothing was done. Try again in a minute."
    SHOP_AWAY = "The shop doesn't answer at the moment, so nothing was bought. Try again in a minute."
    INTERNAL = "Something broke on my side, and it was written down. Try again; if it stays, tell the operator: {id}"

    def format(self, *args: object, **values: object) -> str:
        """The sentence, ready to be shown; what comes from the world can neither format it nor mention anybody."""
        safe = {
            name: shown(str(value), MOST_SHOWN) if name in FROM_THE_WORLD else value for name, value in values.items()
        }
        return self.value.format(*args, **safe)
