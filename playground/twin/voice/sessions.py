"""Who may connect, and who is connected: the voice server's memory, without its sockets."""

import asyncio
import os
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from playground.twin.voice.conditions import Conditions
from playground.twin.voice.listener import Listener
from playground.twin.voice.protocol import RESUMABLE, Close, Identify, Json, Refused, Resume
from playground.twin.voice.rtp import Decrypt

BUFFERED: Final = 64
"""Numbered messages kept for a RESUME; a client that missed more must identify anew."""
_SEQUENCES: Final = 1 << 16

OnClosed = Callable[[int, int, int], None]
"""(guild id, user id, close code)"""
OnResumed = Callable[[int, int, int], None]
"""(guild id, user id, messages that are sent again)"""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the main gateway told a client: an identify with exactly this is valid."""

    guild_id: int
    channel_id: int
    user_id: int
    session_id: str
    token: str


class Session:
    """One voice connection: it outlives its socket as long as it may be resumed."""

    def __init__(self, expectation: Expectation, ssrc: int, listener: Listener, *, muted: bool) -> None:
        self.expectation = expectation
        self.ssrc = ssrc
        self.listener = listener
        self.key = os.urandom(32)
        self.decrypt: Decrypt | None = None
        self.socket: web.WebSocketResponse | None = None
        self.expiry: asyncio.TimerHandle | None = None
        self.muted = muted
        self.spoke = False
        """Whether any op 5 came: from then on audio counts."""
        self._sequence = 0
        self._sent: deque[Json] = deque(maxlen=BUFFERED)

    def numbered(self, message: Json) -> Json:
        """Give a message the next sequence number and remember it for a RESUME."""
        self._sequence = (self._sequence + 1) % _SEQUENCES
        message = {**message, "seq": self._sequence}
        self._sent.append(message)
        return message

    def missed(self, seq_ack: int) -> list[Json]:
        """Return what came after that sequence number (-1: everything). Raises `Refused` if it is forgotten."""
        if seq_ack == self._sequence:
            return []
        sent = list(self._sent)
        wanted = 1 if seq_ack == -1 else (seq_ack + 1) % _SEQUENCES
        for index, message in enumerate(sent):
            if message["seq"] == wanted:
                return sent[index:]
        raise Refused(Close.SESSION_NO_LONGER_VALID)


class Sessions:
    """All of them, and all that are expected."""

    def __init__(
        self,
        listen: Callable[[int], Listener],
        conditions: Conditions,
        resume_window: float,
        on_closed: OnClosed | None,
    ) -> None:
        self.conditions = conditions
        self._listen = listen
        self._resume_window = resume_window
        self._on_closed = on_closed
        self._expected: dict[tuple[int, int], Expectation] = {}
        self._muted: set[tuple[int, int]] = set()
        self._connected: dict[tuple[int, int], Session] = {}
        self._by_ssrc: dict[int, Session] = {}
        self._next_ssrc = random.randrange(1, 1 << 20)
        self.of_ssrc = self._by_ssrc.get

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._connected.values()))

    def expect(self, expectation: Expectation) -> None:
        """Take an identify with exactly these from now on."""
        self._expected[expectation.guild_id, expectation.user_id] = expectation

    def forget(self, guild_id: int, user_id: int) -> None:
        """Take no identify of that user in that guild any more."""
        self._expected.pop((guild_id, user_id), None)

    def mute(self, guild_id: int, user_id: int, muted: bool) -> None:
        """Say whether what this user sends is heard, now and after a reconnect."""
        who = guild_id, user_id
        if muted:
            self._muted.add(who)
        else:
            self._muted.discard(who)
        if who in self._connected:
            self._connected[who].muted = muted

    def of(self, guild_id: int, user_id: int) -> Session | None:
        """Return the session of that user in that guild."""
        return self._connected.get((guild_id, user_id))

    def others(self, session: Session) -> list[Session]:
        """Return who else is in the same channel."""
        mine = session.expectation
        return [
            other
            for other in self
            if other is not session
            and other.expectation.guild_id == mine.guild_id
            and other.expectation.channel_id == mine.channel_id
        ]

    def identify(self, said: Identify) -> tuple[Session, web.WebSocketResponse | None]:
        """Begin a session; return it, and the socket of the one that it replaces.

        Raises `Refused`: 4011 for a guild that nobody is expected in, 4006 for another user or session,
        4004 for another token, 4017 where DAVE is demanded.
        """
        guild_id, user_id = _snowflake(said.server_id), _snowflake(said.user_id)
        expected = self._expected.get((guild_id, user_id))
        if expected is None:
            known = any(guild == guild_id for guild, _ in self._expected)
            raise Refused(Close.SESSION_NO_LONGER_VALID if known else Close.SERVER_NOT_FOUND)
        if expected.session_id != said.session_id:
            raise Refused(Close.SESSION_NO_LONGER_VALID)
        if expected.token != said.token:
            raise Refused(Close.AUTHENTICATION_FAILED)
        if self.conditions.needs_dave(guild_id, expected.channel_id):
            raise Refused(Close.DAVE_REQUIRED)
        who = guild_id, user_id
        old = self._connected.get(who)
        old_socket = None
        if old is not None:
            old_socket = old.socket
            self.remove(old)
        self._next_ssrc += 1
        session = Session(expected, self._next_ssrc, self._listen(guild_id), muted=who in self._muted)
        self._connected[who] = self._by_ssrc[session.ssrc] = session
        return session, old_socket

    def resume(self, said: Resume) -> tuple[Session, list[Json]]:
        """Return the session to go on with, and the messages that its client missed.

        Raises `Refused`: 4006 for a session that is over or missed too much, 4004 for another token.
        """
        guild_id = _snowflake(said.server_id)
        for session in self:
            mine = session.expectation
            if mine.guild_id == guild_id and mine.session_id == said.session_id:
                if mine.token != said.token:
                    raise Refused(Close.AUTHENTICATION_FAILED)
                missed = session.missed(said.seq_ack)
                self._keep(session)
                return session, missed
        raise Refused(Close.SESSION_NO_LONGER_VALID)

    def lost(self, session: Session, code: int) -> None:
        """Note that its socket is gone: the session waits for a RESUME, and then ends with this code."""
        session.socket = None
        self._keep(session)
        loop = asyncio.get_running_loop()
        session.expiry = loop.call_later(self._resume_window, self.end, session, code)

    def end(self, session: Session, code: int) -> None:
        """End a session that its client left or failed, and tell `on_closed`."""
        if self.remove(session) and self._on_closed is not None:
            self._on_closed(session.expectation.guild_id, session.expectation.user_id, code)

    def remove(self, session: Session) -> bool:
        """End a session without a word; `False` if it was over already."""
        self._keep(session)
        session.socket = None
        self._by_ssrc.pop(session.ssrc, None)
        who = session.expectation.guild_id, session.expectation.user_id
        if self._connected.get(who) is not session:
            return False
        del self._connected[who]
        return True

    @staticmethod
    def resumable(code: int) -> bool:
        """Whether a close with this code, by either side, leaves a session to be resumed."""
        return code in RESUMABLE or code not in {1000, 1001, *Close}

    @staticmethod
    def _keep(session: Session) -> None:
        if session.expiry is not None:
            session.expiry.cancel()
            session.expiry = None


def _snowflake(text: str) -> int:
    """Read an id. Raises `Refused` (4020) if it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise Refused(Close.BAD_REQUEST)
    return int(text)
