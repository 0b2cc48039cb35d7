-- One more request of a key, if its rate allows it (GCRA: the value is the theoretical arrival time of the next one).
-- KEYS 1 limit   ARGV 1 interval (ms)  2 burst
-- Returns: 1 or 0, how many more may come at once, ms until one more may come (0 now), ms until all may come again.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local early = arrival - now - interval * (burst - 1)
if early > 0 then return {0, 0, math.ceil(early), math.ceil(arrival - now)} end
arrival = arrival + interval
redis.call('SET', KEYS[1], arrival, 'PX', math.ceil(arrival - now))
local left = math.floor((interval * burst - (arrival - now)) / interval)
return {1, left, 0, math.ceil(arrival - now)}
