-- Takes, keeps or gives back the lease of a background loop on one partition.
--
-- KEYS[1]  {pNN}:lease:<loop>
-- ARGV[1]  who asks: an id of the process   ARGV[2]  milliseconds from now; 0 gives it back
--
-- Answers {OK} when it is the asker's (or given back), {HELD} when somebody else has it.
-- Runs at any epoch: nothing that is right or wrong depends on a lease.

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return {'HELD'}
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return {'OK'}
