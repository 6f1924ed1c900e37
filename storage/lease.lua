-- Take, renew (time above 0) or drop (0) a lease; 1 when the holder had or got it.
--
-- KEYS 1 lease
-- ARGV 1 holder  2 milliseconds
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
