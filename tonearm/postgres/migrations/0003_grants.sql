-- What happened to the grants of guilds. Rows are only ever added; a grant is what its events made of it.
create table subscription_events (
    seq         bigint      generated always as identity primary key,
    id          text        not null,
    grant_id    text        not null,
    guild_id    bigint      not null,
    kind        text        not null,
    at          timestamptz not null,
    event       jsonb       not null,
    recorded_at timestamptz not null default now(),
    unique (grant_id, id)
);
create index subscription_events_of_guild on subscription_events (guild_id, seq);

create function tonearm_only_added() returns trigger language plpgsql as $$
begin
    -- Who deletes all of a guild on request says so: set local tonearm.forget = 'on'.
    if tg_op = 'DELETE' and current_setting('tonearm.forget', true) = 'on' then
        return old;
    end if;
    raise exception 'rows of % are only ever added', tg_table_name using errcode = 'restrict_violation';
end
$$;
create trigger subscription_events_only_added before update or delete on subscription_events
    for each row execute function tonearm_only_added();

-- The grants as their events made them. valid_until is the end with its grace; null is no end.
create table grants (
    id            text        primary key,
    guild_id      bigint      not null,
    source        text        not null check (source in ('trial', 'discord', 'stripe', 'manual')),
    ref           text        not null,
    plan          text        not null check (plan in ('premium', 'pro')),
    state         text        not null check (state in ('none', 'trialing', 'active', 'past_due', 'canceling', 'expired')),
    starts_at     timestamptz not null,
    ends_at       timestamptz,
    grace_seconds integer     not null check (grace_seconds >= 0),
    valid_until   timestamptz,
    canceled_at   timestamptz,
    next_plan     text        check (next_plan in ('premium', 'pro')),
    payer         text,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);
create index grants_of_guild on grants (guild_id);
create index grants_of_source on grants (source, id);
create index grants_running_out on grants (valid_until) where state <> 'expired';
create unique index grants_one_trial_a_guild on grants (guild_id) where source = 'trial';
create unique index grants_one_trial_a_payer on grants (payer) where source = 'trial';
