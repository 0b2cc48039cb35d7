-- May an IDENTIFY of this bucket be sent now? Returns 0, and then the next one may only after the distance; else the
-- wait in ms. A turn that is not used costs its own distance and nothing more.
-- KEYS 1 bucket   ARGV 1 distance (ms)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wait = math.min(tonumber(redis.call('GET', KEYS[1]) or 0) + ARGV[1] - now, tonumber(ARGV[1]))
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', now), 'PX', ARGV[1])
return 0
