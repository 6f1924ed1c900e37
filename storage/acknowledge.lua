-- An effect has left the outbox.
--
-- KEYS 1 outbox
-- ARGV 1 group  2 entry
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return redis.call('XDEL', KEYS[1], ARGV[2])
