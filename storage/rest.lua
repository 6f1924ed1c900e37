-- A machine that awaits nothing leaves until something happens to it, and its topic is told.
--
-- KEYS 1 machine  2 topic position  3 topic log  4 topic live  5 era  6 resting
-- ARGV 1 revision  2 entry  3 machine id  4 epoch for a new topic  5 era where none is settled
--      6 channel  7 log length  8 seconds to remember at which revision it left
if string.match(redis.call('GETRANGE', KEYS[1], 0, 15), '^%d+') ~= ARGV[1] then return 0 end
local position = redis.call('HMGET', KEYS[2], 'epoch', 'offset')
local epoch = position[1] or ARGV[4]
local offset = string.format('%.0f', tonumber(position[2] or '0') + 1)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[7], '0-' .. offset, 'entry', ARGV[2])
redis.call('HSET', KEYS[2], 'epoch', epoch, 'offset', offset)
redis.call('HINCRBY', KEYS[2], 'gone', 1)
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[4], ARGV[3])
redis.call('SET', KEYS[6], ARGV[1], 'EX', ARGV[8])
local era = redis.call('GET', KEYS[5]) or ARGV[5]
redis.call('PUBLISH', ARGV[6],
  '{"epoch":"' .. epoch .. '.' .. era .. '","offset":' .. offset .. ',' .. string.sub(ARGV[2], 2))
return 1
