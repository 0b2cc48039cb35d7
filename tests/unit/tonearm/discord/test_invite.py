"""The invite link: what it asks for."""

from __future__ import annotations

import discord
import yarl

from tonearm.discord.invite import PERMISSIONS, invite_link


def test_the_invite_link_asks_for_what_is_needed_and_no_more() -> None:
    link = yarl.URL(invite_link(77))
    assert link.human_repr().startswith("https://discord.com/oauth2/authorize?")
    assert link.query["client_id"] == "77"
    assert link.query["scope"].split() == ["bot", "applications.commands"]
    asked = {name for name, value in discord.Permissions(int(link.query["permissions"])) if value}
    assert asked == {"read_messages", "send_messages", "connect", "speak"}
    assert (
        int(PERMISSIONS) == discord.Permissions(read_messages=True, send_messages=True, connect=True, speak=True).value
    )
