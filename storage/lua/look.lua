#!lua flags=no-writes
-- Looks at one account and its holds, all of one moment. Changes nothing, at any epoch.
--
-- KEYS[1]  {pNN}:meta               KEYS[2]  {pNN}:account:<business>
-- KEYS[3]  {pNN}:holds:<business>   KEYS[4]  {pNN}:deadlines
-- ARGV[1]  business
--
-- Answers {epoch of the partition or '', {account field, value, …}, number of holds,
-- micro-credits that they were granted, {ids of holds that nobody can read}, {ids of holds
-- without a deadline}}; of each list of ids the first ten.

local holds = redis.call('HGETALL', KEYS[3])
local granted, unreadable, no_deadline = 0, {}, {}
for i = 1, #holds, 2 do
  local amount = whole(string.match(holds[i + 1], '^(%d+)|%d+|'))
  if amount then
    granted = granted + amount
  elseif #unreadable < 10 then
    unreadable[#unreadable + 1] = holds[i]
  end
  if #no_deadline < 10 and not redis.call('ZSCORE', KEYS[4], ARGV[1] .. ':' .. holds[i]) then
    no_deadline[#no_deadline + 1] = holds[i]
  end
end
return {redis.call('HGET', KEYS[1], 'epoch') or '', redis.call('HGETALL', KEYS[2]),
  #holds / 2, text(granted), unreadable, no_deadline}
