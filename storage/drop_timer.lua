-- Forget a timer, unless it was set anew since.
--
-- KEYS 1 timers  2 timer_events
-- ARGV 1 member  2 when it was due
local due = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not due or tonumber(due) ~= tonumber(ARGV[2]) then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
