-- What a guild has set. A guild without a row has the defaults.
create table guild_settings (
    guild_id       bigint      primary key,
    default_volume smallint    not null check (default_volume between 0 and 100),
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now()
);
