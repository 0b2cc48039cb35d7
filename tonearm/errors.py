"""All errors of Tonearm, as one tree::

TonearmError
├── SettingsError          a setting is missing or wrong; the process does not start
├── StartFailed            a process or a store did not come up
├── StopRequested          a stop was asked for while something started
├── InvalidInteraction     not an interaction as Discord documents it; answered with a 4xx
├── DiscordError           Discord refuses a request; asking the same again changes nothing
├── Conflict               what was to be changed is not any more as it was seen; nothing was done
├── Problem                what a request of the API can't be given; answered with problem+json
├── StorageAway            the bucket doesn't answer, or refuses; trying again may help
├── InvalidDocument        a file is no export of a guild; nothing of it is used
├── LeaseLost              another voice node owns the shard; everything in hand is dropped
└── UserError              reaches a person, in a sentence of the catalogue
    ├── Refused            the wish can't be granted; trying the same again changes nothing
    └── Away               a part of the system doesn't answer; trying again may help
        ├── RedisAway
        ├── DatabaseAway
        ├── LavalinkAway
        │   ├── LavalinkGone    while something was done there; elsewhere it can be done now
        │   └── LavalinkSilent  was told something, and may have done it
        ├── DiscordAway
        └── StripeAway
"""

from __future__ import annotations

from collections.abc import Mapping

from tonearm.sentences import Sentence


class TonearmError(Exception):
    """The root. Nothing else is raised on purpose."""


class SettingsError(TonearmError):
    """A setting is missing or wrong. The text is one sentence that names the setting."""


class StartFailed(TonearmError):
    """A process or a store did not come up. The text says which one, and what it said last."""


class StopRequested(TonearmError):
    """A stop was asked for while a child was starting; the supervisor's ``async with`` block ends quietly with it."""


class InvalidInteraction(TonearmError):
    """The body is not an interaction as Discord documents it.

    ``status`` is the HTTP status to answer with (400 or 413).
    """

    def __init__(self, reason: str, *, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class DiscordError(TonearmError):
    """Discord refuses a request.

    ``status`` is the HTTP status, ``code`` Discord's own (0 where it gave none; Discord's documentation, *Opcodes and
    Status Codes*, *JSON*). The text names the request by its route, never by its address, which can hold a token.
    ``fields``: of a body that Discord does not take, what is wrong with which of its fields.
    """

    def __init__(
        self, route: str, status: int, code: int, message: str, *, fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{route}: {status}, code {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = dict(fields or {})


class Conflict(TonearmError):
    """What was to be changed is not any more as it was seen. Nothing was done: look again, and decide again."""


class Problem(TonearmError):
    """A request of the API can't be done. The text is one sentence for its caller.

    ``kind`` names it for good, in the catalogue of :mod:`interactions.api.problems`; ``headers`` go with the answer.
    ``extra`` are members of the problem besides the standard ones.
    """

    def __init__(self, kind: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: object) -> None:
        super().__init__(detail)
        self.kind = kind
        self.headers = dict(headers or {})
        self.extra = extra


class StorageAway(TonearmError):
    """The bucket doesn't answer, or refuses. The text says at what, and its code; it holds no address."""


class InvalidDocument(TonearmError):
    """A file is no export of a guild, or not one that can be read here. The text is a sentence that says why."""


class LeaseLost(TonearmError):
    """The shard is owned by another voice node: neither Redis nor Discord nor Lavalink may be touched."""


class UserError(TonearmError):
    """Reaches a person. ``str()`` is the whole sentence, ready to be shown."""

    def __init__(self, sentence: Sentence, **values: object) -> None:
        self.sentence = sentence
        super().__init__(sentence.format(**values))


class Refused(UserError):
    """The wish can't be granted as it stands."""


class Away(UserError):
    """A part of the system doesn't answer, or refuses to. ``detail`` is for the log, not for the person."""

    default: Sentence

    def __init__(self, detail: str = "") -> None:
        super().__init__(self.default)
        self.detail = detail


class RedisAway(Away):
    """Redis is down, hanging or refusing."""

    default = Sentence.MEMORY_AWAY


class DatabaseAway(Away):
    """PostgreSQL is down, hanging or refusing."""

    default = Sentence.DATABASE_AWAY


class LavalinkAway(Away):
    """No Lavalink server answers."""

    default = Sentence.SOUND_AWAY


class LavalinkGone(LavalinkAway):
    """The server went away in the midst of something: nothing else is wrong with that, so it may be done at another."""


class LavalinkSilent(LavalinkAway):
    """The server was told something and gave no answer: it may have done it."""


class DiscordAway(Away):
    """Discord's REST API or gateway doesn't answer."""

    default = Sentence.DISCORD_AWAY


class StripeAway(Away):
    """Stripe doesn't answer, or refuses what we ask for."""

    default = Sentence.SHOP_AWAY
