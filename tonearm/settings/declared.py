"""Each setting: what a process knows of it, its name, its form, and what it means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tonearm.premium.plans import PlanId
from tonearm.settings.parsing import (
    LavalinkNode,
    choice,
    integer,
    lavalink_nodes,
    origins,
    public_keys,
    public_url,
    secrets,
    sold,
    text,
    url,
)


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
    traces: int

    def __repr__(self) -> str:
        """Without the values: some are secret, and this may end up in a log."""
        return "Settings(...)"


class Setting(msgspec.Struct, frozen=True):
    """One declared setting. ``parse`` raises ``ValueError`` with what is wrong, as the rest of a sentence."""

    name: str
    parse: Callable[[str], Any]
    help: str
    default: str = ""
    secret: bool = False


DECLARED: tuple[Setting, ...] = (
    Setting(
        "discord_application_id",
        integer(1, 2**63 - 1),
        "Application id, from Discord's developer portal, *General Information*.",
    ),
    Setting(
        "discord_public_key",
        public_keys,
        "Public key with which Discord's requests are verified; several, separated by commas, while it is rotated.",
    ),
    Setting("discord_bot_token", text, "Bot token, from the developer portal, *Bot*.", secret=True),
    Setting(
        "discord_api_url", url("http", "https"), "Where Discord's REST API answers.", "https://discord.com/api/v10"
    ),
    Setting("discord_gateway_url", url("ws", "wss"), "Where Discord's gateway answers.", "wss://gateway.discord.gg"),
    Setting(
        "public_url",
        public_url,
        "Where Discord reaches the HTTP side, as https://music.example; `tonearm setup` tells Discord, and looks.",
    ),
    Setting(
        "redis_url",
        url("redis", "rediss", "redis+cluster", "rediss+cluster", "unix"),
        "Redis >= 7.2 or Valkey >= 8, with the policy noeviction: redis://, redis+cluster:// or unix://; with TLS "
        "rediss:// or rediss+cluster://, and ?ssl_ca_certs=/path/to/ca.pem where the certificate is your own CA's.",
        secret=True,
    ),
    Setting(
        "database_url", url("postgresql", "postgres"), "PostgreSQL >= 15: postgresql://user@host/name.", secret=True
    ),
    Setting(
        "database_read_url",
        url("postgresql", "postgres"),
        "A replica of the database, for what may be a moment old; without one the database itself is read.",
        secret=True,
    ),
    Setting(
        "database_pool_size",
        integer(0, 1_000),
        "Connections to PostgreSQL that a process may open; 0 shares the server's limit among the processes.",
        "0",
    ),
    Setting("database_max_connections", integer(11, 100_000), "What PostgreSQL's max_connections is set to.", "100"),
    Setting("database_processes", integer(1, 10_000), "How many processes share PostgreSQL's limit at most.", "8"),
    Setting(
        "database_pgbouncer",
        integer(0, 1),
        "1 where a pooler such as PgBouncer is between, which keeps no prepared statements.",
        "0",
    ),
    Setting(
        "default_plan",
        choice(*PlanId),
        "What a guild has without paying; pro gives everything to all.",
        str(PlanId.FREE),
    ),
    Setting("discord_skus", sold, "Discord's SKU of each plan, as premium=123,pro=456."),
    Setting("stripe_prices", sold, "Stripe's price of each plan, as premium=price_1,pro=price_2."),
    Setting("stripe_secret_key", text, "Stripe's secret key, for checkout and portal.", secret=True),
    Setting(
        "stripe_webhook_secrets",
        secrets,
        "Signing secret of Stripe's webhook (whsec_...); two, separated by a comma, while it is rolled.",
        secret=True,
    ),
    Setting("stripe_api_url", url("http", "https"), "Where Stripe's API answers.", "https://api.stripe.com"),
    Setting("stripe_return_url", url("http", "https"), "Where Stripe sends people back to after checkout and portal."),
    Setting(
        "webhook_secrets",
        secrets,
        "Secret with which deliveries to your endpoints are signed; two, separated by a comma, while one is replaced.",
        secret=True,
    ),
    Setting("s3_bucket", text, "S3 bucket for exports, imports and old dead letters; without one there are none."),
    Setting(
        "dead_letters_days",
        integer(1, 90),
        "Days after which dead letters are moved to the bucket, where there is one.",
        "30",
    ),
    Setting(
        "secrets",
        text,
        "A secret of AWS Secrets Manager: a JSON object with further settings by their names, TONEARM_... and all.",
    ),
    Setting(
        "secrets_refresh",
        integer(10, 86_400),
        "Seconds after which the secret is read again, so that what is rotated is known without a restart.",
        "300",
    ),
    Setting(
        "lavalink_nodes",
        lavalink_nodes,
        "Lavalink >= 4.2.2: http://:password@host:port, several separated by commas, or dns+http:// for all addresses "
        "of a name; ?regions=frankfurt,rotterdam prefers a server for voice channels in these regions of Discord.",
        secret=True,
    ),
    Setting("shard_count", integer(1, 16_384), "Number of shards; the same in every process, for good.", "1"),
    Setting(
        "rebalance_after",
        integer(0, 86_400),
        "Seconds without a change among the voice nodes after which shards are spread evenly, one by one.",
        "30",
    ),
    Setting(
        "inline_reply_ms",
        integer(0, 2_000),
        "How long an answer is waited for before the interaction is deferred, in ms; 0 defers always.",
        "800",
    ),
    Setting("host", text, "Address on which a process listens.", "127.0.0.1"),
    Setting("port", integer(0, 65_535), "Port on which a process listens; 0 takes a free one and prints it.", "8080"),
    Setting(
        "api_cors_origins",
        origins,
        "Origins whose pages may use the API from a browser, as https://shop.example, separated by commas; without one "
        "none may.",
    ),
    Setting(
        "api_requests_per_minute",
        integer(1, 1_000_000),
        "Requests that each key of the API may make in a minute.",
        "300",
    ),
    Setting("log_format", choice("text", "json"), "Logs for people (text) or one JSON object a line (json).", "text"),
    Setting(
        "traces",
        integer(0, 1),
        "1 sends traces by OTLP over HTTP, where OpenTelemetry's own variables say (OTEL_EXPORTER_OTLP_ENDPOINT, "
        "OTEL_TRACES_SAMPLER ...); it needs the extra traces. Not on AWS Lambda.",
        "0",
    ),
)
