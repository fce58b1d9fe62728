-- Creates the account of a business, or replaces one of a lower epoch, from one
-- snapshot of what SQL knows of it.
--
-- KEYS[1]  {pNN}:meta   KEYS[2]  {pNN}:account:<business>   KEYS[3]  {pNN}:holds:<business>
-- ARGV[1]  epoch   ARGV[2]  total, micro-credits   ARGV[3]  owed, micro-credits
-- ARGV[4]  seq, last recorded   ARGV[5]  credit_seq, last written
-- ARGV[6]  expires_at, milliseconds since 1970, 0 for never   ARGV[7]  low_at, micro-credits
-- ARGV[8]  alerted, bits: 1 low_balance, 2 depleted, 4 expired
-- ARGV[9]  status: active or suspended
--
-- Answers {OK, counter}; {EXISTS, counter} when the account is of this epoch, and
-- nothing changes then. Refuses with {BAD, counter}, STALE_EPOCH, FROZEN.

local counter, refusal = gate(KEYS[1], ARGV[1])
if refusal then return refusal end
for i = 2, 8 do
  if not whole(ARGV[i]) then
    return {'BAD', counter}
  end
end
if tonumber(ARGV[8]) > 7 or (ARGV[9] ~= 'active' and ARGV[9] ~= 'suspended') then
  return {'BAD', counter}
end
if redis.call('HGET', KEYS[2], 'epoch') == ARGV[1] then
  return {'EXISTS', counter}
end

counter = redis.call('HINCRBY', KEYS[1], 'counter', 1)
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('HSET', KEYS[2], 'epoch', ARGV[1], 'total', ARGV[2], 'held', '0', 'owed', ARGV[3],
  'seq', ARGV[4], 'credit_seq', ARGV[5], 'expires_at_ms', ARGV[6], 'low_at', ARGV[7],
  'alerted', ARGV[8], 'status', ARGV[9], 'frozen', '')
return {'OK', counter}
