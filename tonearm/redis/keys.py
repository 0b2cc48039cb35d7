"""The names of all keys. Those of a shard carry one hash tag, ``{s<shard>}``, so each atomic step runs on one slot."""

from __future__ import annotations

SHARD_COUNT = "tonearm:shard_count"
RESHARDING = "tonearm:resharding"
"""STRING ``<phase> <from> <to>`` while the number of shards is being changed."""

JOB_GROUP = "voice"
"""The consumer group of every job stream."""

LEASES = "tonearm:leases"
"""Pub/sub channel: the number of a shard whose lease was given back."""
NODES = "tonearm:nodes"
"""Pub/sub channel: the name of a voice node that came, marked itself leaving, or went."""
BEATS = "{nodes}:beats"
"""ZSET of voice nodes by the time (ms) of their last sign of life."""
ABOUT = "{nodes}:about"
"""HASH of what each of them says of itself."""
SERVERS = "tonearm:servers"
"""HASH of the Lavalink servers as the owner of each shard sees them, by ``<shard>@<server>``."""
DRAINING = "tonearm:draining"
"""SET of the names of Lavalink servers that an operator wants empty."""
TERMS = "tonearm:terms"
"""Pub/sub channel: a guild whose plan or settings were changed."""
API_KEYS = "tonearm:api_keys"
"""Pub/sub channel: the hash (hexadecimal) of a key of the API that was revoked."""
DEPARTED = "tonearm:departed"
"""ZSET of the guilds that removed the bot, by when (ms)."""
FAULTS = "tonearm:faults"
"""LIST of the last faults of all processes, the last one first."""
WORKERS = "{workers}:beats"
"""ZSET of workers by the time (ms) of their last sign of life."""
WORKERS_CHANGED = "tonearm:workers"
"""Pub/sub channel on which a worker says its name when it comes or goes."""
GATEWAY = "tonearm:gateway"
"""HASH ``max_concurrency``, ``remaining``, ``reset_ms``: Discord's limits for starting sessions, for a minute."""


WORKER_STREAMS = 8
"""How many streams hold the jobs of the workers."""


def stream_of(guild: int) -> int:
    """Which of the workers' streams has the jobs of a guild that need only the database.

    It is a number below zero: wherever a shard is asked for, it stands for ``{w0}``, ``{w1}`` and so on, with a lease,
    a stream, records and an outbox like those of a shard.
    """
    return -1 - (guild >> 22) % WORKER_STREAMS


def worker_streams() -> range:
    """The numbers of all of the workers' streams, ``{w0}`` first."""
    return range(-1, -1 - WORKER_STREAMS, -1)


def name_of(shard: int) -> str:
    """What people call a shard, or one of the workers' streams: ``7``, ``w3``."""
    return str(shard) if shard >= 0 else f"w{-1 - shard}"


def tag(shard: int) -> str:
    """The hash tag of a shard, or of one of the workers' streams."""
    return f"{{s{shard}}}" if shard >= 0 else f"{{w{-1 - shard}}}"


def shard_of(guild: int, shard_count: int) -> int:
    """Discord's own rule (Gateway documentation, *Sharding*)."""
    return (guild >> 22) % shard_count


def jobs(shard: int) -> str:
    """STREAM of jobs; an entry has the fields ``j`` (the job) and ``p`` (the play that was current)."""
    return f"{tag(shard)}:jobs"


def count(shard: int) -> str:
    """STRING: the number of shards since it was last changed, or :data:`MOVING`; missing if it never was."""
    return f"{tag(shard)}:count"


MOVING = "moving"
"""The number of shards is being changed: nobody may take this one."""


def lease(shard: int) -> str:
    """HASH ``owner``, ``token``; expires when its owner does not renew it."""
    return f"{tag(shard)}:lease"


def sign(shard: int) -> str:
    """STRING: when (ms) the owner was last heard, for as long as a taking-over is measured by it."""
    return f"{tag(shard)}:sign"


def token(shard: int) -> str:
    """STRING: the last fencing token given out."""
    return f"{tag(shard)}:token"


def identify(bucket: int) -> str:
    """STRING: when (ms) the last IDENTIFY of a bucket was granted."""
    return f"{{identify:{bucket}}}"


def outbox(shard: int) -> str:
    """ZSET of record names whose answer is not known to have arrived, by the time (ms) from which it is edited in."""
    return f"{tag(shard)}:outbox"


def record(shard: int, job: str) -> str:
    """HASH of what is known of one job, for 15 minutes: ``answer``, ``deferred``, ``guild``, ``reply``."""
    return f"{tag(shard)}:job:{job}"


def sessions(shard: int) -> str:
    """HASH ``gateway`` (the gateway session as JSON) and the Lavalink session id of each server, by its URL."""
    return f"{tag(shard)}:sessions"


def guilds(shard: int) -> str:
    """HASH of reduced GUILD_CREATE payloads, by guild."""
    return f"{tag(shard)}:guilds"


def voices(shard: int) -> str:
    """HASH of voice connections, by guild."""
    return f"{tag(shard)}:voices"


def dead(shard: int) -> str:
    """STREAM of jobs that were given up, oldest first; an entry has the field ``d`` (the dead letter)."""
    return f"{tag(shard)}:dead"


def active(shard: int) -> str:
    """SET of the guilds of a shard whose player should be in a voice channel."""
    return f"{tag(shard)}:active"


def player(shard: int, guild: int) -> str:
    """HASH ``state`` (the player as JSON), ``play`` (the current play)."""
    return f"{tag(shard)}:g:{guild}:player"


def queue(shard: int, guild: int) -> str:
    """ZSET of entry ids, in the order of the queue."""
    return f"{tag(shard)}:g:{guild}:queue"


def entries(shard: int, guild: int) -> str:
    """HASH of the queue's entries by id."""
    return f"{tag(shard)}:g:{guild}:entries"


def history(shard: int, guild: int) -> str:
    """LIST of entries that have played, newest first."""
    return f"{tag(shard)}:g:{guild}:history"


def log(shard: int, guild: int) -> str:
    """LIST of who did what, oldest first."""
    return f"{tag(shard)}:g:{guild}:log"


def terms(shard: int, guild: int) -> str:
    """HASH ``terms`` (plan and settings as JSON), ``at`` (when they were true, ms), ``generation``: a cache."""
    return f"{tag(shard)}:g:{guild}:terms"


def api_key(hash: bytes) -> str:
    """STRING: what is known of a key of the API (JSON), or that it was revoked: a cache."""
    return f"tonearm:api_key:{hash.hex()}"


def waiting(shard: int, guild: int) -> str:
    """SET of the ids of this guild's jobs that are handed over and not done."""
    return f"{tag(shard)}:g:{guild}:waiting"


def guild_limit(shard: int, guild: int) -> str:
    """STRING: the guild's theoretical arrival time (ms) for GCRA."""
    return f"{tag(shard)}:g:{guild}:limit"


def user_limit(shard: int, guild: int, user: int) -> str:
    """STRING: the same for a user in a guild."""
    return f"{tag(shard)}:g:{guild}:limit:{user}"


def reply_channel(process: str) -> str:
    """Pub/sub channel on which a process of the HTTP side hears answers; a message is ``<job id> <answer>``."""
    return f"reply:{process}"


BY_LIST = "list"
"""In place of a pub/sub channel: who waits for an answer takes it from :func:`reply_list`."""


def reply_list(shard: int, job: str) -> str:
    """LIST with the answer of a job, for 10 s: where a process may freeze, and so can't keep a subscription."""
    return f"{record(shard, job)}:reply"
