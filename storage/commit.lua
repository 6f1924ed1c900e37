-- One step of one machine, wholly or not at all.
--
-- KEYS 1 first outcome of the event id   2 revisions     3 snapshots      4 topic position
--      5 topic log      6 topic live     7 topic finished 8 recent        9 recent of the kind
--     10 finished      11 topics        12 outbox        13 pending      14 pending_at
--     15 tries         16 timers        17 timer_events  18 era           19 journal
-- ARGV 1 revision before  2 revision after  3 snapshot  4 entry  5 configuration  6 machine  7 topic
--      8 time  9 '1' if ended  10 epoch for a new topic  11 era where none is settled  12 channel
--     13 seconds to remember the event id  14 log length  15 timer that fired, or ''  16 when it was due
--     17 number of effects, each: id, effect, '1' if awaited
--      … number of settled effects, each: id
--      … number of timers, each: member, due or '', event
local first = redis.call('GET', KEYS[1])
if first then return {'repeated', first} end
local revision = redis.call('HGET', KEYS[2], ARGV[6]) or '0'
if revision ~= ARGV[1] then return {'conflict', revision} end
if ARGV[15] ~= '' then
  local due = redis.call('ZSCORE', KEYS[16], ARGV[15])
  if not due or tonumber(due) ~= tonumber(ARGV[16]) then return {'timer'} end
end

local position = redis.call('HMGET', KEYS[4], 'epoch', 'offset')
local epoch = position[1] or ARGV[10]
local offset = string.format('%.0f', tonumber(position[2] or '0') + 1)
-- The one write that Redis might refuse (a log ahead of its position), so it goes first: nothing is
-- undone when a script fails.
redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[14], '0-' .. offset, 'entry', ARGV[4])
redis.call('XADD', KEYS[19], '*', 'topic', ARGV[7], 'entry', ARGV[4])
redis.call('HSET', KEYS[4], 'epoch', epoch, 'offset', offset)
redis.call('HSET', KEYS[2], ARGV[6], ARGV[2])
redis.call('HSET', KEYS[3], ARGV[6], ARGV[3])
redis.call('ZADD', KEYS[8], ARGV[8], ARGV[6])
redis.call('ZADD', KEYS[9], ARGV[8], ARGV[6])
redis.call('ZADD', KEYS[11], ARGV[8], ARGV[7])
if ARGV[9] == '1' then
  redis.call('ZREM', KEYS[6], ARGV[6])
  redis.call('ZADD', KEYS[7], ARGV[8], ARGV[6])
  redis.call('ZADD', KEYS[10], ARGV[8], ARGV[6])
else
  redis.call('ZADD', KEYS[6], ARGV[8], ARGV[6])
end

local at = 17
for _ = 1, tonumber(ARGV[at]) do
  local id, effect = ARGV[at + 1], ARGV[at + 2]
  redis.call('XADD', KEYS[12], '*', 'id', id, 'effect', effect)
  if ARGV[at + 3] == '1' then
    redis.call('HSET', KEYS[13], id, effect)
    redis.call('ZADD', KEYS[14], ARGV[8], id)
  end
  at = at + 3
end
at = at + 1
for _ = 1, tonumber(ARGV[at]) do
  at = at + 1
  redis.call('HDEL', KEYS[13], ARGV[at])
  redis.call('ZREM', KEYS[14], ARGV[at])
  redis.call('HDEL', KEYS[15], ARGV[at])
end

if ARGV[15] ~= '' then
  redis.call('ZREM', KEYS[16], ARGV[15])
  redis.call('HDEL', KEYS[17], ARGV[15])
end
at = at + 1
for _ = 1, tonumber(ARGV[at]) do
  local member, due, event = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  if due == '' then
    redis.call('ZREM', KEYS[16], member)
    redis.call('HDEL', KEYS[17], member)
  else
    redis.call('ZADD', KEYS[16], due, member)
    redis.call('HSET', KEYS[17], member, event)
  end
  at = at + 3
end

local outcome = '[' .. offset .. ',' .. ARGV[2] .. ',' .. ARGV[5] .. ']'
redis.call('SET', KEYS[1], outcome, 'EX', ARGV[13])
local era = redis.call('GET', KEYS[18]) or ARGV[11]
redis.call('PUBLISH', ARGV[12],
  '{"epoch":"' .. epoch .. '.' .. era .. '","offset":' .. offset .. ',' .. string.sub(ARGV[4], 2))
return {'done', offset}
