-- More of what a guild sets: louder than a track's own volume, when the bot leaves, and what it tells. The version counts
-- the changes.
alter table guild_settings drop constraint guild_settings_default_volume_check;
alter table guild_settings
    add constraint guild_settings_default_volume_check check (default_volume between 0 and 200),
    add column alone_seconds integer not null default 300 check (alone_seconds between 0 and 86400),
    add column idle_seconds  integer not null default 900 check (idle_seconds between 0 and 86400),
    add column always_on     boolean not null default false,
    add column announcements boolean not null default true,
    add column version       bigint  not null default 1;
