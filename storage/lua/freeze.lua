-- Stops every change of a partition until somebody has looked at it.
--
-- KEYS[1]  {pNN}:meta
-- ARGV[1]  why, a sentence for people
--
-- Answers {OK, counter}; {GONE, 0} when the partition is not there, and nothing
-- changes then. The first reason stays. Refuses an empty one with {BAD, counter}.

local found = redis.call('HMGET', KEYS[1], 'epoch', 'counter', 'frozen')
local counter = tonumber(found[2] or '0')
if ARGV[1] == '' then
  return {'BAD', counter}
end
if not found[1] then
  return {'GONE', 0}
end
if not found[3] or found[3] == '' then
  redis.call('HSET', KEYS[1], 'frozen', ARGV[1])
end
return {'OK', counter}
