"""The application's commands, global and by guild (Discord documentation, "Application Commands")."""

from __future__ import annotations

from typing import Any

from playground.twin.command_checks import check_command, check_set
from playground.twin.errors import Problem, invalid_form, unknown
from playground.twin.model import Json
from playground.twin.snowflakes import Snowflakes

CHAT_INPUT = 1


class Commands:
    """Registered commands. ``guild_id`` None means global everywhere in this class."""

    def __init__(self, application_id: int, snowflakes: Snowflakes) -> None:
        self._application_id = application_id
        self._snowflakes = snowflakes
        self.scopes: dict[int, dict[int, Json]] = {}
        """Commands by guild (0 for the global ones) and id."""

    def load(self, application_id: int, scopes: dict[int, dict[int, Json]]) -> None:
        """Take over saved commands."""
        self._application_id, self.scopes = application_id, scopes

    def registered(self, guild_id: int | None) -> list[Json]:
        """Return the commands of one scope."""
        return list(self.scopes.get(guild_id or 0, {}).values())

    def get(self, guild_id: int | None, command_id: int) -> Json:
        """Return one command.

        Raises:
            DiscordError: 10063, there is none.
        """
        try:
            return self.scopes[guild_id or 0][command_id]
        except KeyError:
            raise unknown("application command") from None

    def find(self, guild_id: int, name: str, kind: int = CHAT_INPUT) -> Json | None:
        """Return the command that a member of the guild sees under this name: the guild's own wins."""
        for scope in (guild_id, 0):
            for command in self.scopes.get(scope, {}).values():
                if command["name"] == name and command["type"] == kind:
                    return command
        return None

    def replace(self, guild_id: int | None, bodies: list[Json]) -> list[Json]:
        """Replace all commands of a scope; those of the same type and name keep their id.

        Raises:
            DiscordError: 50035, something in a body breaks a rule.
        """
        problems = [
            Problem((index, *problem.path), problem.code, problem.message)
            for index, body in enumerate(bodies)
            for problem in check_command(body)
        ] or check_set(bodies)
        if problems:
            raise invalid_form(problems)
        old = {(each["type"], each["name"]): each for each in self.registered(guild_id)}
        made = [self._make(guild_id, body, old.get((body.get("type") or 1, body["name"]))) for body in bodies]
        self.scopes[guild_id or 0] = {int(command["id"]): command for command in made}
        return made

    def create(self, guild_id: int | None, body: Json) -> tuple[Json, bool]:
        """Create a command, or overwrite the one of the same type and name; return it and whether it is new.

        Raises:
            DiscordError: 50035, the body breaks a rule; 30032, there are 100 already.
        """
        key = (body.get("type") or 1, body.get("name"))
        others = [each for each in self.registered(guild_id) if (each["type"], each["name"]) != key]
        old = next((each for each in self.registered(guild_id) if (each["type"], each["name"]) == key), None)
        problems = check_command(body) or check_set([*others, body])
        if problems:
            raise invalid_form(problems)
        made = self._make(guild_id, body, old)
        self.scopes.setdefault(guild_id or 0, {})[int(made["id"])] = made
        return made, old is None

    def edit(self, guild_id: int | None, command_id: int, body: Json) -> Json:
        """Change some fields of a command.

        Raises:
            DiscordError: 10063, there is none; 50035, the result breaks a rule.
        """
        old = self.get(guild_id, command_id)
        wanted = {key: value for key, value in old.items() if key in _FIELDS} | body
        problems = check_command(wanted) or check_set(
            [*(each for each in self.registered(guild_id) if each is not old), wanted]
        )
        if problems:
            raise invalid_form(problems)
        made = self._make(guild_id, wanted, old)
        self.scopes[guild_id or 0][command_id] = made
        return made

    def delete(self, guild_id: int | None, command_id: int) -> None:
        """Delete a command.

        Raises:
            DiscordError: 10063, there is none.
        """
        self.get(guild_id, command_id)
        del self.scopes[guild_id or 0][command_id]

    def _make(self, guild_id: int | None, body: Json, old: Json | None) -> Json:
        allowed = body.get("default_member_permissions")
        command: dict[str, Any] = {
            "id": old["id"] if old else str(self._snowflakes.make()),
            "application_id": str(self._application_id),
            "type": body.get("type") or CHAT_INPUT,
            "name": body["name"],
            "name_localizations": body.get("name_localizations"),
            "description": body.get("description") or "",
            "description_localizations": body.get("description_localizations"),
            "default_member_permissions": None if allowed is None else str(allowed),
            "nsfw": bool(body.get("nsfw")),
            "integration_types": body.get("integration_types") or [0],
        }
        if options := body.get("options"):
            command["options"] = options
        if guild_id is None:
            command["contexts"] = body.get("contexts")
            command["dm_permission"] = body.get("dm_permission") is not False
        else:
            command["guild_id"] = str(guild_id)
        if old is not None and {**old, "version": ""} == {**command, "version": ""}:
            return old
        command["version"] = str(self._snowflakes.make())
        return command


_FIELDS = {
    "type",
    "name",
    "name_localizations",
    "description",
    "description_localizations",
    "default_member_permissions",
    "nsfw",
    "integration_types",
    "contexts",
    "dm_permission",
    "options",
}
