-- What a guild plays under, as a cache of the database: kept, or to be asked for again.
-- KEYS 1 terms
-- ARGV 1 life (ms)  2 'keep' or 'forget'
--      keep: 3 generation that was seen before the database was asked  4 time  5 terms
--      forget: 3 channel  4 guild
if ARGV[2] == 'keep' then
  -- What was read before a change must not be kept after it.
  if (redis.call('HGET', KEYS[1], 'generation') or '0') ~= ARGV[3] then return 0 end
  redis.call('HSET', KEYS[1], 'at', ARGV[4], 'terms', ARGV[5])
else
  redis.call('HINCRBY', KEYS[1], 'generation', 1)
  redis.call('HSET', KEYS[1], 'at', '0')
  redis.call('PUBLISH', ARGV[3], ARGV[4])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
