"""The link with which an admin invites the bot."""

from __future__ import annotations

from enum import IntFlag
from urllib.parse import urlencode

SCOPES = ("bot", "applications.commands")


class Permission(IntFlag):
    """What the bot needs of a guild, and why (Discord's documentation, *Permissions*)."""

    VIEW_CHANNEL = 1 << 10  # to be told of voice channels, and to write where the player was asked for something
    SEND_MESSAGES = 1 << 11  # the message with the buttons
    CONNECT = 1 << 20
    SPEAK = 1 << 21


PERMISSIONS = Permission.VIEW_CHANNEL | Permission.SEND_MESSAGES | Permission.CONNECT | Permission.SPEAK
"""All of them. Answers to commands need none: they are written with the interaction's own token."""


def invite_link(application: int) -> str:
    """The link with which an admin invites the bot, with the permissions it needs and no other."""
    query = {"client_id": application, "scope": " ".join(SCOPES), "permissions": int(PERMISSIONS)}
    return f"https://discord.com/oauth2/authorize?{urlencode(query)}"
