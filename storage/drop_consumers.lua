-- Forget the consumers that hold nothing and have not asked for long; returns how many.
--
-- At one moment, since whatever a consumer holds would be lost with it.
-- KEYS 1 outbox
-- ARGV 1 group  2 milliseconds
local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
local gone = 0
if consumers.err then return gone end
for _, consumer in ipairs(consumers) do
  local told = {}
  for i = 1, #consumer, 2 do told[consumer[i]] = consumer[i + 1] end
  if told.pending == 0 and told.idle > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], told.name)
    gone = gone + 1
  end
end
return gone
