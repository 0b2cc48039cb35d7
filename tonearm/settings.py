"""All settings: environment variables ``TONEARM_<NAME>``, each declared, explained and checked here, nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from tonearm.errors import SettingsError
from tonearm.premium.plans import PlanId, shelf

PREFIX = "TONEARM_"


class LavalinkNode(msgspec.Struct, frozen=True):
    """Where a Lavalink server answers: ``http(s)://host:port``, its password, and the regions that it is for."""

    url: str
    password: str
    regions: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Without the password: this may end up in a log."""
        return f"LavalinkNode({self.url!r})"


class Settings(msgspec.Struct, frozen=True):
    """What a process was told. The meaning of each field is in :data:`DECLARED`."""

    discord_application_id: int
    discord_public_key: tuple[bytes, ...]
    discord_bot_token: str
    discord_api_url: str
    discord_gateway_url: str
    public_url: str
    redis_url: str
    database_url: str
    database_read_url: str
    database_pool_size: int
    database_max_connections: int
    database_processes: int
    database_pgbouncer: int
    default_plan: str
    discord_skus: tuple[tuple[str, str], ...]
    stripe_prices: tuple[tuple[str, str], ...]
    stripe_secret_key: str
    stripe_webhook_secrets: tuple[str, ...]
    stripe_api_url: str
    stripe_return_url: str
    webhook_secrets: tuple[str, ...]
    s3_bucket: str
    dead_letters_days: int
    secrets: str
    secrets_refresh: int
    lavalink_nodes: tuple[LavalinkNode, ...]
    shard_count: int
    rebalance_after: int
    inline_reply_ms: int
    host: str
    port: int
    api_cors_origins: tuple[str, ...]
    api_requests_per_minute: int
    log_format: str

    def __repr__(self) -> str:
        """Without the values: some are secret, and this may end up in a log."""
        return "Settings(...)"


@dataclass(frozen=True)
class Setting:
    """One declared setting. ``parse`` raises ``ValueError`` with what is wrong, as the rest of a sentence."""

    name: str
    parse: Callable[[str], Any]
    help: str
    default: str = ""
    secret: bool = False


def _text(value: str) -> str:
    return value


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not value.strip().isdecimal() or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {value!r}")
        return int(value)

    return parse


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    return parse


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        try:
            parts = urlsplit(value)
        except ValueError:  # whose text can hold the password
            raise ValueError("is not a URL") from None
        if parts.scheme not in schemes:
            raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        # PostgreSQL's can be among the parameters; a socket has none.
        named = parts.netloc if parts.scheme in ("postgresql", "postgres") else parts.hostname
        if not named and not (parts.scheme == "unix" and parts.path):
            raise ValueError("names no host")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("has a port that is not a number from 0 to 65535") from None
        return value.rstrip("/") if parts.scheme in ("http", "https", "ws", "wss") else value

    return parse


def _public_url(value: str) -> str:
    url = _url("http", "https")(value)
    parts = urlsplit(url)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must be nothing but an address, as in https://music.example")
    # The demo's Discord is on this machine, and takes http from there.
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError("must begin with https://: Discord sends nothing to http://")
    for path in ("/interactions", "/webhook-events"):
        if parts.path.endswith(path):
            raise ValueError(f"must be without {path} at its end")
    return url


def _public_keys(value: str) -> tuple[bytes, ...]:
    keys = []
    for part in value.split(","):
        try:
            key = bytes.fromhex(part.strip())
        except ValueError:
            key = b""
        if len(key) != 32:
            raise ValueError("must be 64 hexadecimal digits, or several such keys separated by commas")
        keys.append(key)
    return tuple(keys)


def _between_nodes(value: str) -> list[str]:
    """Split at the commas between nodes: those between regions stand after a question mark, before no address."""
    parts: list[str] = []
    for part in value.split(","):
        if parts and "?" in parts[-1] and ":" not in part and part.strip():
            parts[-1] += f",{part.strip()}"
        else:
            parts.append(part)
    return parts


def _lavalink_nodes(value: str) -> tuple[LavalinkNode, ...]:
    nodes = []
    for part in _between_nodes(value):
        url = urlsplit(_url("http", "https", "dns+http", "dns+https")(part.strip()))
        if not url.password:
            raise ValueError("must hold a password for each node, as in http://:password@host:2333")
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        regions = tuple(filter(None, ",".join(parse_qs(url.query).get("regions", [])).lower().split(",")))
        nodes.append(LavalinkNode(f"{url.scheme}://{host}:{url.port or 2333}", unquote(url.password), regions))
    return tuple(nodes)


def _sold(value: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in value.split(","):
        plan, _, id = (word.strip() for word in part.partition("="))
        if not id:
            raise ValueError("must name a plan and an id, as in premium=123,pro=456")
        pairs.append((plan, id))
    try:
        shelf(pairs)
    except ValueError as error:
        raise ValueError(f"can't be used: {error}") from None
    return tuple(pairs)


def _origins(value: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in value.split(","))
    for origin in origins:
        parts = urlsplit(_url("http", "https")(origin))
        if origin != f"{parts.scheme}://{parts.netloc}" or "@" in origin:
            raise ValueError("must be origins, as in https://shop.example, separated by commas")
    return origins


def _secrets(value: str) -> tuple[str, ...]:
    secrets = tuple(filter(None, (part.strip() for part in value.split(","))))
    if not 1 <= len(secrets) <= 2:
        raise ValueError("must be one secret, or two separated by a comma while one replaces the other")
    return secrets


DECLARED: tuple[Setting, ...] = (
    Setting(
        "discord_application_id",
        _integer(1, 2**63 - 1),
        "Application id, from Discord's developer portal, *General Information*.",
    ),
    Setting(
        "discord_public_key",
        _public_keys,
        "Public key with which Discord's requests are verified; several, separated by commas, while it is rotated.",
    ),
    Setting("discord_bot_token", _text, "Bot token, from the developer portal, *Bot*.", secret=True),
    Setting(
        "discord_api_url", _url("http", "https"), "Where Discord's REST API answers.", "https://discord.com/api/v10"
    ),
    Setting("discord_gateway_url", _url("ws", "wss"), "Where Discord's gateway answers.", "wss://gateway.discord.gg"),
    Setting(
        "public_url",
        _public_url,
        "Where Discord reaches the HTTP side, as https://music.example; `tonearm setup` tells Discord, and looks.",
    ),
    Setting(
        "redis_url",
        _url("redis", "rediss", "redis+cluster", "rediss+cluster", "unix"),
        "Redis >= 7.2 or Valkey >= 8, with the policy noeviction: redis://, redis+cluster:// or unix://; with TLS "
        "rediss:// or rediss+cluster://, and ?ssl_ca_certs=/path/to/ca.pem where the certificate is your own CA's.",
        secret=True,
    ),
    Setting(
        "database_url", _url("postgresql", "postgres"), "PostgreSQL >= 15: postgresql://user@host/name.", secret=True
    ),
    Setting(
        "database_read_url",
        _url("postgresql", "postgres"),
        "A replica of the database, for what may be a moment old; without one the database itself is read.",
        secret=True,
    ),
    Setting(
        "database_pool_size",
        _integer(0, 1_000),
        "Connections to PostgreSQL that a process may open; 0 shares the server's limit among the processes.",
        "0",
    ),
    Setting("database_max_connections", _integer(11, 100_000), "What PostgreSQL's max_connections is set to.", "100"),
    Setting("database_processes", _integer(1, 10_000), "How many processes share PostgreSQL's limit at most.", "8"),
    Setting(
        "database_pgbouncer",
        _integer(0, 1),
        "1 where a pooler such as PgBouncer is between, which keeps no prepared statements.",
        "0",
    ),
    Setting(
        "default_plan",
        _choice(*PlanId),
        "What a guild has without paying; pro gives everything to all.",
        str(PlanId.FREE),
    ),
    Setting("discord_skus", _sold, "Discord's SKU of each plan, as premium=123,pro=456."),
    Setting("stripe_prices", _sold, "Stripe's price of each plan, as premium=price_1,pro=price_2."),
    Setting("stripe_secret_key", _text, "Stripe's secret key, for checkout and portal.", secret=True),
    Setting(
        "stripe_webhook_secrets",
        _secrets,
        "Signing secret of Stripe's webhook (whsec_...); two, separated by a comma, while it is rolled.",
        secret=True,
    ),
    Setting("stripe_api_url", _url("http", "https"), "Where Stripe's API answers.", "https://api.stripe.com"),
    Setting("stripe_return_url", _url("http", "https"), "Where Stripe sends people back to after checkout and portal."),
    Setting(
        "webhook_secrets",
        _secrets,
        "Secret with which deliveries to your endpoints are signed; two, separated by a comma, while one is replaced.",
        secret=True,
    ),
    Setting("s3_bucket", _text, "S3 bucket for exports, imports and old dead letters; without one there are none."),
    Setting(
        "dead_letters_days",
        _integer(1, 90),
        "Days after which dead letters are moved to the bucket, where there is one.",
        "30",
    ),
    Setting(
        "secrets",
        _text,
        "A secret of AWS Secrets Manager: a JSON object with further settings by their names, TONEARM_... and all.",
    ),
    Setting(
        "secrets_refresh",
        _integer(10, 86_400),
        "Seconds after which the secret is read again, so that what is rotated is known without a restart.",
        "300",
    ),
    Setting(
        "lavalink_nodes",
        _lavalink_nodes,
        "Lavalink >= 4.2.2: http://:password@host:port, several separated by commas, or dns+http:// for all addresses "
        "of a name; ?regions=frankfurt,rotterdam prefers a server for voice channels in these regions of Discord.",
        secret=True,
    ),
    Setting("shard_count", _integer(1, 16_384), "Number of shards; the same in every process, for good.", "1"),
    Setting(
        "rebalance_after",
        _integer(0, 86_400),
        "Seconds without a change among the voice nodes after which shards are spread evenly, one by one.",
        "30",
    ),
    Setting(
        "inline_reply_ms",
        _integer(0, 2_000),
        "How long an answer is waited for before the interaction is deferred, in ms; 0 defers always.",
        "800",
    ),
    Setting("host", _text, "Address on which a process listens.", "127.0.0.1"),
    Setting("port", _integer(0, 65_535), "Port on which a process listens; 0 takes a free one and prints it.", "8080"),
    Setting(
        "api_cors_origins",
        _origins,
        "Origins whose pages may use the API from a browser, as https://shop.example, separated by commas; without one "
        "none may.",
    ),
    Setting(
        "api_requests_per_minute",
        _integer(1, 1_000_000),
        "Requests that each key of the API may make in a minute.",
        "300",
    ),
    Setting("log_format", _choice("text", "json"), "Logs for people (text) or one JSON object a line (json).", "text"),
)

_EMPTY: dict[type, Any] = {int: 0, str: "", tuple: ()}


def load(needed: Iterable[str], environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process.

    ``needed`` names the fields that must be there; the others may be missing, and are then 0, empty or their default.

    Raises:
        SettingsError: one is missing or wrong; the sentence names it and never shows a secret.
    """
    environ = _with_secret(os.environ if environ is None else environ)
    needed = frozenset(needed)
    declared = {setting.name: setting for setting in DECLARED}
    assert needed <= declared.keys()
    values: dict[str, Any] = {}
    for name, setting in declared.items():
        text = environ.get(PREFIX + name.upper(), "").strip() or setting.default
        if not text and name in needed:
            raise SettingsError(f"{PREFIX}{name.upper()} is missing. {setting.help}")
        try:
            values[name] = setting.parse(text) if text else _empty(name)
        except ValueError as error:
            reason = "has a wrong form" if setting.secret and repr(text) in str(error) else str(error)
            raise SettingsError(f"{PREFIX}{name.upper()} {reason}. {setting.help}") from None
    return Settings(**values)


def _with_secret(environ: Mapping[str, str]) -> Mapping[str, str]:
    """``environ``, and what it does not say from the secret that it names."""
    id = environ.get(f"{PREFIX}SECRETS", "").strip()
    if not id:
        return environ
    try:
        from tonearm.aws.secrets import fetch_secret  # slow to import, so only where there is one
    except ModuleNotFoundError as error:
        raise SettingsError(f"{PREFIX}SECRETS needs the package {error.name}: install the extra aws.") from None
    found = fetch_secret(id)
    known = {PREFIX + setting.name.upper() for setting in DECLARED} - {f"{PREFIX}SECRETS"}
    if strange := sorted(found.keys() - known):
        raise SettingsError(f"{PREFIX}SECRETS holds {strange[0]!r}, which is no setting that a secret can have.")
    return {**found, **{name: value for name, value in environ.items() if value.strip()}}


def _empty(name: str) -> Any:
    kind = {field.name: field.type for field in msgspec.structs.fields(Settings)}[name]
    return _EMPTY[getattr(kind, "__origin__", kind)]


def explain(environ: Mapping[str, str] | None = None) -> list[tuple[str, str, str]]:
    """Name, value (secrets hidden) and meaning of every setting, for ``tonearm doctor``; SettingsError as of load()."""
    environ = _with_secret(os.environ if environ is None else environ)
    rows = []
    for setting in DECLARED:
        text = environ.get(PREFIX + setting.name.upper(), "").strip()
        shown = (
            "(set)"
            if text and setting.secret
            else text or (f"{setting.default} (default)" if setting.default else "(not set)")
        )
        rows.append((PREFIX + setting.name.upper(), shown, setting.help))
    return rows
