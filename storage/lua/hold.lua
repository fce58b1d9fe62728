-- Sets credits aside for a call: the ceiling, or what is affordable down to the floor.
--
-- KEYS[1]  {pNN}:meta               KEYS[2]  {pNN}:account:<business>
-- KEYS[3]  {pNN}:holds:<business>   KEYS[4]  {pNN}:deadlines
-- KEYS[5]  {pNN}:answer:<hold id>
-- ARGV[1]  epoch   ARGV[2]  business   ARGV[3]  hold id
-- ARGV[4]  ceiling, micro-credits   ARGV[5]  floor, micro-credits, at most the ceiling
-- ARGV[6]  lease, milliseconds from now, above 0
-- ARGV[7]  note: the row to store if the caller dies, JSON
--
-- Answers {OK, counter, granted, available}; {SAME, counter, granted, available} when
-- the id holds already; {DONE, counter, answer} when it was settled. Refuses, changing
-- nothing, with {INSUFFICIENT, counter, available, held, expires_at_ms}, {EXPIRED,
-- counter, expires_at_ms}, {SUSPENDED, counter}, {OWED, counter, owed}, {BAD, counter},
-- NO_ACCOUNT, STALE_EPOCH, FROZEN, CORRUPT.

local counter, refusal = gate(KEYS[1], ARGV[1])
if refusal then return refusal end
local ceiling, floor, lease = whole(ARGV[4]), whole(ARGV[5]), whole(ARGV[6])
if not ceiling or not floor or not lease or floor > ceiling or lease == 0
  or ARGV[3] == '' or string.find(ARGV[3], ':', 1, true) then
  return {'BAD', counter}
end
local account
account, refusal = read_account(KEYS[2], ARGV[1], counter)
if refusal then return refusal end

local available = account.total - account.held
local existing = redis.call('HGET', KEYS[3], ARGV[3])
if existing then
  return {'SAME', counter, tonumber(string.match(existing, '^(%d+)|')), available}
end
local answer = redis.call('GET', KEYS[5])
if answer then
  return {'DONE', counter, answer}
end

local now = now_ms()
if account.status ~= 'active' then
  return {'SUSPENDED', counter}
end
if account.owed > 0 then
  return {'OWED', counter, account.owed}
end
if account.expires_at_ms > 0 and account.expires_at_ms <= now then
  return {'EXPIRED', counter, account.expires_at_ms}
end
local granted = math.min(ceiling, available)
if granted < floor then
  return {'INSUFFICIENT', counter, available, account.held, account.expires_at_ms}
end

counter = redis.call('HINCRBY', KEYS[1], 'counter', 1)
redis.call('HINCRBY', KEYS[2], 'held', text(granted))
redis.call('HSET', KEYS[3], ARGV[3], text(granted) .. '|0|' .. ARGV[7])
redis.call('ZADD', KEYS[4], text(now + lease), ARGV[2] .. ':' .. ARGV[3])
return {'OK', counter, granted, available - granted}
