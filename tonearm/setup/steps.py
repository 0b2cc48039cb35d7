"""The steps of ``tonearm setup``, from a token to a Discord that posts to us. Each tells what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tonearm import envfile
from tonearm.discord.entitlements import EVENTS
from tonearm.discord.invite import invite_link
from tonearm.discord.registration import compare, declared
from tonearm.discord.rest import RestClient
from tonearm.doctor import discord, missing_settings, reach
from tonearm.doctor.discord import EVENTS_ENABLED, Seen
from tonearm.doctor.finding import Finding, Verdict
from tonearm.errors import DiscordAway, DiscordError, SettingsError
from tonearm.settings import PREFIX, load

Json = dict[str, Any]

PATIENCE = 30.0
"""Seconds that Discord may take to change the application: it tries the URL before it answers."""

LOOK_AGAIN = 2.0
"""Seconds between two looks whether Tonearm answers by now."""

APPLICATION_ID, PUBLIC_KEY = f"{PREFIX}DISCORD_APPLICATION_ID", f"{PREFIX}DISCORD_PUBLIC_KEY"
BOT_TOKEN, PUBLIC_URL = f"{PREFIX}DISCORD_BOT_TOKEN", f"{PREFIX}PUBLIC_URL"


@dataclass
class Setup:
    """What is known and wanted.

    ``environ`` is the environment and, below it, the file. ``may_replace(name)`` decides about a value that the file
    has differently. ``wait`` is for how many seconds Tonearm may take to answer at the public URL. Without an
    ``events_url`` the public URL is tried, and left where nobody takes webhook events there.
    """

    file: Path
    environ: Mapping[str, str]
    token: str
    public_url: str
    may_replace: Callable[[str], bool]
    events_url: str = ""
    wait: float = 0.0
    application: Json = field(default_factory=dict)

    @property
    def verify_key(self) -> str:
        """The application's public key, hexadecimal."""
        return str(self.application["verify_key"])

    async def run(self, rest: RestClient) -> AsyncGenerator[Finding, None]:
        """Every step, in order; an error ends it all, and the step that tells of it, right there."""
        for step in (self._know, self._clock, self._keep, self._invite, self._commands, self._reach, self._events):
            async with aclosing(step(rest)) as findings:
                async for finding in findings:
                    yield finding
                    if finding.verdict is Verdict.ERROR:
                        return

    async def _know(self, rest: RestClient) -> AsyncGenerator[Finding, None]:
        """Whose token it is."""
        try:
            self.application = await rest.fetch_application()
        except DiscordError as error:
            yield Finding("Discord", "refuses the token" if error.status == 401 else str(error), _ANOTHER_TOKEN)
        except DiscordAway as error:
            yield _away(error)
        else:
            yield Finding("Discord", f"application {self.application['name']}, id {self.application['id']}")
            if (unfit := discord.code_grant(self.application)) is not None:
                yield unfit

    async def _clock(self, rest: RestClient) -> AsyncGenerator[Finding, None]:
        finding = discord.clock(Seen(load((), {}), self.application, [], [], rest.clock_ahead))
        if finding is not None:
            yield finding

    async def _keep(self, _: RestClient) -> AsyncGenerator[Finding, None]:
        """All is in the file that Tonearm, and a proxy that needs the address, start with."""
        keys = self.environ.get(PUBLIC_KEY, "")
        values = {APPLICATION_ID: str(self.application["id"]), BOT_TOKEN: self.token}
        # While a key is rotated there are two.
        values[PUBLIC_KEY] = keys if self.verify_key in keys.lower() else self.verify_key
        values |= {PUBLIC_URL: self.public_url} if self.public_url else {}
        if contradiction := self._contradiction(values):
            yield contradiction
        yield self._write(values)
        missing = missing_settings(load((), {**self.environ, **values}))
        if missing:
            names = ", ".join(finding.what for finding in missing)
            yield Finding("Settings", f"to start, {names} must be set too", f"Write them into {self.file}.", minor=True)

    async def _invite(self, _: RestClient) -> AsyncGenerator[Finding, None]:
        yield Finding("Invite link", invite_link(int(self.application["id"])))

    async def _commands(self, rest: RestClient) -> AsyncGenerator[Finding, None]:
        """Discord knows the commands."""
        ours = declared()
        if ours is None:
            remedy = "Install tonearm with the extra `interactions`, and run `tonearm commands sync`."
            yield Finding("Commands", "are declared by the HTTP side, which is not installed", remedy, minor=True)
            return
        try:
            theirs = await rest.fetch_commands(int(self.application["id"]))
            changed = [command for change, command in compare(ours, theirs) if change != "unchanged"]
            if changed:
                await rest.put_commands(int(self.application["id"]), ours, timeout=PATIENCE)
        except DiscordAway as error:
            yield _away(error)
        except DiscordError as error:
            yield Finding("Commands", f"are not registered ({error})", _COMMANDS)
        else:
            yield Finding("Commands", f"{len(ours)} registered, {len(changed)} of them changed just now")

    async def _reach(self, rest: RestClient) -> AsyncGenerator[Finding, None]:
        """Discord posts interactions to us."""
        if not self.public_url:
            yield Finding("Interactions URL", "is left as it is", _LATER, minor=True)
            return
        url = self.public_url + reach.INTERACTIONS
        finding = reach.judge("Public URL", url, await reach.ask(url), self.verify_key)
        if finding.verdict is Verdict.ERROR and self.wait:
            yield Finding("Public URL", f"{finding.found}; waiting for {self.wait:g} s", _START, minor=True)
            finding = await self._wait_for(url, finding)
        yield finding
        yield await self._change(rest, "Interactions URL", url, {"interactions_endpoint_url": url})

    async def _wait_for(self, url: str, finding: Finding) -> Finding:
        try:
            async with asyncio.timeout(self.wait):
                while finding.verdict is Verdict.ERROR:
                    await asyncio.sleep(LOOK_AGAIN)
                    finding = reach.judge("Public URL", url, await reach.ask(url), self.verify_key)
        except TimeoutError:
            pass
        return finding

    async def _events(self, rest: RestClient) -> AsyncGenerator[Finding, None]:
        """Discord tells us of what is sold."""
        url = self.events_url or (self.public_url and self.public_url + reach.EVENTS)
        if not url:
            return
        finding = reach.judge("Public URL", url, await reach.ask(url), self.verify_key)
        if finding.verdict is Verdict.ERROR and not self.events_url:
            yield Finding("Webhook events", f"are left as they are: {finding.found}", _NO_EVENTS, minor=True)
            return
        yield finding
        changes = {
            "event_webhooks_url": url,
            "event_webhooks_status": EVENTS_ENABLED,
            "event_webhooks_types": list(EVENTS),
        }
        yield await self._change(rest, "Webhook events", url, changes)

    async def _change(self, rest: RestClient, what: str, url: str, changes: Json) -> Finding:
        try:
            self.application = await rest.edit_application(changes, timeout=PATIENCE)
        except DiscordAway as error:
            return _away(error)
        except DiscordError as error:
            if error.fields:
                told = "; ".join(error.fields.values())
                return Finding(what, f"Discord does not take {url}: {told}", _UNVERIFIED)
            return Finding(what, f"Discord does not let it be changed ({error})", _BY_HAND.format(url=url))
        return Finding(what, f"Discord has verified {url}")

    def _write(self, values: Mapping[str, str]) -> Finding:
        """Put ``values`` into the file, which the environment must not contradict."""
        try:
            kept = self._kept()
            new = {name: value for name, value in values.items() if kept.get(name) != value}
            if new:
                envfile.write(self.file, new)
        except SettingsError as error:
            return Finding("Settings", str(error), _OTHER_FILE)
        return Finding("Settings", f"{', '.join(new) or 'nothing new'} written to {self.file}")

    def _contradiction(self, values: Mapping[str, str]) -> Finding | None:
        """Why ``values`` may not be written: what the file says differently is only replaced where that is wanted."""
        try:
            kept = self._kept()
        except SettingsError as error:
            return Finding("Settings", str(error), _OTHER_FILE)
        for name, value in values.items():
            if self.environ.get(name, value) not in (value, kept.get(name)):
                return Finding("Settings", f"the environment has another {name}", _UNSET)
            if kept.get(name, value) not in (value, "") and not self.may_replace(name):
                return Finding("Settings", f"{self.file} has another {name}", _REPLACE)
        return None

    def _kept(self) -> dict[str, str]:
        return envfile.read(self.file) if self.file.exists() else {}


def _away(error: DiscordAway) -> Finding:
    remedy = "Wait a minute, longer if Discord says so, and run `tonearm setup` again: it goes on where it was."
    return Finding("Discord", f"does not answer ({error.detail})", remedy)


_ANOTHER_TOKEN = (
    "In Discord's developer portal, *Bot*, choose *Reset Token*, and set "
    f"{BOT_TOKEN} to what it shows, or remove it from the file to be asked. (Client secret and public key are others.)"
)
_COMMANDS = "Run `tonearm commands sync`; if Discord limits it for today (200 new commands a day), tomorrow."
_LATER = "When Tonearm has an address that begins with https://, run `tonearm setup` again."
_START = "Start Tonearm now, with the settings in the file, and the tunnel or proxy before it."
_REPLACE = "Say --replace if what I was given now is right; else give me the token or address that belongs to the file."
_OTHER_FILE = "Name another file with --env-file, or mend this one."
_UNSET = "Unset it there: what the environment says counts before what the file says."
_NO_EVENTS = "They are only needed to sell plans through Discord: then start `tonearm api`, and give me --events-url."
_UNVERIFIED = (
    "From here it answers as it should, so something treats Discord differently: a firewall, a name that only this "
    "network knows, a protection against bots, or a clock that is wrong where Tonearm runs."
)
_BY_HAND = "As an owner of the application (or an admin of its team) set {url} in Discord's developer portal yourself."
