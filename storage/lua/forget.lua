-- Deletes outbox entries that SQL has, and gives the answers of their calls an end.
--
-- KEYS[1]  {pNN}:outbox   KEYS[2…]  {pNN}:answer:<id> of each recorded call
-- ARGV[1]  how long an answer is still kept, milliseconds   ARGV[2…]  entry ids
--
-- Answers the number of entries that were there. Runs at any epoch and changes no
-- balance: what SQL has need not stay here. The answers come first, because one without
-- an end would stay for ever.

for i = 2, #KEYS do
  redis.call('PEXPIRE', KEYS[i], ARGV[1])
end
local deleted = 0
for i = 2, #ARGV do
  deleted = deleted + redis.call('XDEL', KEYS[1], ARGV[i])
end
return deleted
