-- One machine leaves the hash of all for a string of its own.
--
-- KEYS 1 snapshots  2 recent of its kind  3 machine
-- ARGV 1 machine id  2 packed
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('SET', KEYS[3], ARGV[2])
redis.call('DEL', KEYS[2])
return redis.call('HDEL', KEYS[1], ARGV[1])
