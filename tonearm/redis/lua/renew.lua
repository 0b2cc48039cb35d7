-- Keep a lease, or give it back (life 0) and tell those who wait for it, if it is still ours.
-- KEYS 1 lease  2 last sign of life   ARGV 1 token  2 life (ms)  3 channel  4 shard  5 life of the sign (ms)
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[2], string.format('%.0f', now), 'PX', ARGV[5])
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  redis.call('PUBLISH', ARGV[3], ARGV[4])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
