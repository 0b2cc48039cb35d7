-- Save what the next owner of a shard needs to go on without a gap; all of it, or nothing.
-- KEYS 1 lease  2 sessions  3 guilds  4 voices
-- ARGV 1 token  2 gateway ('' to keep)  3 sessions' fields  4 guilds' fields  5 voices' fields,
--      then field and value of each; an empty value removes the field
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
local at = 6
local function write(key, count)
  for _ = 1, count do
    if ARGV[at + 1] == '' then redis.call('HDEL', key, ARGV[at]) else redis.call('HSET', key, ARGV[at], ARGV[at + 1]) end
    at = at + 2
  end
end
write(KEYS[2], tonumber(ARGV[3]))
write(KEYS[3], tonumber(ARGV[4]))
write(KEYS[4], tonumber(ARGV[5]))
-- The sequence last: what it stands for is written by now.
if ARGV[2] ~= '' then redis.call('HSET', KEYS[2], 'gateway', ARGV[2]) end
return 1
