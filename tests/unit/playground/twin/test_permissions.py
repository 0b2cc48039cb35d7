"""Permission computation, overwrites included (Discord documentation, "Permissions")."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.twin import permissions
from playground.twin.model import ChannelType, Guild
from playground.twin.permissions import Permission
from playground.twin.world import World

P = Permission


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def guild(world: World) -> Guild:
    return world.create_guild("G", roles=2)


def test_owner_and_administrators_may_do_everything(world: World, guild: Guild) -> None:
    user = world.create_user("U")
    channel = next(iter(guild.channels.values()))
    world.join_guild(guild, user.id)
    assert world.permissions(channel, world.owner.id) == permissions.ALL
    role = world.create_role(guild, "Admin", int(P.ADMINISTRATOR))
    guild.members[user.id].roles.append(role.id)
    world.overwrite(channel, user.id, 0, int(P.VIEW_CHANNEL))
    assert world.permissions(channel, user.id) == permissions.ALL


def test_strangers_may_do_nothing(world: World, guild: Guild) -> None:
    assert world.permissions(next(iter(guild.channels.values())), world.create_user("U").id) == 0


def test_overwrites_apply_in_order(world: World, guild: Guild) -> None:
    user = world.create_user("U")
    world.join_guild(guild, user.id)
    one, two = [role.id for role in guild.roles.values() if role.name.startswith("Role")]
    guild.members[user.id].roles = [one, two]
    channel = next(each for each in guild.channels.values() if each.type == ChannelType.VOICE)

    def may_speak() -> bool:
        return bool(world.permissions(channel, user.id) & P.SPEAK)

    assert may_speak()
    world.overwrite(channel, guild.id, 0, int(P.SPEAK))
    assert not may_speak()
    world.overwrite(channel, one, 0, int(P.SPEAK))
    world.overwrite(channel, two, int(P.SPEAK), 0)
    assert may_speak()  # among roles, allowing wins
    world.overwrite(channel, user.id, 0, int(P.SPEAK))
    assert not may_speak()  # the member's own overwrite comes last
    world.overwrite(channel, user.id, 0, 0)
    assert may_speak()


def test_some_permissions_take_others_with_them(world: World, guild: Guild) -> None:
    user = world.create_user("U")
    world.join_guild(guild, user.id)
    voice = next(each for each in guild.channels.values() if each.type == ChannelType.VOICE)
    world.overwrite(voice, user.id, 0, int(P.CONNECT))
    assert not world.permissions(voice, user.id) & (P.SPEAK | P.MANAGE_CHANNELS)
    assert world.permissions(voice, user.id) & P.SEND_MESSAGES
    world.overwrite(voice, user.id, 0, int(P.SEND_MESSAGES))
    assert not world.permissions(voice, user.id) & P.EMBED_LINKS
    world.overwrite(voice, user.id, 0, int(P.VIEW_CHANNEL))
    assert world.permissions(voice, user.id) == 0
    world.overwrite(voice, user.id, 0, 0)
    guild.members[user.id].timed_out = True
    assert world.permissions(voice, user.id) == P.VIEW_CHANNEL | P.READ_MESSAGE_HISTORY


@given(allow=st.integers(0, permissions.ALL), deny=st.integers(0, permissions.ALL))
def test_nothing_is_left_without_seeing_the_channel(allow: int, deny: int) -> None:
    world = World()
    guild = world.create_guild("G")
    channel = next(iter(guild.channels.values()))
    world.overwrite(channel, world.bot.id, allow, deny)
    granted = world.permissions(channel, world.bot.id)
    assert granted == 0 or granted & P.VIEW_CHANNEL
    assert not granted & ~permissions.ALL
