-- Begins to count what an API key spends, because it has a cap now; then takes down what
-- it had spent before, which SQL knows.
--
-- KEYS[1]  {pNN}:meta               KEYS[2]  {pNN}:account:<business>
-- KEYS[3]  {pNN}:holds:<business>   KEYS[4]  {pNN}:limits:<key>
-- ARGV[1]  epoch   ARGV[2]  business   ARGV[3]  key
-- ARGV[4]  spent before, micro-credits; empty to begin
-- ARGV[5]  the seq up to which that was summed; empty to begin
--
-- To begin: the holds of the key that are open are counted, those too that were made when
-- it had no limits, and they note the key from now on. Every settle after the seq in the
-- answer is then counted here, every one up to it is in SQL sooner or later. The cap is
-- served once `spent before` is taken down.
--
-- Answers {OK, counter, seq}; {COUNTED, counter} when what was spent before is there
-- already; {GONE, counter} when it was summed for another beginning than this key's. Both
-- change nothing. Refuses with {BAD, counter}, NO_ACCOUNT, STALE_EPOCH, FROZEN, CORRUPT.

local counter, refusal = gate(KEYS[1], ARGV[1])
if refusal then return refusal end
local begins, before = ARGV[4] == '' and ARGV[5] == '', whole(ARGV[4])
if ARGV[3] == '' or not begins and not (before and whole(ARGV[5])) then
  return {'BAD', counter}
end
local account
account, refusal = read_account(KEYS[2], ARGV[1], counter)
if refusal then return refusal end

local found = redis.call('HMGET', KEYS[4], 'epoch', 'spent', 'before', 'from_seq')
local known = found[1] == ARGV[1]
local from_seq = known and signed(found[2]) and whole(found[4])
if from_seq and whole(found[3]) then
  return {'COUNTED', counter}
end
if not begins then
  if not from_seq or found[4] ~= ARGV[5] then
    return {'GONE', counter}
  end
  counter = redis.call('HINCRBY', KEYS[1], 'counter', 1)
  redis.call('HSET', KEYS[4], 'before', ARGV[4])
  return {'OK', counter, from_seq}
end
if from_seq then
  return {'OK', counter, from_seq}  -- Somebody has begun, and may have died since.
end

local open, held, untold = 0, 0, {}
local holds = redis.call('HGETALL', KEYS[3])
for i = 1, #holds, 2 do
  local amounts, granted, note = string.match(holds[i + 1], '^((%d+)|%d+|)(.*)$')
  local name = note and string.match(note, '^@%d+ %d+ %d+ ([^|]+)|')
  -- In a note a quote of the caller's own is escaped, so nobody can write this into one.
  if note and not name and string.find(note, '"key_id":"' .. ARGV[3] .. '"', 1, true) then
    untold[#untold + 1] = {holds[i], amounts .. '@0 0 0 ' .. KEYS[4] .. '|' .. note}
    name = KEYS[4]
  end
  if name == KEYS[4] then
    open, held = open + 1, held + tonumber(granted)
  end
end

counter = redis.call('HINCRBY', KEYS[1], 'counter', 1)
if not known then
  redis.call('DEL', KEYS[4])
end
for _, hold in ipairs(untold) do
  redis.call('HSET', KEYS[3], hold[1], hold[2])
end
redis.call('HSET', KEYS[4], 'epoch', ARGV[1], 'open', text(open), 'held', text(held),
  'spent', '0', 'from_seq', text(account.seq))
redis.call('HDEL', KEYS[4], 'before', 'cap')
redis.call('PERSIST', KEYS[4])
return {'OK', counter, account.seq}
