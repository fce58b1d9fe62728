-- Keeps the reply of a call beside its Idempotency-Key. Changes no balance, so it has no
-- epoch.
--
-- KEYS[1]  {pNN}:replay:<business>:<digest of the key>
-- KEYS[2]  {pNN}:kept:<business>   KEYS[3]  {pNN}:kept
-- ARGV[1]  id of the call   ARGV[2]  reply, packed as text
-- ARGV[3]  how long it is kept, milliseconds
-- ARGV[4]  the most for the business, bytes   ARGV[5]  the most for the partition, bytes
--
-- Answers {OK}; {SAME} when it is kept already. Changing nothing: {GONE} when the key is
-- not this call's; {FULL}. Refuses numbers that are none with {BAD}.

local lifetime, most, most_in_all = whole(ARGV[3]), whole(ARGV[4]), whole(ARGV[5])
if not lifetime or lifetime == 0 or not most or not most_in_all then
  return {'BAD'}
end
local found = redis.call('HMGET', KEYS[1], 'id', 'reply')
if found[1] ~= ARGV[1] then
  return {'GONE'}
end
if found[2] then
  return {'SAME'}
end
local size = #ARGV[2]
local kept, in_all = redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3])
if tonumber(kept or '0') + size > most or tonumber(in_all or '0') + size > most_in_all then
  return {'FULL'}
end
for i = 2, 3 do
  if redis.call('INCRBY', KEYS[i], text(size)) == size then
    redis.call('PEXPIRE', KEYS[i], text(lifetime))
  end
end
redis.call('HSET', KEYS[1], 'reply', ARGV[2])
redis.call('PEXPIRE', KEYS[1], text(lifetime))
return {'OK'}
