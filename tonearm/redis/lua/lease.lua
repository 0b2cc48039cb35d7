-- Take a shard's lease if nobody holds it; the token only ever grows, also across a loss of data.
-- KEYS 1 lease  2 token  3 number of shards   ARGV 1 owner  2 life (ms)
if redis.call('EXISTS', KEYS[1]) == 1 or redis.call('GET', KEYS[3]) == 'moving' then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local token = math.max(tonumber(redis.call('GET', KEYS[2]) or 0) + 1, now)
local text = string.format('%.0f', token)
redis.call('SET', KEYS[2], text)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'token', text)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return text
