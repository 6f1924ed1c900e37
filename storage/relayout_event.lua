-- One remembered event id goes into its machine's hash of today, as `commit.lua` writes it.
--
-- KEYS 1 old  2 even days  3 odd days  4 configurations
-- ARGV 1 digest  2 offset, revision, configuration  3 name of that  4 what it stands for  5 a day
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local day = math.floor(tonumber(redis.call('TIME')[1]) / tonumber(ARGV[5]))
local today = KEYS[2 + day % 2]
if redis.call('HGET', today, 'd') ~= tostring(day) then
  redis.call('DEL', today)
  redis.call('HSET', today, 'd', day)
  redis.call('EXPIREAT', today, (day + 2) * tonumber(ARGV[5]))
end
redis.call('HSET', today, ARGV[1], ARGV[2])
if ARGV[4] ~= '' then redis.call('HSETNX', KEYS[4], ARGV[3], ARGV[4]) end
return redis.call('DEL', KEYS[1])
