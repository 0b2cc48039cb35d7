-- A voice node says that it is there, and hears who else is. Whoever was silent for a life is forgotten.
-- KEYS 1 beats  2 about   ARGV 1 name  2 about  3 life (ms)  4 channel  5 '1' to tell everybody
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[3]), 'BYSCORE')) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('HDEL', KEYS[2], name)
end
local new = redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
if new == 1 or ARGV[5] == '1' then redis.call('PUBLISH', ARGV[4], ARGV[1]) end
local found = {}
local beats = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #beats, 2 do
  found[#found + 1] = redis.call('HGET', KEYS[2], beats[i])
  found[#found + 1] = now - beats[i + 1]
end
return found
