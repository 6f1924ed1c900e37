-- Count another try of an awaited effect; 0 when nobody awaits it.
--
-- KEYS 1 pending  2 pending_at  3 tries
-- ARGV 1 effect id  2 time
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return redis.call('HINCRBY', KEYS[3], ARGV[1], 1)
