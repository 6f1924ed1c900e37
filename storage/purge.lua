-- A machine leaves in whatever state it is, with all that waits for it; its topic is told.
--
-- KEYS 1 machine  2 topic position  3 topic log  4 topic live  5 topic finished  6 finished
--      7 timers  8 timer_events  9 pending  10 pending_at  11 tries  12, 13 event ids  14 era
-- ARGV 1 revision  2 entry  3 machine id  4 epoch for a new topic  5 era where none is settled
--      6 channel  7 log length  8 number of its timers, each: member  … awaited effects
if string.match(redis.call('GETRANGE', KEYS[1], 0, 15), '^%d+') ~= ARGV[1] then return 0 end
local position = redis.call('HMGET', KEYS[2], 'epoch', 'offset')
local epoch = position[1] or ARGV[4]
local offset = string.format('%.0f', tonumber(position[2] or '0') + 1)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[7], '0-' .. offset, 'entry', ARGV[2])
redis.call('HSET', KEYS[2], 'epoch', epoch, 'offset', offset)
redis.call('HINCRBY', KEYS[2], 'gone', 1)
redis.call('DEL', KEYS[1], KEYS[12], KEYS[13])
redis.call('SREM', KEYS[4], ARGV[3])
redis.call('ZREM', KEYS[5], ARGV[3])
redis.call('ZREM', KEYS[6], ARGV[3])
local timers = tonumber(ARGV[8])
for i = 9, 8 + timers do
  redis.call('ZREM', KEYS[7], ARGV[i])
  redis.call('HDEL', KEYS[8], ARGV[i])
end
for i = 9 + timers, #ARGV do
  redis.call('HDEL', KEYS[9], ARGV[i])
  redis.call('ZREM', KEYS[10], ARGV[i])
  redis.call('HDEL', KEYS[11], ARGV[i])
end
local era = redis.call('GET', KEYS[14]) or ARGV[5]
redis.call('PUBLISH', ARGV[6],
  '{"epoch":"' .. epoch .. '.' .. era .. '","offset":' .. offset .. ',' .. string.sub(ARGV[2], 2))
return 1
