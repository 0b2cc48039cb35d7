-- The owner of a shard has delivered an answer, or will try again later. Not the owner: nothing happens.
-- KEYS 1 lease  2 record  3 outbox
-- ARGV 1 token  2 job  3 when it is tried again (ms; '' when it was delivered)  4 until when it is kept then (ms)
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
if ARGV[3] == '' then
  redis.call('ZREM', KEYS[3], ARGV[2])
  redis.call('HDEL', KEYS[2], 'reply')
else
  redis.call('ZADD', KEYS[3], 'XX', ARGV[3], ARGV[2])
  redis.call('PEXPIREAT', KEYS[2], ARGV[4], 'GT')
end
return 1
