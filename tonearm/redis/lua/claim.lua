-- The window of an interaction is over: take its answer if there is one, else it is deferred from now on.
-- KEYS 1 record
local answer = redis.call('HGET', KEYS[1], 'answer')
if answer then return answer end
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'deferred', '1') end
return false
