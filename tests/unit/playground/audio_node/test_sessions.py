"""Sessions while their client comes and goes."""

from __future__ import annotations

import asyncio
from typing import Any

from playground.audio_node.sessions import Outbox, Session, Sessions


class Player:
    """Tells what it was asked."""

    def __init__(self, session: Session[Player]) -> None:
        self._session = session
        self.destroyed = asyncio.Event()

    def send_update(self) -> None:
        self._session.send({"op": "playerUpdate"})

    async def destroy(self) -> None:
        self.destroyed.set()


def event(number: int) -> dict[str, Any]:
    return {"op": "event", "number": number}


def ops(outbox: Outbox) -> list[Any]:
    return [message.get("number", message["op"]) for message in outbox.rest()]


def opened(sessions: Sessions[Player], session_id: str | None = None) -> tuple[Session[Player], Outbox, bool]:
    session, resumed = sessions.enter(session_id, 1, "test")
    return session, session.attach(resumed=resumed), resumed


async def test_a_new_session_is_ready_and_not_resumed() -> None:
    session, outbox, resumed = opened(Sessions())
    assert not resumed
    assert outbox.rest() == [{"op": "ready", "resumed": False, "sessionId": session.id}]


async def test_events_are_kept_and_updates_are_not() -> None:
    sessions: Sessions[Player] = Sessions()
    session, _outbox, _ = opened(sessions)
    session.resuming = True
    session.players[5] = player = Player(session)
    sessions.leave(session)
    session.send(event(1))
    player.send_update()
    session.send({"op": "stats"})
    session.send(event(2))
    again, outbox, resumed = opened(sessions, session.id)
    assert again is session
    assert resumed
    assert ops(outbox) == ["ready", 1, 2, "playerUpdate"]
    assert not player.destroyed.is_set()
    await sessions.close()
    assert player.destroyed.is_set()


async def test_events_that_were_not_written_yet_are_kept_too() -> None:
    sessions: Sessions[Player] = Sessions()
    session, outbox, _ = opened(sessions)
    session.resuming = True
    session.send(event(1))
    session.send(event(2))
    for _ in range(2):  # ready and the first event reach the socket
        await outbox.take()
        outbox.taken()
    sessions.leave(session)
    _, outbox, _ = opened(sessions, session.id)
    assert ops(outbox) == ["ready", 2]
    await sessions.close()


async def test_an_open_session_is_not_taken_over() -> None:
    sessions: Sessions[Player] = Sessions()
    session, _outbox, _ = opened(sessions)
    session.resuming = True
    assert not sessions.can_resume(session.id)
    other, _outbox, resumed = opened(sessions, session.id)
    assert other is not session
    assert not resumed
    await sessions.close()


async def test_a_waiting_session_is_unknown_until_it_is_resumed() -> None:
    sessions: Sessions[Player] = Sessions()
    session, _outbox, _ = opened(sessions)
    session.resuming = True
    sessions.leave(session)
    assert sessions.get(session.id) is None
    assert sessions.can_resume(session.id)
    opened(sessions, session.id)
    assert sessions.get(session.id) is session
    assert not sessions.can_resume(session.id)
    await sessions.close()


async def test_without_resuming_a_session_ends_with_its_socket() -> None:
    sessions: Sessions[Player] = Sessions()
    session, _outbox, _ = opened(sessions)
    session.players[5] = player = Player(session)
    sessions.leave(session)
    await asyncio.wait_for(player.destroyed.wait(), 5)
    assert not sessions.can_resume(session.id)
    await sessions.close()


async def test_a_session_that_waited_too_long_ends() -> None:
    sessions: Sessions[Player] = Sessions()
    session, _outbox, _ = opened(sessions)
    session.resuming, session.timeout = True, 0
    session.players[5] = player = Player(session)
    sessions.leave(session)
    await asyncio.wait_for(player.destroyed.wait(), 5)
    _other, _outbox, resumed = opened(sessions, session.id)
    assert not resumed
    await sessions.close()
