-- Let a guild's state run out (life > 0, in ms), or keep it after all (life 0).
-- KEYS 1 lease, then the guild's keys   ARGV 1 token  2 life
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
for i = 2, #KEYS do
  if ARGV[2] == '0' then redis.call('PERSIST', KEYS[i]) else redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
end
return 1
