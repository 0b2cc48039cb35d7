"""Interactions as Discord builds them (Discord documentation, "Interaction Object")."""

from __future__ import annotations

from typing import Any

from playground.twin import payloads
from playground.twin.checks import BUTTON, LINK, PREMIUM, SELECTS, STRING_SELECT, walk
from playground.twin.errors import NotPossible
from playground.twin.interactions.options import CHANNEL, MENTIONABLE, ROLE, USER, Filler, find_option
from playground.twin.interactions.records import Answer, Interaction, Interactions, Kind
from playground.twin.messages import Messages
from playground.twin.model import Channel, Guild, Json, Message
from playground.twin.permissions import Permission
from playground.twin.world import World

_REFERENCES = {5: USER, 6: ROLE, 7: MENTIONABLE, 8: CHANNEL}
"""What each type of select refers to, as the option type that does."""


class Builder:
    """Makes interactions for actors, refusing what their client would not offer."""

    def __init__(self, world: World, messages: Messages, records: Interactions) -> None:
        self._world = world
        self._messages = messages
        self._records = records

    def ping(self) -> Interaction:
        """Return a PING, as Discord sends when an endpoint is saved."""
        interaction_id, token = self._records.identity()
        payload = {
            "id": str(interaction_id),
            "application_id": str(self._world.application_id),
            "type": Kind.PING,
            "token": token,
            "version": 1,
            "user": payloads.user(self._world.owner),
            "entitlements": [],
            "app_permissions": "0",
            "authorizing_integration_owners": {},
            "attachment_size_limit": payloads.ATTACHMENT_SIZE_LIMIT,
        }
        now = self._world.clock.now()
        made = Interaction(interaction_id, token, Kind.PING, payload, 0, 0, self._world.owner.id, now)
        self._records.add(made)
        return made

    def command(self, user_id: int, channel: Channel, name: str, values: Json) -> Interaction:
        """Return the use of a slash command; ``name`` holds subcommands too, as ``playlist add``.

        Raises:
            NotPossible: the command is not registered, not offered to this user here, or the options don't fit.
        """
        guild, command, path = self._offered(user_id, channel, name)
        filler = Filler(self._world, guild)
        options = filler.fill(command, path, values)
        data = self._command_data(command, options, filler)
        return self._make(Kind.COMMAND, user_id, channel, data)

    def autocomplete(self, user_id: int, channel: Channel, name: str, focused: str, values: Json) -> Interaction:
        """Return the request for suggestions while ``focused`` is being typed.

        Raises:
            NotPossible: as for :meth:`command`, or the option has no autocomplete.
        """
        guild, command, path = self._offered(user_id, channel, name)
        option = find_option(command.get("options") or [], focused)
        if option is None or not option.get("autocomplete"):
            raise NotPossible(f"{focused!r} has no autocomplete")
        filler = Filler(self._world, guild)
        data = self._command_data(command, filler.fill(command, path, {focused: ""} | values, focused), filler)
        data.setdefault("options", [])
        made = self._make(Kind.AUTOCOMPLETE, user_id, channel, data)
        made.focused = option["type"]
        return made

    def component(self, user_id: int, message: Message, which: str, values: list[str] | None) -> Interaction:
        """Return the click on a button, or the choice in a select; ``which`` is its custom id or its label.

        Raises:
            NotPossible: the user does not see the message, it has no such component, or it cannot be used.
        """
        if message.ephemeral_for not in (None, user_id):
            raise NotPossible("only the one it was shown to sees this message")
        channel = self._world.channels[message.channel_id]
        self._sees(user_id, channel)
        component = _component(message, which)
        data: Json = {
            "custom_id": component["custom_id"],
            "component_type": component["type"],
            "id": component["id"],
        }
        if component["type"] != BUTTON:
            data["values"] = self._selected(component, values or [], channel, data)
        made = self._make(Kind.COMPONENT, user_id, channel, data, message)
        made.source = made.original = message.id
        return made

    def modal_submit(self, opened: Interaction, values: Json) -> Interaction:
        """Return the submission of the modal that an interaction was answered with; values by custom id or label.

        Raises:
            NotPossible: there is no modal, no such field, or a required field is empty.
        """
        if opened.type != Answer.MODAL or opened.response is None:
            raise NotPossible("no modal is open")
        modal = opened.response["data"]
        data = {"custom_id": modal["custom_id"], "components": _filled(modal["components"], dict(values))}
        channel = self._world.channels[opened.channel_id]
        message = self._messages.find(opened.source)
        made = self._make(Kind.MODAL_SUBMIT, opened.user_id, channel, data, message)
        made.source = made.original = opened.source
        return made

    # --- parts -------------------------------------------------------------------------------------------------------

    def _sees(self, user_id: int, channel: Channel) -> Guild:
        guild = self._world.guilds[channel.guild_id]
        if guild.unavailable:
            raise NotPossible("the guild is unavailable")
        if user_id not in guild.members:
            raise NotPossible("not a member of this guild")
        if not self._world.permissions(channel, user_id) & Permission.VIEW_CHANNEL:
            raise NotPossible("does not see this channel")
        return guild

    def _offered(self, user_id: int, channel: Channel, name: str) -> tuple[Guild, Json, list[str]]:
        guild = self._sees(user_id, channel)
        first, *path = name.split()
        command = self._world.commands.find(guild.id, first) if guild.commands_installed else None
        if command is None:
            raise NotPossible(f"no command /{first} is registered here")
        contexts = command.get("contexts")
        if contexts is not None and 0 not in contexts:
            raise NotPossible(f"/{first} is not offered in guilds")
        allowed = self._world.permissions(channel, user_id)
        if not allowed & Permission.USE_APPLICATION_COMMANDS:
            raise NotPossible("may not use application commands here")
        needed = command.get("default_member_permissions")
        lacks = needed is not None and (int(needed) & ~allowed or int(needed) == 0)
        if lacks and not allowed & Permission.ADMINISTRATOR:
            raise NotPossible(f"/{first} is not offered to this member")
        return guild, command, path

    def _command_data(self, command: Json, options: list[Json], filler: Filler) -> Json:
        data: Json = {"id": command["id"], "name": command["name"], "type": command["type"]}
        if "guild_id" in command:
            data["guild_id"] = command["guild_id"]
        if options:
            data["options"] = options
        if filler.resolved:
            data["resolved"] = filler.resolved
        return data

    def _selected(self, component: Json, values: list[str], channel: Channel, data: Json) -> list[str]:
        least, most = component.get("min_values"), component.get("max_values")
        if not (1 if least is None else least) <= len(values) <= (1 if most is None else most):
            raise NotPossible("too few or too many values")
        if component["type"] == STRING_SELECT:
            offered = {each["label"]: each["value"] for each in component["options"]}
            chosen = [offered.get(each, each) for each in values]
            if unknown := [each for each in chosen if each not in offered.values()]:
                raise NotPossible(f"{unknown[0]!r} is not an option")
            return chosen
        filler = Filler(self._world, self._world.guilds[channel.guild_id])
        chosen = [filler.reference(_REFERENCES[component["type"]], each) for each in values]
        data["resolved"] = filler.resolved
        return chosen

    def _make(
        self, kind: Kind, user_id: int, channel: Channel, data: Json, message: Message | None = None
    ) -> Interaction:
        world, guild = self._world, self._world.guilds[channel.guild_id]
        interaction_id, token = self._records.identity()
        member = payloads.member(world, guild, user_id) | {"permissions": str(world.permissions(channel, user_id))}
        payload: Json = {
            "id": str(interaction_id),
            "application_id": str(world.application_id),
            "type": int(kind),
            "data": data,
            "guild": {"id": str(guild.id), "features": [], "locale": guild.locale},
            "guild_id": str(guild.id),
            "guild_locale": guild.locale,
            "channel": payloads.channel(channel) | {"permissions": member["permissions"]},
            "channel_id": str(channel.id),
            "member": member,
            "token": token,
            "version": 1,
            "app_permissions": str(self._app_permissions(guild, channel)),
            "locale": world.users[user_id].locale,
            "entitlements": self._entitlements(guild, user_id),
            "authorizing_integration_owners": {"0": str(guild.id)},
            "context": 0,
            "attachment_size_limit": payloads.ATTACHMENT_SIZE_LIMIT,
        }
        if message is not None:
            payload["message"] = payloads.message(world, message)
        made = Interaction(interaction_id, token, kind, payload, guild.id, channel.id, user_id, world.clock.now())
        self._records.add(made)
        return made

    def _app_permissions(self, guild: Guild, channel: Channel) -> int:
        if guild.bot_joined:
            return self._world.permissions(channel, self._world.bot.id)
        return int(Permission.ATTACH_FILES | Permission.EMBED_LINKS | Permission.MENTION_EVERYONE)

    def _entitlements(self, guild: Guild, user_id: int) -> list[Json]:
        mine = (each for each in self._world.entitlements.values() if not each.deleted)
        return [
            payloads.entitlement(self._world, each)
            for each in mine
            if each.user_id == user_id or each.guild_id == guild.id
        ]


def _component(message: Message, which: str) -> Json:
    usable = [each for each, _ in walk(message.components) if each.get("type") in {BUTTON, *SELECTS}]
    by_id = [each for each in usable if each.get("custom_id") == which]
    found = by_id or [each for each in usable if which in (each.get("label"), each.get("placeholder"))]
    if not found:
        raise NotPossible(f"the message has no component {which!r}")
    if len(found) > 1:
        raise NotPossible(f"the message has several components {which!r}")
    if found[0].get("disabled"):
        raise NotPossible(f"{which!r} is disabled")
    if found[0].get("style") in (LINK, PREMIUM) and found[0]["type"] == BUTTON:
        raise NotPossible(f"a click on {which!r} sends no interaction")
    return found[0]


def _filled(components: list[Json], values: Json) -> list[Json]:
    filled: list[Json] = []
    for number, each in enumerate(components, 1):
        entry: Json = {"type": each["type"], "id": each.get("id") or number * 2 - 1}
        if "component" in each:
            entry["component"] = _field(each["component"], each.get("label"), values, number * 2)
        elif "components" in each:
            fields = (_field(child, child.get("label"), values, number * 2) for child in each["components"])
            entry["components"] = list(fields)
        filled.append(entry)
    if values:
        raise NotPossible(f"the modal has no field {next(iter(values))!r}")
    return filled


def _field(field: Json, label: str | None, values: Json, number: int) -> Json:
    key = str(field["custom_id"] if field["custom_id"] in values else label)
    given: Any = values.pop(key, field.get("value") or ("" if field["type"] == 4 else []))
    if not given and field.get("required", True):
        raise NotPossible(f"the field {label or field['custom_id']!r} is required")
    entry = {"type": field["type"], "id": field.get("id") or number, "custom_id": field["custom_id"]}
    if field["type"] != 4:
        return entry | {"values": given if isinstance(given, list) else [given]}
    if not (field.get("min_length") or 0) <= len(given) <= (field.get("max_length") or 4000):
        raise NotPossible(f"the field {label or field['custom_id']!r} is too short or too long")
    return entry | {"value": given}
