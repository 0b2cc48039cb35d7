-- What came in from Discord and Stripe, kept before it is acknowledged, and acted on afterwards. The id is the SHA-256 of
-- the raw body, so that what is sent again is kept once.
create table webhook_receipts (
    id          text        primary key check (length(id) = 64),
    source      text        not null check (source in ('discord', 'stripe')),
    body        bytea       not null,
    received_at timestamptz not null,
    next_at     timestamptz not null,
    attempts    integer     not null default 0,
    done_at     timestamptz,
    error       text
);
create index webhook_receipts_due on webhook_receipts (next_at) where done_at is null;
