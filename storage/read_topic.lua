-- A topic as of one moment: {epoch, offset, '1' if more have finished, how many are live, machines…}.
--
-- KEYS 1 topic position  2 topic live  3 topic finished  4 era
-- ARGV 1 epoch for a new topic  2 era where none is settled  3 how many finished machines
--      4 what the keys of machines begin with; they lie in the slot of the other keys
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1])
local position = redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'gone')
local era = redis.call('GET', KEYS[4]) or ARGV[2]
local limit = tonumber(ARGV[3])
local more = position[3] or redis.call('ZCARD', KEYS[3]) > limit
local live = redis.call('SMEMBERS', KEYS[2])
local answer = {position[1] .. '.' .. era, tonumber(position[2] or '0'), more and '1' or '0', #live}
local function add(machines)
  for i, machine in ipairs(machines) do machines[i] = ARGV[4] .. machine end
  -- Lua takes only some thousand arguments in one call.
  for from = 1, #machines, 1000 do
    local to = math.min(from + 999, #machines)
    for _, machine in ipairs(redis.call('MGET', unpack(machines, from, to))) do
      answer[#answer + 1] = machine
    end
  end
end
add(live)
add(redis.call('ZREVRANGE', KEYS[3], 0, limit - 1))
return answer
