-- Errands that were done, with what was answered: who does one again, after a crash, gives the same answer.
create table errands_done (
    id      text        primary key,
    answer  bytea       not null,
    done_at timestamptz not null
);
create index errands_done_old on errands_done (done_at);

-- Jobs that were given up, kept when the memory that held them has forgotten them. The letter has no token.
create table dead_jobs (
    id          text        not null,
    given_up_at timestamptz not null,
    guild_id    bigint      not null,
    reason      text        not null,
    letter      bytea       not null,
    primary key (id, given_up_at)
);
create index dead_jobs_old on dead_jobs (given_up_at);

-- Guilds that removed the bot. What they have saved is deleted a while later, unless it is invited again.
create table guild_departures (
    guild_id bigint      primary key,
    left_at  timestamptz not null
);
create index guild_departures_old on guild_departures (left_at);
