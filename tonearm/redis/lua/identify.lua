-- Reserve the time of an IDENTIFY: the earliest one that keeps the distance to the one before. Returns the wait in ms.
-- KEYS 1 bucket   ARGV 1 distance (ms)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0) + ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', at), 'PX', string.format('%.0f', at - now + ARGV[1]))
return at - now
