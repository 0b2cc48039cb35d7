"""Webhook events: what Discord tells an application without a gateway (Discord documentation, "Webhook Events")."""

from __future__ import annotations

import asyncio

import msgspec

from playground.twin.clock import timestamp
from playground.twin.interactions.sending import Sender, Sent, Signer
from playground.twin.journal import Journal
from playground.twin.model import Json
from playground.twin.tasks import Tasks
from playground.twin.world import World

PING, EVENT = 0, 1

ANSWER_WITHIN = 3.0
"""Seconds for the 204."""

DELAYS = (1.0, 4.0, 15.0, 60.0, 180.0, 340.0)
"""Seconds between the attempts to deliver an event, about ten minutes in all; Discord does not say which it takes."""


class WebhookEvents:
    """Delivers events, again and again until they are taken.

    Attributes:
        url: where events are posted; None drops them.
        enabled: the developer switched them on.
        types: the events that are told; None for all.
        delays: seconds between the attempts.
    """

    def __init__(self, world: World, journal: Journal, signer: Signer) -> None:
        self.url: str | None = None
        self.enabled = True
        self.types: list[str] | None = None
        self.delays: tuple[float, ...] = DELAYS
        self._world = world
        self._journal = journal
        self._signer = signer
        self._sender = Sender()
        self._tasks = Tasks()

    async def close(self) -> None:
        """Give up on what is not delivered yet."""
        await self._tasks.close()
        await self._sender.close()

    async def ping(self) -> Sent | None:
        """Send a PING once, as Discord does when the URL is saved; None without a URL."""
        return await self._post(self.ping_payload())

    def ping_payload(self) -> Json:
        """Return a PING."""
        return {"version": 1, "application_id": str(self._world.application_id), "type": PING}

    def tell(self, kind: str, data: Json) -> None:
        """Deliver an event in the background."""
        event = {"type": kind, "timestamp": timestamp(), "data": data}
        about = {"version": 1, "application_id": str(self._world.application_id), "type": EVENT, "event": event}
        if self.url is not None and self.enabled and (self.types is None or kind in self.types):
            self._tasks.start(self._deliver(kind, about), f"webhook event {kind}")

    async def _deliver(self, kind: str, payload: Json) -> None:
        for attempt, delay in enumerate((*self.delays, None), 1):
            sent = await self._post(payload)
            status = None if sent is None else sent.status
            about = {"type": kind, "attempt": attempt, "status": status}
            if status == 204:
                self._journal.add("webhook", "webhook_event_delivered", about)
                return
            self._journal.add("webhook", "webhook_event_refused", about)
            if delay is not None:
                await asyncio.sleep(delay)
        self._journal.add("webhook", "webhook_event_lost", {"type": kind})

    async def _post(self, payload: Json) -> Sent | None:
        if self.url is None:
            return None
        body = msgspec.json.encode(payload)
        return await self._sender.post(self.url, body, self._signer.headers(body), seconds=ANSWER_WITHIN)
