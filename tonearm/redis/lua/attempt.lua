-- A job that was taken over is about to be tried: how often it has been since, and whether it is done. Not the owner:
-- nothing happens.
-- KEYS 1 lease  2 record   ARGV 1 token  2 record's life (ms), where it has none
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return false end
local tries = redis.call('HINCRBY', KEYS[2], 'tries', 1)
redis.call('PEXPIRE', KEYS[2], ARGV[2], 'NX')
return {tries, redis.call('HEXISTS', KEYS[2], 'done')}
