-- Begins a partition in an empty Redis. The caller has made sure that nothing was lost.
--
-- KEYS[1]  {pNN}:meta
-- ARGV[1]  epoch, 1 or more   ARGV[2]  counter to go on from
--
-- Answers {OK, counter}; {EXISTS, counter} when the partition has an epoch, and
-- nothing changes then. Refuses with {BAD, 0}.

local epoch, counter = whole(ARGV[1]), whole(ARGV[2])
if not epoch or epoch == 0 or not counter then
  return {'BAD', 0}
end
local found = redis.call('HMGET', KEYS[1], 'epoch', 'counter')
if found[1] then
  return {'EXISTS', tonumber(found[2] or '0')}
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'counter', ARGV[2], 'frozen', '')
return {'OK', counter}
