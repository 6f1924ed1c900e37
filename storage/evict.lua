-- A finished machine leaves, and its topic is told.
--
-- KEYS 1 revisions  2 snapshots  3 topic position  4 topic log  5 topic finished  6 recent
--      7 recent of the kind  8 finished  9 timers  10 timer_events  11 era
-- ARGV 1 revision  2 entry  3 machine  4 epoch for a new topic  5 era where none is settled
--      6 channel  7 log length  8… members of its timers
if redis.call('HGET', KEYS[1], ARGV[3]) ~= ARGV[1] then return 0 end
local position = redis.call('HMGET', KEYS[3], 'epoch', 'offset')
local epoch = position[1] or ARGV[4]
local offset = string.format('%.0f', tonumber(position[2] or '0') + 1)
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[7], '0-' .. offset, 'entry', ARGV[2])
redis.call('HSET', KEYS[3], 'epoch', epoch, 'offset', offset)
redis.call('HINCRBY', KEYS[3], 'gone', 1)
redis.call('HDEL', KEYS[1], ARGV[3])
redis.call('HDEL', KEYS[2], ARGV[3])
for i = 5, 8 do redis.call('ZREM', KEYS[i], ARGV[3]) end
for i = 8, #ARGV do
  redis.call('ZREM', KEYS[9], ARGV[i])
  redis.call('HDEL', KEYS[10], ARGV[i])
end
local era = redis.call('GET', KEYS[11]) or ARGV[5]
redis.call('PUBLISH', ARGV[6],
  '{"epoch":"' .. epoch .. '.' .. era .. '","offset":' .. offset .. ',' .. string.sub(ARGV[2], 2))
return 1
