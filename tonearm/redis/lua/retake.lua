-- Take a lease again that ran out while Redis was away, unless somebody else has had it since, or data was lost.
-- KEYS 1 lease  2 token  3 number of shards   ARGV 1 owner  2 life (ms)  3 token that we had
local holder = redis.call('HMGET', KEYS[1], 'token', 'owner')
-- Ours already: the answer to this question was lost. Who asks counts its life from now on.
if holder[1] and holder[2] == ARGV[1] and holder[1] == redis.call('GET', KEYS[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return holder[1]
end
if holder[1] or redis.call('GET', KEYS[2]) ~= ARGV[3] then return false end
if redis.call('GET', KEYS[3]) == 'moving' then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local text = string.format('%.0f', math.max(tonumber(ARGV[3]) + 1, now))
redis.call('SET', KEYS[2], text)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'token', text)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return text
