-- A topic as of one moment: {epoch, offset, '1' if more have finished, snapshots…}.
--
-- KEYS 1 topic position  2 topic live  3 topic finished  4 snapshots  5 era
-- ARGV 1 epoch for a new topic  2 era where none is settled  3 how many finished machines
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1])
local position = redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'gone')
local era = redis.call('GET', KEYS[5]) or ARGV[2]
local limit = tonumber(ARGV[3])
local more = position[3] or redis.call('ZCARD', KEYS[3]) > limit
local answer = {position[1] .. '.' .. era, tonumber(position[2] or '0'), more and '1' or '0'}
local function add(machines)
  -- Lua takes only some thousand arguments in one call.
  for from = 1, #machines, 1000 do
    local to = math.min(from + 999, #machines)
    for _, snapshot in ipairs(redis.call('HMGET', KEYS[4], unpack(machines, from, to))) do
      answer[#answer + 1] = snapshot
    end
  end
end
add(redis.call('ZRANGE', KEYS[2], 0, -1))
add(redis.call('ZREVRANGE', KEYS[3], 0, limit - 1))
return answer
