-- Who has had a trial: the SHA-256 of `guild:<id>`, `discord:<user>` or `stripe:<customer>`. A mark stays when all else
-- of a guild is deleted, so that leaving and coming back gives nobody another trial; it names nobody.
create table trial_marks (
    mark bytea primary key check (length(mark) = 32)
);
insert into trial_marks (mark)
    select sha256(convert_to('guild:' || guild_id, 'UTF8')) from grants where source = 'trial'
    union
    select sha256(convert_to(payer, 'UTF8')) from grants where source = 'trial' and payer is not null;

-- A trial can also be Stripe's, so it is no matter of one source any more.
drop index grants_one_trial_a_guild;
drop index grants_one_trial_a_payer;
