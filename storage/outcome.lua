-- The first outcome of an event id and the configuration it stands for, or false.
--
-- KEYS 1 event ids of even days  2 event ids of odd days  3 configurations
-- ARGV 1 digest of the event id
local first = redis.call('HGET', KEYS[1], ARGV[1]) or redis.call('HGET', KEYS[2], ARGV[1])
if not first then return false end
local kept = string.match(first, '^%d+ %d+ %*(.*)$')
return {first, kept and redis.call('HGET', KEYS[3], kept)}
