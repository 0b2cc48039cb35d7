-- What is known of a key of the API, as a cache of the database: kept, or revoked.
-- KEYS 1 key
-- ARGV 1 'keep' or 'revoke'  2 life (ms)  3 what is known
--      keep: 4 what stands there when it was revoked
--      revoke: 4 channel  5 message
if ARGV[1] == 'keep' and redis.call('GET', KEYS[1]) == ARGV[4] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
if ARGV[1] == 'revoke' then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return 1
