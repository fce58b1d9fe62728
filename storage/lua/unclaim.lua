-- Lets go of the Idempotency-Key of a call that cost nothing, so that it may be used anew.
--
-- KEYS[1]  {pNN}:replay:<business>:<digest of the key>
-- KEYS[2]  {pNN}:kept:<business>   KEYS[3]  {pNN}:kept
-- ARGV[1]  id of the call   ARGV[2]  bytes that a key counts for
--
-- Answers {OK}; {GONE} when the key is not this call's, or has a reply, and nothing
-- changes then. Refuses a number that is none with {BAD}.

local size = whole(ARGV[2])
if not size then
  return {'BAD'}
end
local found = redis.call('HMGET', KEYS[1], 'id', 'reply')
if found[1] ~= ARGV[1] or found[2] then
  return {'GONE'}
end
redis.call('DEL', KEYS[1])
for i = 2, 3 do
  -- One that has come to its end meanwhile must not come back without an end.
  if tonumber(redis.call('GET', KEYS[i]) or '0') >= size then
    redis.call('DECRBY', KEYS[i], text(size))
  end
end
return {'OK'}
