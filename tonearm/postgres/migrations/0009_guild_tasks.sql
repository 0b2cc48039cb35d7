-- What is to be done with a guild's data, and what came of it. Tasks of one guild are done one after another, in the order
-- in which they were asked for. The work has no data of the guild's, but where it lies.
create table guild_tasks (
    seq          bigint      generated always as identity primary key,
    id           text        not null unique,
    kind         text        not null check (kind in ('export', 'import', 'deletion')),
    guild_id     bigint      not null,
    state        text        not null check (state in ('waiting', 'queued', 'done', 'failed', 'expired')),
    work         jsonb       not null,
    requested_at timestamptz not null,
    next_at      timestamptz not null,
    attempts     integer     not null default 0,
    finished_at  timestamptz,
    expires_at   timestamptz,
    detail       text
);
create index guild_tasks_of_guild on guild_tasks (guild_id, kind, seq);
create index guild_tasks_due on guild_tasks (next_at) where state = 'queued';
create index guild_tasks_open on guild_tasks (guild_id, seq) where state = 'queued';
create index guild_tasks_expiring on guild_tasks (expires_at) where state in ('waiting', 'done');
create index guild_tasks_old on guild_tasks (finished_at) where finished_at is not null;
