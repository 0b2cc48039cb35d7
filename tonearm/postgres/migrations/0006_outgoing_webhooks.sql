-- Where the operator is told of what happened. An empty list of types is all of them.
create table webhook_endpoints (
    id          text        primary key,
    url         text        not null,
    types       text[]      not null default '{}',
    created_at  timestamptz not null,
    disabled_at timestamptz
);

-- What is to be told to whom. The id is the same at every attempt; the body is signed as it is. A letter that was given
-- up has dead_at.
create table webhook_deliveries (
    id           text        primary key,
    endpoint_id  text        not null references webhook_endpoints (id) on delete cascade,
    event_id     text        not null,
    type         text        not null,
    guild_id     bigint,
    body         bytea       not null,
    created_at   timestamptz not null,
    next_at      timestamptz not null,
    attempts     integer     not null default 0,
    delivered_at timestamptz,
    dead_at      timestamptz,
    error        text,
    unique (endpoint_id, event_id)
);
create index webhook_deliveries_due on webhook_deliveries (next_at) where delivered_at is null and dead_at is null;
create index webhook_deliveries_dead on webhook_deliveries (dead_at, id) where dead_at is not null;
