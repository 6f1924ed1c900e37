-- A topic's position and every entry after an offset: {epoch, offset, entries or false}.
--
-- KEYS 1 topic position  2 topic log  3 era
-- ARGV 1 epoch for a new topic  2 era where none is settled  3 epoch of the reader, or '' for the
--      position alone  4 offset
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1])
local position = redis.call('HMGET', KEYS[1], 'epoch', 'offset')
local epoch = position[1] .. '.' .. (redis.call('GET', KEYS[3]) or ARGV[2])
local offset, after = tonumber(position[2] or '0'), tonumber(ARGV[4])
if ARGV[3] ~= epoch or after > offset then return {epoch, offset, false} end
local entries = {}
if after < offset then
  local found = redis.call('XRANGE', KEYS[2], '0-' .. string.format('%.0f', after + 1), '+')
  if #found ~= offset - after then return {epoch, offset, false} end
  for i, entry in ipairs(found) do entries[i] = entry[2][2] end
end
return {epoch, offset, entries}
