-- One step of one machine, wholly or not at all.
--
-- KEYS 1 event ids of even days  2 event ids of odd days  3 machine   4 topic position
--      5 topic log     6 journal     7 topic live     8 topic finished    9 finished
--     10 topics       11 era        12 configurations
--     13 timers, 14 timer_events: where the step sets or clears some, or does more
--     15 pending, 16 pending_at, 17 tries, 18 outbox: where it has effects or settles some
-- ARGV 1 revision before  2 revision after  3 machine  4 entry  5 digest of the event id
--      6 configuration to remember  7 what it stands for, if kept apart  8 machine id  9 topic
--     10 time  11 '1' if ended  12 channel  13 seconds to remember the event id  14 log length
--     15 era where none is settled  16 timer that fired, or ''  17 when it was due
--     18 number of timers, each: member, due or '', event
--      … number of effects, each: id, effect, '1' if awaited
--      … number of settled effects, each: id
local call = redis.call
-- A day's event ids of a machine are one hash, which leaves as a whole when the next day has passed.
local now = call('TIME')
local day = math.floor(tonumber(now[1]) / tonumber(ARGV[13]))
local today, yesterday = KEYS[1 + day % 2], KEYS[2 - day % 2]
local known = call('HMGET', today, ARGV[5], 'd')
local first = known[1] or call('HGET', yesterday, ARGV[5])
if first then
  local kept = string.match(first, '^%d+ %d+ %*(.*)$')
  return {'repeated', first, kept and call('HGET', KEYS[12], kept)}
end
local revision = string.match(call('GETRANGE', KEYS[3], 0, 15), '^%d+') or '0'
if revision ~= ARGV[1] then return {'conflict', revision, call('GET', KEYS[3])} end
if ARGV[16] ~= '' then
  local due = call('ZSCORE', KEYS[13], ARGV[16])
  if not due or tonumber(due) ~= tonumber(ARGV[17]) then return {'timer'} end
end

local position = call('HMGET', KEYS[4], 'epoch', 'offset')
local epoch, era = position[1], call('GET', KEYS[11]) or ARGV[15]
local offset = string.format('%.0f', tonumber(position[2] or '0') + 1)
-- The one write that Redis might refuse (a log ahead of its position), so it goes first: nothing is
-- undone when a script fails.
call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[14], '0-' .. offset, 'entry', ARGV[4])
call('XADD', KEYS[6], '*', 'topic', ARGV[9], 'entry', ARGV[4])
if epoch then
  call('HSET', KEYS[4], 'offset', offset, 'at', ARGV[10])
else
  epoch = string.sub(redis.sha1hex(ARGV[8] .. ARGV[5] .. now[1] .. now[2]), 1, 8)
  call('HSET', KEYS[4], 'offset', offset, 'at', ARGV[10], 'epoch', epoch)
end
call('SET', KEYS[3], ARGV[3])
if ARGV[1] == '0' then
  call('SADD', KEYS[7], ARGV[8])
  call('SADD', KEYS[10], ARGV[9])
end
if ARGV[11] == '1' then
  call('SREM', KEYS[7], ARGV[8])
  call('ZADD', KEYS[8], ARGV[10], ARGV[8])
  call('ZADD', KEYS[9], ARGV[10], ARGV[8])
end

local outcome = offset .. ' ' .. ARGV[2] .. ' ' .. ARGV[6]
if known[2] == tostring(day) then
  call('HSET', today, ARGV[5], outcome)
else
  call('DEL', today)
  call('HSET', today, 'd', day, ARGV[5], outcome)
  call('EXPIREAT', today, (day + 2) * tonumber(ARGV[13]))
end
if ARGV[7] ~= '' then call('HSETNX', KEYS[12], string.sub(ARGV[6], 2), ARGV[7]) end

if ARGV[16] ~= '' then
  call('ZREM', KEYS[13], ARGV[16])
  call('HDEL', KEYS[14], ARGV[16])
end
local at = 18
for _ = 1, tonumber(ARGV[at]) do
  local member, due, event = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  if due == '' then
    call('ZREM', KEYS[13], member)
    call('HDEL', KEYS[14], member)
  else
    call('ZADD', KEYS[13], due, member)
    call('HSET', KEYS[14], member, event)
  end
  at = at + 3
end
at = at + 1
for _ = 1, tonumber(ARGV[at]) do
  local id, effect = ARGV[at + 1], ARGV[at + 2]
  if ARGV[at + 3] == '1' then
    call('XADD', KEYS[18], '*', 'id', id)
    call('HSET', KEYS[15], id, effect)
    call('ZADD', KEYS[16], ARGV[10], id)
  else
    call('XADD', KEYS[18], '*', 'id', id, 'effect', effect)
  end
  at = at + 3
end
at = at + 1
for _ = 1, tonumber(ARGV[at]) do
  at = at + 1
  call('HDEL', KEYS[15], ARGV[at])
  call('ZREM', KEYS[16], ARGV[at])
  call('HDEL', KEYS[17], ARGV[at])
end

call('PUBLISH', ARGV[12],
  '{"epoch":"' .. epoch .. '.' .. era .. '","offset":' .. offset .. ',' .. string.sub(ARGV[4], 2))
return {'done', offset}
