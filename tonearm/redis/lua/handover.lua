-- Hand a job over to the owner of its shard: once, if all may be, else say why not.
-- KEYS 1 record  2 jobs  3 lease  4 waiting  5 guild limit  6 user limit  7 player  8 number of shards
-- ARGV 1 job id  2 job  3 window (ms; 0: deferred from the start)  4 record's life (ms)
--      5 guild interval (ms)  6 guild burst  7 user interval (ms)  8 user burst  9 most waiting  10 most in the stream
--      11 number of shards  12 guild
local known = redis.call('HMGET', KEYS[1], 'deferred', 'answer')
if known[1] or redis.call('EXISTS', KEYS[1]) == 1 then
  -- Nobody can say which of the two responses Discord takes: only an edit surely shows the answer.
  redis.call('HSET', KEYS[1], 'again', '1')
  return {'seen', known[2] or '', known[1] or ''}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- GCRA: a key holds the theoretical arrival time of the next call that would be just in time.
local function wait(key, interval, burst)
  local arrival = math.max(tonumber(redis.call('GET', key) or now), now)
  local early = arrival - now - interval * (burst - 1)
  if early > 0 then return early end
  return 0, arrival + interval
end

local user_wait, user_next = wait(KEYS[6], tonumber(ARGV[7]), tonumber(ARGV[8]))
if user_wait > 0 then return {'user', user_wait} end
local guild_wait, guild_next = wait(KEYS[5], tonumber(ARGV[5]), tonumber(ARGV[6]))
if guild_wait > 0 then return {'guild', guild_wait} end

if redis.call('SCARD', KEYS[4]) >= tonumber(ARGV[9]) then return {'waiting'} end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[10]) then return {'busy'} end
if redis.call('EXISTS', KEYS[3]) == 0 then return {'ownerless'} end
-- The sender knows an older number of shards: this is not the guild's.
local count = redis.call('GET', KEYS[8])
if count and count ~= ARGV[11] then return {'ownerless'} end

redis.call('SET', KEYS[6], user_next, 'PX', math.ceil(user_next - now))
redis.call('SET', KEYS[5], guild_next, 'PX', math.ceil(guild_next - now))
local window = tonumber(ARGV[3])
redis.call('HSET', KEYS[1], 'by', now + window, 'deferred', window == 0 and '1' or '', 'guild', ARGV[12])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('PEXPIRE', KEYS[4], ARGV[4])
redis.call('XADD', KEYS[2], '*', 'j', ARGV[2], 'p', redis.call('HGET', KEYS[7], 'play') or '')
return {'queued'}
