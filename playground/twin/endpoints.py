"""Trying an endpoint before it is saved: a PING that is to be taken, and one whose signature is bad.

From the Discord documentation, "Setting Up an Endpoint" and, of webhook events, "Preparing for Events": what
answers a PING wrongly, or takes a bad signature, can't be saved. In which order Discord sends the two it does not say.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from playground.twin.interactions.sending import Sender, Sent, Signer
from playground.twin.journal import Journal
from playground.twin.model import Json

ANSWER_WITHIN = 3.0
"""Seconds for each answer."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What both requests met, and why the endpoint can't be saved; None when it can."""

    ping: int | None
    bad_signature: int | None
    refusal: str | None


class Endpoints:
    """Tries endpoints."""

    def __init__(self, journal: Journal, signer: Signer) -> None:
        self._journal = journal
        self._signer = signer

    async def try_interactions(self, url: str, ping: Json) -> Trial:
        """Whether ``url`` answers ``ping`` with a PONG, and a bad signature with 401."""
        return await self._try("interactions", url, ping, _is_pong)

    async def try_events(self, url: str, ping: Json) -> Trial:
        """Whether ``url`` takes ``ping`` with an empty 204, and answers a bad signature with 401."""
        return await self._try("events", url, ping, lambda sent: sent.status == 204)

    async def _try(self, kind: str, url: str, ping: Json, good: Callable[[Sent], bool]) -> Trial:
        if not _may_be_posted_to(url):
            return self._told(kind, url, Trial(None, None, "Discord posts to https only"))
        body = msgspec.json.encode(ping)
        signed = self._signer.headers(body)
        forged = [(name, "0" * 128 if name == "X-Signature-Ed25519" else value) for name, value in signed]
        sender = Sender()
        try:
            taken = await sender.post(url, body, signed, seconds=ANSWER_WITHIN)
            bad = await sender.post(url, body, forged, seconds=ANSWER_WITHIN)
        finally:
            await sender.close()
        refusal = None
        if not good(taken):
            refusal = f"the PING met {taken.error or taken.status}"
        elif bad.status != 401:
            refusal = f"a bad signature met {bad.error or bad.status}"
        return self._told(kind, url, Trial(taken.status, bad.status, refusal))

    def _told(self, kind: str, url: str, trial: Trial) -> Trial:
        about = {"kind": kind, "url": url, "ping": trial.ping, "bad_signature": trial.bad_signature}
        self._journal.add("webhook", "endpoint_tried", about | {"refusal": trial.refusal})
        return trial


def _is_pong(sent: Sent) -> bool:
    if sent.status != 200:
        return False
    try:
        answer = msgspec.json.decode(sent.body)
    except msgspec.DecodeError:
        return False
    return isinstance(answer, dict) and answer.get("type") == 1


def _may_be_posted_to(url: str) -> bool:
    """Https; of http only this machine, where Discord takes none: a certificate for it would prove nothing here."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "https":
            return bool(parts.hostname)
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
