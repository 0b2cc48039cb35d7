"""Clients' sessions: their players, and what happens to both while a client is away.

As Lavalink has it (https://lavalink.dev/api/index.html, Resuming): a session whose socket closes lives on for its
timeout if resuming was switched on. Meanwhile audio goes on, events are kept and playerUpdates are not, and REST
does not know it. Presenting its id in time brings it back; the id of a session whose socket is open does nothing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import string
from collections import deque
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT = 60
MAX_KEPT_EVENTS = 10_000
CLOSE_TIMEOUT = 1.5
_ALPHABET = string.ascii_lowercase + string.digits


class SessionPlayer(Protocol):
    """What a session asks of its players."""

    def send_update(self) -> None:
        """Send a playerUpdate."""

    async def destroy(self) -> None:
        """Stop and leave voice."""


P = TypeVar("P", bound=SessionPlayer)


class Outbox:
    """Messages on their way to one socket. `take` waits for the next; `rest` is what was never taken."""

    def __init__(self) -> None:
        self._messages: deque[dict[str, Any]] = deque()
        self._filled = asyncio.Event()

    def put(self, message: dict[str, Any]) -> None:
        """Add a message."""
        self._messages.append(message)
        self._filled.set()

    async def take(self) -> dict[str, Any]:
        """The oldest message, once there is one; it stays until `taken`."""
        while not self._messages:
            self._filled.clear()
            await self._filled.wait()
        return self._messages[0]

    def taken(self) -> None:
        """The oldest message was written to the socket."""
        self._messages.popleft()

    def rest(self) -> list[dict[str, Any]]:
        """What was not written."""
        return list(self._messages)


class Session(Generic[P]):
    """One client's session and its players by guild id. `outbox` is None while its socket is closed."""

    def __init__(self, session_id: str, user_id: int, name: str) -> None:
        self.id = session_id
        self.user_id = user_id
        self.name = name
        self.resuming = False
        self.timeout = DEFAULT_TIMEOUT
        self.players: dict[int, P] = {}
        self.outbox: Outbox | None = None
        self._kept: deque[dict[str, Any]] = deque(maxlen=MAX_KEPT_EVENTS)

    def send(self, message: dict[str, Any]) -> None:
        """Send to the client. While it is away events are kept and everything else is dropped."""
        if self.outbox is not None:
            self.outbox.put(message)
        elif message["op"] == "event":
            self._kept.append(message)

    def attach(self, *, resumed: bool) -> Outbox:
        """A socket opened: say ready, replay what was kept, and tell how each player is."""
        outbox = self.outbox = Outbox()
        self.send({"op": "ready", "resumed": resumed, "sessionId": self.id})
        while self._kept:
            self.send(self._kept.popleft())
        if resumed:
            for player in self.players.values():
                player.send_update()
        return outbox

    def detach(self) -> None:
        """The socket closed: events that were not written yet are kept for the next one."""
        unsent = self.outbox.rest() if self.outbox is not None else []
        self.outbox = None
        for message in unsent:
            self.send(message)


class Sessions(Generic[P]):
    """All sessions of the node: the open ones, and the ones that wait for their client."""

    def __init__(self) -> None:
        self._open: dict[str, Session[P]] = {}
        self._waiting: dict[str, tuple[Session[P], asyncio.TimerHandle]] = {}
        self._endings: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Session[P]]:
        yield from list(self._open.values())
        yield from [session for session, _timer in self._waiting.values()]

    def get(self, session_id: str) -> Session[P] | None:
        """A session whose socket is open."""
        return self._open.get(session_id)

    def can_resume(self, session_id: str | None) -> bool:
        """Whether this id would bring a session back."""
        return session_id in self._waiting

    def enter(self, session_id: str | None, user_id: int, name: str) -> tuple[Session[P], bool]:
        """The session for a new socket, and whether it is an old one that goes on."""
        waiting = self._waiting.pop(session_id, None) if session_id is not None else None
        if waiting is not None:
            session, timer = waiting
            timer.cancel()
        else:
            session = Session("".join(secrets.choice(_ALPHABET) for _ in range(16)), user_id, name)
        self._open[session.id] = session
        return session, waiting is not None

    def leave(self, session: Session[P]) -> None:
        """A session's socket closed: wait for its client, or end it."""
        self._open.pop(session.id, None)
        session.detach()
        if session.resuming:
            timer = asyncio.get_running_loop().call_later(session.timeout, self._expire, session)
            self._waiting[session.id] = (session, timer)
            log.info("session %s waits %d s for its client", session.id, session.timeout)
        else:
            self._start_ending(session)

    async def close(self) -> None:
        """End all sessions, within 1.5 s."""
        for session in self:
            self._start_ending(session)
        for _session, timer in self._waiting.values():
            timer.cancel()
        self._open.clear()
        self._waiting.clear()
        if self._endings:
            _done, pending = await asyncio.wait(self._endings, timeout=CLOSE_TIMEOUT)
            for task in pending:
                task.cancel()

    def _expire(self, session: Session[P]) -> None:
        self._waiting.pop(session.id, None)
        log.info("session %s: its client did not come back", session.id)
        self._start_ending(session)

    def _start_ending(self, session: Session[P]) -> None:
        ending = asyncio.create_task(self._end(session), name=f"end {session.id}")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    @staticmethod
    async def _end(session: Session[P]) -> None:
        players = list(session.players.values())
        session.players.clear()
        for outcome in await asyncio.gather(*(player.destroy() for player in players), return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("session %s: a player could not be destroyed", session.id, exc_info=outcome)
