-- One step of a guild, all of it or nothing: state, queue, history, log, answer, acknowledgement.
-- KEYS 1 lease  2 record  3 jobs  4 waiting  5 player  6 queue  7 entries  8 history  9 log  10 outbox
--      11 active guilds  12 dead letters  13 list for the answer
-- ARGV 1 token  2 id  3 stream entry ('' for an event)  4 state ('' to keep)  5 play  6 log entry ('' for none)
--      7 played ('' for none)  8 clear  9 take first  10 prepended  11 appended  12 answer ('' for none)
--      13 reply ('' for none: then the answer is a result, which nobody is owed)  14 channel ('list': the list)  15 record's life (ms)  16 kept history  17 kept log
--      18 grace before an unconfirmed answer is edited in (ms)  19 guild  20 should be in a channel  21 dead letter ('' for none)
--      22 kept dead letters  23 forget the guild, then id and entry of each prepended and appended one
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return {'lost'} end

local function finish()
  if ARGV[3] ~= '' then
    redis.call('XACK', KEYS[3], 'voice', ARGV[3])
    redis.call('XDEL', KEYS[3], ARGV[3])
    redis.call('SREM', KEYS[4], ARGV[2])
  end
end

local function tell()
  if ARGV[14] == 'list' then
    redis.call('RPUSH', KEYS[13], ARGV[12])
    redis.call('PEXPIRE', KEYS[13], 10000)
  elseif ARGV[14] ~= '' then
    redis.call('PUBLISH', ARGV[14], ARGV[2] .. ' ' .. ARGV[12])
  end
end

local record = redis.call('HMGET', KEYS[2], 'done', 'deferred', 'by')
if record[1] then
  finish()
  return {'done'}
end

if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[5], 'state', ARGV[4], 'play', ARGV[5])
  redis.call(ARGV[20] == '1' and 'SADD' or 'SREM', KEYS[11], ARGV[19])
end

if ARGV[8] == '1' then redis.call('DEL', KEYS[6], KEYS[7]) end
if ARGV[9] == '1' then
  local first = redis.call('ZPOPMIN', KEYS[6])
  if first[1] then redis.call('HDEL', KEYS[7], first[1]) end
end
local next_arg = 24
local function add(count, edge, step)
  if count == 0 then return end
  local at = redis.call('ZRANGE', KEYS[6], edge, edge, 'WITHSCORES')
  local score = at[2] and tonumber(at[2]) + step or 0
  -- Prepended ones keep their order in front of the first.
  if step < 0 then score = score - (count - 1) end
  for _ = 1, count do
    redis.call('ZADD', KEYS[6], score, ARGV[next_arg])
    redis.call('HSET', KEYS[7], ARGV[next_arg], ARGV[next_arg + 1])
    next_arg = next_arg + 2
    score = score + 1
  end
end
add(tonumber(ARGV[10]), 0, -1)
add(tonumber(ARGV[11]), -1, 1)

if ARGV[7] ~= '' then
  if redis.call('LPUSH', KEYS[8], ARGV[7]) > tonumber(ARGV[16]) then redis.call('RPOP', KEYS[8]) end
end
if ARGV[6] ~= '' then
  redis.call('RPUSH', KEYS[9], ARGV[6])
  redis.call('LTRIM', KEYS[9], -ARGV[17], -1)
end

if ARGV[23] == '1' then redis.call('DEL', KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]) end
if ARGV[21] ~= '' then redis.call('XADD', KEYS[12], 'MAXLEN', ARGV[22], '*', 'd', ARGV[21]) end

redis.call('HSET', KEYS[2], 'done', '1')
if ARGV[12] ~= '' and ARGV[13] == '' then
  redis.call('HSET', KEYS[2], 'answer', ARGV[12])
  tell()
elseif ARGV[12] ~= '' then
  redis.call('HSET', KEYS[2], 'answer', ARGV[12], 'reply', ARGV[13])
  if record[2] == '1' then
    local time = redis.call('TIME')
    redis.call('ZADD', KEYS[10], time[1] * 1000 + ARGV[18], ARGV[2])
  else
    redis.call('ZADD', KEYS[10], (record[3] or 0) + ARGV[18], ARGV[2])
    tell()
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[15])
finish()

local first = redis.call('ZRANGE', KEYS[6], 0, 0)
return {'ok', redis.call('ZCARD', KEYS[6]), first[1] and redis.call('HGET', KEYS[7], first[1]) or '', record[2] or ''}
