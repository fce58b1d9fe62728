-- Takes an Idempotency-Key for a call that is about to be made, or tells what became of
-- the call that has it. Changes no balance, so it has no epoch.
--
-- KEYS[1]  {pNN}:replay:<business>:<digest of the key>   KEYS[2]  {pNN}:holds:<business>
-- KEYS[3]  {pNN}:kept:<business>   KEYS[4]  {pNN}:kept
-- KEYS[5]  {pNN}:answer:<ARGV[3]>  KEYS[6]  the same of its correction; with ARGV[3] only
-- ARGV[1]  id of the call   ARGV[2]  digest of what it asks for
-- ARGV[3]  id of the call whose place it takes if that has ended and was charged nothing,
--          empty for none
-- ARGV[4]  'free' when SQL says that it was charged nothing, else empty
-- ARGV[5]  how long the key is kept, milliseconds   ARGV[6]  bytes that a key counts for
-- ARGV[7]  the most for the business, bytes   ARGV[8]  the most for the partition, bytes
--
-- Answers {OK} when the key is this call's, now or since it was asked before. Changing
-- nothing: {REUSED} when the key was used for something else; {KEPT, id, reply}; {RUNNING,
-- id} when its call holds credits; {ENDED, id, milliseconds since the claim} when it does
-- not, and no reply is kept; {CHARGED, id, micro-credits} when that is known of ARGV[3];
-- {FULL}. Refuses numbers that are none with {BAD}.

local lifetime, size = whole(ARGV[5]), whole(ARGV[6])
local most, most_in_all = whole(ARGV[7]), whole(ARGV[8])
if not lifetime or lifetime == 0 or not size or not most or not most_in_all or ARGV[1] == '' then
  return {'BAD'}
end
local found = redis.call('HMGET', KEYS[1], 'id', 'asked', 'claimed_ms', 'reply')
local now = now_ms()
if found[1] then
  if found[2] ~= ARGV[2] then
    return {'REUSED'}
  end
  if found[4] then
    return {'KEPT', found[1], found[4]}
  end
  if found[1] == ARGV[1] then
    return {'OK'}
  end
  if redis.call('HEXISTS', KEYS[2], found[1]) == 1 then
    return {'RUNNING', found[1]}
  end
  local ended = {'ENDED', found[1], now - tonumber(found[3])}
  if found[1] ~= ARGV[3] then
    return ended
  end
  local answer, correction = redis.call('GET', KEYS[5]), redis.call('GET', KEYS[6])
  if not answer and ARGV[4] ~= 'free' then
    return ended
  end
  local charged = 0
  for _, said in ipairs({answer or '0', correction or '0'}) do
    charged = charged + tonumber(string.match(said, '^-?%d+'))
  end
  if charged > 0 then
    return {'CHARGED', found[1], charged}
  end
else
  local kept, in_all = redis.call('GET', KEYS[3]), redis.call('GET', KEYS[4])
  if tonumber(kept or '0') + size > most or tonumber(in_all or '0') + size > most_in_all then
    return {'FULL'}
  end
  for i = 3, 4 do
    if redis.call('INCRBY', KEYS[i], text(size)) == size then
      redis.call('PEXPIRE', KEYS[i], text(lifetime))
    end
  end
end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'asked', ARGV[2], 'claimed_ms', text(now))
redis.call('PEXPIRE', KEYS[1], text(lifetime))
return {'OK'}
