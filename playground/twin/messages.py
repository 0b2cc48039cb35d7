"""Messages: making, editing and deleting them (Discord documentation, "Message Resource")."""

from __future__ import annotations

import re
from collections import OrderedDict

from playground.twin import payloads, shown
from playground.twin.checks import TEXT, check_message, is_empty, walk
from playground.twin.clock import timestamp
from playground.twin.errors import DiscordError, invalid_form, unknown
from playground.twin.journal import Journal
from playground.twin.model import Channel, Json, Message, MessageFlag
from playground.twin.permissions import Permission
from playground.twin.world import World

KEPT = 50_000
"""Messages kept; the oldest are forgotten first."""

NONCE_LIFE = 180.0
"""Seconds a nonce is remembered ("the past few minutes")."""

CREATABLE = MessageFlag.SUPPRESS_EMBEDS | MessageFlag.SUPPRESS_NOTIFICATIONS | MessageFlag.IS_COMPONENTS_V2
EDITABLE = MessageFlag.SUPPRESS_EMBEDS | MessageFlag.IS_COMPONENTS_V2

_MENTION = re.compile(r"<@!?(\d+)>")


class Messages:
    """All messages there are, ephemeral ones too."""

    def __init__(self, world: World, journal: Journal) -> None:
        self._world = world
        self._journal = journal
        self._messages: OrderedDict[int, Message] = OrderedDict()
        self._nonces: dict[tuple[int, int, str], tuple[int, float]] = {}

    def get(self, message_id: int) -> Message:
        """Return any message.

        Raises:
            DiscordError: 10008, there is none.
        """
        try:
            return self._messages[message_id]
        except KeyError:
            raise unknown("Message") from None

    def find(self, message_id: int | None) -> Message | None:
        """Return a message, or None where there is none (any more)."""
        return None if message_id is None else self._messages.get(message_id)

    def in_channel(self, channel_id: int, message_id: int) -> Message:
        """Return a message that everyone in a channel sees.

        Raises:
            DiscordError: 10008, there is none, or it is ephemeral.
        """
        message = self.get(message_id)
        if message.channel_id != channel_id or message.ephemeral_for is not None:
            raise unknown("Message")
        return message

    def history(self, channel_id: int, user_id: int | None = None) -> list[Message]:
        """Return the messages of a channel, oldest first, with the ephemeral ones that ``user_id`` sees."""
        return [
            each
            for each in self._messages.values()
            if each.channel_id == channel_id and each.ephemeral_for in (None, user_id)
        ]

    def repeated(self, channel: Channel, author: int, body: Json) -> Message | None:
        """Return the message an enforced nonce was used for before, if it was, within a few minutes."""
        if not body.get("enforce_nonce") or body.get("nonce") is None:
            return None
        message_id, made = self._nonces.get((channel.id, author, str(body["nonce"])), (0, 0.0))
        if self._world.clock.now() - made > NONCE_LIFE:
            return None
        return self._messages.get(message_id)

    def create(
        self,
        channel: Channel,
        author: int,
        body: Json,
        *,
        ephemeral_for: int | None = None,
        interaction_id: int | None = None,
        metadata: Json | None = None,
        loading: bool = False,
    ) -> Message:
        """Make a message and tell of it.

        Raises:
            DiscordError: 50035, the body breaks a rule; 50006, it is empty.
        """
        if not loading:
            self._check(body, None)
            if is_empty(body):
                raise DiscordError(400, 50006, "Cannot send an empty message", violation=True)
        message = Message(
            self._world.snowflakes.make(),
            channel.id,
            channel.guild_id,
            author,
            timestamp(),
            tts=bool(body.get("tts")),
            nonce=body.get("nonce"),
            ephemeral_for=ephemeral_for,
            interaction_id=interaction_id,
            interaction_metadata=metadata,
        )
        message.flags = (body.get("flags") or 0) & CREATABLE
        if ephemeral_for is not None:
            message.flags |= MessageFlag.EPHEMERAL
        if loading:
            message.flags |= MessageFlag.LOADING
        self._fill(message, body)
        self._messages[message.id] = message
        if len(self._messages) > KEPT:
            self._messages.popitem(last=False)
        if message.nonce is not None:
            self._nonces[channel.id, author, str(message.nonce)] = (message.id, self._world.clock.now())
        if ephemeral_for is None:
            channel.last_message_id = message.id
        self._tell("MESSAGE_CREATE", message)
        return message

    def edit(self, message: Message, body: Json) -> None:
        """Change a message and tell of it; a loading one shows its first content from now on.

        Raises:
            DiscordError: 50035, the body breaks a rule; 50006, nothing would be left.
        """
        before = {
            "flags": message.flags,
            "content": message.content,
            "embeds": message.embeds,
            "components": message.components,
        }
        self._check(body, before)
        if is_empty(before | body):
            raise DiscordError(400, 50006, "Cannot send an empty message", violation=True)
        first = message.loading
        message.flags &= ~MessageFlag.LOADING
        if body.get("flags") is not None:
            message.flags = message.flags & ~MessageFlag.SUPPRESS_EMBEDS | body["flags"] & EDITABLE
        self._fill(message, body)
        message.edits += 1
        message.edited_timestamp = None if first else timestamp()
        self._tell("MESSAGE_UPDATE", message)

    def delete(self, message: Message) -> None:
        """Delete a message and tell of it."""
        del self._messages[message.id]
        data = {"id": str(message.id), "channel_id": str(message.channel_id), "guild_id": str(message.guild_id)}
        if message.ephemeral_for is None:
            self._world.emit("MESSAGE_DELETE", message.guild_id, data, channel_id=message.channel_id)
        else:
            self._journal.add("ephemeral", "message_delete", data)

    def _check(self, body: Json, before: Json | None) -> None:
        if problems := check_message(body, before=before):
            raise invalid_form(problems)

    def _fill(self, message: Message, body: Json) -> None:
        if "content" in body:
            message.content = body["content"] or ""
        if "embeds" in body:
            message.embeds = shown.embeds(body["embeds"] or [])
        if "components" in body:
            message.components = shown.components(body["components"] or [])
        if "content" in body or "components" in body:
            self._mention(message, body.get("allowed_mentions"))

    def _mention(self, message: Message, allowed: Json | None) -> None:
        text = " ".join([message.content, *(each["content"] for each in texts(message.components))])
        found = dict.fromkeys(int(each) for each in _MENTION.findall(text))
        parsed = None if allowed is None else allowed.get("parse") or []
        listed = {int(each) for each in (allowed or {}).get("users") or []}
        message.mentions = [each for each in found if parsed is None or "users" in parsed or each in listed]
        everyone = "@everyone" in text or "@here" in text
        channel = self._world.channels[message.channel_id]
        may = self._world.permissions(channel, message.author_id) & Permission.MENTION_EVERYONE
        message.mention_everyone = everyone and bool(may) and (parsed is None or "everyone" in parsed)

    def _tell(self, name: str, message: Message) -> None:
        data = payloads.message_event(self._world, message)
        if message.ephemeral_for is None:
            self._world.emit(name, message.guild_id, data, channel_id=message.channel_id)
        else:
            self._journal.add("ephemeral", name.lower(), data)


def texts(components: list[Json]) -> list[Json]:
    """Return the text displays in components, in the order of the screen."""
    return [each for each, _ in walk(components) if each.get("type") == TEXT]
