-- Hand a dead letter's job over again under another id, and take the letter away: once, however often it is asked for.
-- KEYS 1 dead letters  2 jobs  3 lease  4 record (of the new id)  5 waiting  6 player
-- ARGV 1 letter's entry  2 new id  3 job  4 record's life (ms)  5 guild
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then return 'gone' end
if redis.call('EXISTS', KEYS[3]) == 0 then return 'ownerless' end
if redis.call('EXISTS', KEYS[4]) == 0 then
  redis.call('HSET', KEYS[4], 'by', '0', 'guild', ARGV[5])
  redis.call('PEXPIRE', KEYS[4], ARGV[4])
  redis.call('SADD', KEYS[5], ARGV[2])
  redis.call('PEXPIRE', KEYS[5], ARGV[4])
  redis.call('XADD', KEYS[2], '*', 'j', ARGV[3], 'p', redis.call('HGET', KEYS[6], 'play') or '')
end
redis.call('XDEL', KEYS[1], ARGV[1])
return 'queued'
