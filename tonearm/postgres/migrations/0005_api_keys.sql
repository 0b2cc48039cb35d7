-- Keys of the API: only a hash of each is kept. guild_ids null is for all guilds.
create table api_keys (
    id           text        primary key,
    hash         bytea       not null unique check (length(hash) = 32),
    hint         text        not null,
    name         text        not null,
    scopes       text[]      not null,
    guild_ids    bigint[],
    created_at   timestamptz not null,
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

-- What was answered to a request with an Idempotency-Key; status null while it is being done.
create table idempotency (
    key_id       text        not null,
    key          text        not null,
    fingerprint  bytea       not null,
    locked_until timestamptz not null,
    expires_at   timestamptz not null,
    status       smallint,
    headers      jsonb,
    body         bytea,
    primary key (key_id, key)
);
create index idempotency_expired on idempotency (expires_at);
