-- A shard's topics and their live machines become sets, each topic's time a field of its position.
--
-- KEYS 1 topics  2… what goes with them
-- ARGV 1, 2 what the keys of a topic's position and of its live machines begin with; they lie in this slot
if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then return 0 end
local function set(key, members)
  -- Lua takes only some thousand arguments in one call.
  for from = 1, #members, 1000 do
    redis.call('SADD', key, unpack(members, from, math.min(from + 999, #members)))
  end
end
local topics = redis.call('ZRANGE', KEYS[1], 0, -1)
for _, topic in ipairs(topics) do
  redis.call('HSETNX', ARGV[1] .. topic, 'at', redis.call('ZSCORE', KEYS[1], topic))
  local live = ARGV[2] .. topic
  if redis.call('TYPE', live).ok == 'zset' then
    local machines = redis.call('ZRANGE', live, 0, -1)
    redis.call('DEL', live)
    set(live, machines)
  end
end
redis.call('DEL', unpack(KEYS))
set(KEYS[1], topics)
return #topics
