-- Extends the lease of a running call and notes what was metered so far.
--
-- KEYS[1]  {pNN}:meta   KEYS[2]  {pNN}:holds:<business>   KEYS[3]  {pNN}:deadlines
-- ARGV[1]  epoch   ARGV[2]  business   ARGV[3]  hold id
-- ARGV[4]  lease, milliseconds from now, above 0
-- ARGV[5]  metered so far, micro-credits; a lower figure than the noted one is ignored
-- ARGV[6]  'exact' when the call has ended and costs just that: a higher figure that was
--          noted before gives way; absent while it runs
--
-- Answers {OK, counter}; {GONE, counter} when the hold was settled or swept, and
-- nothing changes then. Refuses with {BAD, counter}, STALE_EPOCH, FROZEN.

local counter, refusal = gate(KEYS[1], ARGV[1])
if refusal then return refusal end
local lease, metered = whole(ARGV[4]), whole(ARGV[5])
if not lease or lease == 0 or not metered or (ARGV[6] and ARGV[6] ~= 'exact') then
  return {'BAD', counter}
end
local existing = redis.call('HGET', KEYS[2], ARGV[3])
if not existing then
  return {'GONE', counter}
end

local granted, noted, note = string.match(existing, '^(%d+)|(%d+)|(.*)$')
if not ARGV[6] then
  metered = math.max(tonumber(noted), metered)
end
counter = redis.call('HINCRBY', KEYS[1], 'counter', 1)
redis.call('HSET', KEYS[2], ARGV[3],
  granted .. '|' .. text(metered) .. '|' .. note)
redis.call('ZADD', KEYS[3], text(now_ms() + lease), ARGV[2] .. ':' .. ARGV[3])
return {'OK', counter}
