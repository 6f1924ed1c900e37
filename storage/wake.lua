-- A machine that has rested comes back as it was, and its topic is told; nothing if it is there.
--
-- KEYS as of rest.lua
-- ARGV 1 revision  2 entry  3 machine id  4 epoch for a new topic  5 era where none is settled
--      6 channel  7 log length  8 machine
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
-- It may have woken and gone to rest again since the caller read it: what it became then is another.
local left = redis.call('GET', KEYS[6])
if left and left ~= ARGV[1] then return 0 end
local position = redis.call('HMGET', KEYS[2], 'epoch', 'offset')
local epoch = position[1] or ARGV[4]
local offset = string.format('%.0f', tonumber(position[2] or '0') + 1)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[7], '0-' .. offset, 'entry', ARGV[2])
redis.call('HSET', KEYS[2], 'epoch', epoch, 'offset', offset)
redis.call('SET', KEYS[1], ARGV[8])
redis.call('SADD', KEYS[4], ARGV[3])
redis.call('DEL', KEYS[6])
local era = redis.call('GET', KEYS[5]) or ARGV[5]
redis.call('PUBLISH', ARGV[6],
  '{"epoch":"' .. epoch .. '.' .. era .. '","offset":' .. offset .. ',' .. string.sub(ARGV[2], 2))
return 1
