"""The twin as a whole: its parts put together, on one port."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from aiohttp import web

from playground.twin.control.server import Control
from playground.twin.endpoints import Endpoints
from playground.twin.gateway.hub import GatewayHub
from playground.twin.gateway.settings import GatewaySettings
from playground.twin.interactions.answering import Answers
from playground.twin.interactions.building import Builder
from playground.twin.interactions.desk import Desk
from playground.twin.interactions.records import Interactions
from playground.twin.interactions.sending import Signer
from playground.twin.journal import Journal
from playground.twin.messages import Messages
from playground.twin.model import Json
from playground.twin.rest.calls import Services
from playground.twin.rest.holds import Holds
from playground.twin.rest.limits import Limiter
from playground.twin.rest.server import PREFIX, Rest
from playground.twin.schemas import Schemas
from playground.twin.state import load, save
from playground.twin.voice import control as voice_control
from playground.twin.voice.server import VoiceServer
from playground.twin.voicing import Voicing
from playground.twin.webhook_events import WebhookEvents
from playground.twin.world import Event, World
from tonearm.ready import ANY_ADDRESS

log = logging.getLogger(__name__)

BACKLOG = 4096
"""Connections that may wait to be taken: one more, and the kernel resets it a while later."""


class Twin:
    """One Discord. ``start`` before anything else, ``close`` at the end.

    Args:
        host: the address to listen on; the control API answers only to loopback addresses.
        port: 0 takes a free one.
        voice_host: the IPv4 address that voice servers listen on and are reached at; None: as ``host``.
        state: a file to read the world from, if it exists, and to write it to at the end.
        settings: limits of the gateway.
        interactions_url: where interactions are posted; None sends them through the gateway.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        voice_host: str | None = None,
        state: Path | None = None,
        settings: GatewaySettings | None = None,
        interactions_url: str | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._state = state
        self._runner: web.AppRunner | None = None
        self.world, seed = load(state) if state is not None and state.exists() else (World(), None)
        self.schemas = Schemas.from_environment()
        self.journal = Journal()
        self.voice = VoiceServer(voice_host or host, on_closed=self._voice_closed, on_resumed=self._voice_resumed)
        self.hub = GatewayHub(self.world, self.journal, settings or GatewaySettings())
        self.voicing = Voicing(self.world, self.journal, self.voice)
        self.hub.on_voice = self.voicing.request
        self.hub.on_session_end = self.voicing.session_ended
        self.messages = Messages(self.world, self.journal)
        self.records = Interactions(self.world)
        self.builder = Builder(self.world, self.messages, self.records)
        self.answers = Answers(self.world, self.messages, self.records, self.journal, self.schemas)
        self.desk = Desk(self.world, self.answers, self.journal, Signer(seed))
        self.desk.url = interactions_url
        self.events = WebhookEvents(self.world, self.journal, self.desk.signer)
        self.limiter = Limiter()
        self.holds = Holds(self.journal)
        self.world.listen(self._write_down)

    def _write_down(self, event: Event) -> None:
        if event.name != "INTERACTION_CREATE":
            data = event.data if "guild_id" in event.data else {"guild_id": str(event.guild_id), **event.data}
            self.journal.add("event", event.name.lower(), data)
        if event.name.startswith("ENTITLEMENT_"):
            self.events.tell(event.name, event.data)

    def _voice_closed(self, guild_id: int, user_id: int, code: int) -> None:
        about = {"guild_id": str(guild_id), "user_id": str(user_id), "code": code}
        self.journal.add("voice", "voice_closed", about)

    def _voice_resumed(self, guild_id: int, user_id: int, missed: int) -> None:
        about = {"guild_id": str(guild_id), "user_id": str(user_id), "replayed": missed}
        self.journal.add("voice", "voice_resumed", about)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        await self.voice.start()
        services = Services(
            self.world,
            self.messages,
            self.records,
            self.answers,
            self.desk,
            self.hub,
            self.journal,
            self.builder,
            self.events,
            Endpoints(self.journal, self.desk.signer),
        )
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.add_routes([web.get("/gateway", self.hub.connect), web.get("/gateway/", self.hub.connect)])
        app.add_routes(Rest(services, self.schemas, self.limiter, self.holds).routes())
        app.add_routes([*Control(self).routes(), *voice_control.routes(self.voice)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port, backlog=BACKLOG).start()
        self.hub.url = f"ws://{self._authority()}/gateway"

    def _authority(self) -> str:
        assert self._runner is not None
        host, port = self._runner.addresses[0][:2]
        return f"{ANY_ADDRESS.get(host, host)}:{port}"

    def about(self) -> Json:
        """Return where everything is and the secrets a bot needs."""
        return {
            "api_url": f"http://{self._authority()}{PREFIX}",
            "gateway_url": self.hub.url,
            "control_url": f"http://{self._authority()}/control",
            "voice_ca": str(self.voice.ca_path),
            "application_id": str(self.world.application_id),
            "public_key": self.desk.signer.public_key,
            "bot_token": self.world.token,
        }

    async def close(self) -> None:
        """Close all connections, end all waiting, write the state."""
        self.holds.close()
        self.journal.close()
        await self.hub.close()
        await self.voicing.close()
        await asyncio.gather(self.desk.close(), self.events.close(), self.voice.close())
        if self._runner is not None:
            await self._runner.cleanup()
        if self._state is not None:
            save(self._state, self.world, self.desk.signer.seed)
