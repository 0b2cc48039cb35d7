-- Close a shard, so that nobody can take it; or open it with what was made ready for it: once.
-- KEYS 1 number of shards  2 lease, then pairs: what there is, and what is to take its place
-- ARGV 1 'moving' to close, else the number of shards
if ARGV[1] == 'moving' then
  if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
  redis.call('SET', KEYS[1], ARGV[1])
  return 1
end
if redis.call('GET', KEYS[1]) ~= 'moving' then return 1 end
for pair = 3, #KEYS, 2 do
  redis.call('DEL', KEYS[pair])
  if redis.call('EXISTS', KEYS[pair + 1]) == 1 then redis.call('RENAME', KEYS[pair + 1], KEYS[pair]) end
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
