"""Options of slash commands as a user fills them in: only what Discord's clients would let through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playground.twin import payloads
from playground.twin.errors import NotPossible
from playground.twin.model import Guild, Json
from playground.twin.world import World

SUBCOMMAND, GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT = range(1, 12)


class Filler:
    """Fills in the options of one use of a command; ``resolved`` collects what the options refer to."""

    def __init__(self, world: World, guild: Guild) -> None:
        self.resolved: Json = {}
        self._world = world
        self._guild = guild

    def fill(self, command: Json, path: list[str], values: Json, focused: str | None = None) -> list[Json]:
        """Return the ``options`` of an interaction's data.

        Args:
            command: the registered command.
            path: names of group and subcommand, if any.
            values: what the user typed, by option name.
            focused: the option being typed, for autocomplete; required options may be missing then.

        Raises:
            NotPossible: the command has no such options, or a client would not take these values.
        """
        options = command.get("options") or []
        if options and options[0]["type"] in (SUBCOMMAND, GROUP):
            if not path:
                raise NotPossible(f"/{command['name']} needs a subcommand")
            chosen = next((each for each in options if each["name"] == path[0]), None)
            if chosen is None:
                raise NotPossible(f"/{command['name']} has no subcommand {path[0]!r}")
            inner = self.fill(chosen, path[1:], values, focused)
            return [{"name": chosen["name"], "type": chosen["type"], "options": inner}]
        if path:
            raise NotPossible(f"{command['name']} has no subcommand {path[0]!r}")
        return self._leaf(options, values, focused)

    def _leaf(self, options: list[Json], values: Json, focused: str | None) -> list[Json]:
        known = {each["name"] for each in options}
        if unknown := [name for name in values if name not in known]:
            raise NotPossible(f"there is no option {unknown[0]!r}")
        filled = []
        for option in options:
            name = option["name"]
            if name not in values:
                if option.get("required") and focused is None:
                    raise NotPossible(f"the option {name!r} is required")
                continue
            typing = name == focused
            value = str(values[name]) if typing else self._value(option, values[name])
            entry = {"name": name, "type": option["type"], "value": value}
            filled.append(entry | {"focused": True} if typing else entry)
        return filled

    def _value(self, option: Json, value: Any) -> Any:
        kind = option["type"]
        if choices := option.get("choices"):
            for choice in choices:
                if value in (choice["value"], choice["name"]):
                    return choice["value"]
            raise NotPossible(f"{value!r} is not a choice of {option['name']!r}")
        check = _CHECKS.get(kind)
        if check is not None:
            return check(option, value)
        return self.reference(kind, value)

    def reference(self, kind: int, value: Any) -> str:
        """Return the id of what an option, or a select, of a type refers to, and put it into ``resolved``.

        Raises:
            NotPossible: there is no such user, role or channel.
        """
        guild, world = self._guild, self._world
        if kind == ATTACHMENT:
            return self._attachment(value)
        number = int(value)
        if kind in (USER, MENTIONABLE) and number in world.users:
            self.resolved.setdefault("users", {})[str(number)] = payloads.user(world.users[number])
            if number in guild.members:
                member = payloads.member(world, guild, number, with_user=False)
                del member["deaf"], member["mute"]
                allowed = str(world.guild_permissions(guild, number))
                self.resolved.setdefault("members", {})[str(number)] = member | {"permissions": allowed}
        elif kind in (ROLE, MENTIONABLE) and number in guild.roles:
            self.resolved.setdefault("roles", {})[str(number)] = payloads.role(guild.roles[number])
        elif kind == CHANNEL and number in guild.channels:
            channel = payloads.channel(guild.channels[number]) | {"permissions": str(0)}
            self.resolved.setdefault("channels", {})[str(number)] = channel
        else:
            raise NotPossible(f"{value!r} is nothing this option can refer to")
        return str(number)

    def _attachment(self, value: Any) -> str:
        """Take an attachment given as ``filename``, ``url``, ``size`` and ``content_type``."""
        number = str(self._world.snowflakes.make())
        attachment = {"size": 1, "content_type": "application/octet-stream", **value, "id": number}
        attachment.setdefault("proxy_url", attachment["url"])
        self.resolved.setdefault("attachments", {})[number] = attachment
        return number


def _string(option: Json, value: Any) -> str:
    if not isinstance(value, str):
        raise NotPossible(f"{option['name']!r} is a text")
    if not (option.get("min_length") or 0) <= len(value) <= (option.get("max_length") or 6000):
        raise NotPossible(f"{option['name']!r} is too short or too long")
    return value


def _number(option: Json, value: Any) -> Any:
    whole = option["type"] == INTEGER
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise NotPossible(f"{option['name']!r} is a {'whole ' if whole else ''}number")
    least, most = option.get("min_value"), option.get("max_value")
    if (least is not None and value < least) or (most is not None and value > most):
        raise NotPossible(f"{option['name']!r} is out of bounds")
    return value


def _boolean(option: Json, value: Any) -> bool:
    if not isinstance(value, bool):
        raise NotPossible(f"{option['name']!r} is true or false")
    return value


_CHECKS: dict[int, Callable[[Json, Any], Any]] = {
    STRING: _string,
    INTEGER: _number,
    NUMBER: _number,
    BOOLEAN: _boolean,
}


def find_option(options: list[Json], name: str) -> Json | None:
    """Return a declared option by name, wherever in the command it is."""
    for option in options:
        if option["name"] == name and option["type"] not in (SUBCOMMAND, GROUP):
            return option
        if (found := find_option(option.get("options") or [], name)) is not None:
            return found
    return None
