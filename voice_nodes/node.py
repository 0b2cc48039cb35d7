"""What the shards of a voice node share."""

from __future__ import annotations

import msgspec

from tonearm.cache import TermsCache
from tonearm.discord.rest import RestClient
from tonearm.redis.client import Client
from tonearm.settings import Settings
from voice_nodes.membership import Membership


class Node(msgspec.Struct, frozen=True):
    """What all shards of this process share. ``intake`` is a client that may wait long for the stream; ``terms``
    knows the plans and settings of guilds."""

    name: str
    settings: Settings
    redis: Client
    intake: Client
    rest: RestClient
    membership: Membership
    terms: TermsCache
