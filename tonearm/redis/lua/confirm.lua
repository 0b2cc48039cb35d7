-- The response of an interaction was written with its answer in it: nothing is owed any more, and the token is
-- forgotten. Where it was deferred, or delivered more than once, it stays owed: what another response showed, only an
-- edit can put right.
-- KEYS 1 record  2 outbox   ARGV 1 job
local other = redis.call('HMGET', KEYS[1], 'deferred', 'again')
if other[1] == '1' or other[2] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], 'reply')
return 1
