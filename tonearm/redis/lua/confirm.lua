-- The response of an interaction was written with its answer in it: nothing is owed any more, and the token is
-- forgotten. Where another delivery of it was deferred, it stays owed: only the edit can show it there.
-- KEYS 1 record  2 outbox   ARGV 1 job
if redis.call('HGET', KEYS[1], 'deferred') == '1' then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], 'reply')
return 1
