-- Ends a balance whose time has come: what is available of it is booked as expired.
--
-- KEYS[1]  {pNN}:meta   KEYS[2]  {pNN}:account:<business>   KEYS[3]  {pNN}:outbox
-- ARGV[1]  epoch   ARGV[2]  business
-- ARGV[3]  credit_seq that SQL had when it found the balance expired
--
-- What is held stays for its calls; what returns from them is booked when this is asked
-- again. The first entry tells the owner, even when nothing was left. What is owed is
-- paid first. Asked twice, it books once: then nothing is available any more.
--
-- Answers {OK, counter, amount}; {NOT_YET, counter, expires_at_ms} before that time, or 0
-- when there is none; {BEHIND, counter, credit_seq} when a later credit event is still to
-- be applied, which may move the expiry. Refuses with {BAD, counter}, NO_ACCOUNT,
-- STALE_EPOCH, FROZEN, CORRUPT. All but OK change nothing, and OK with nothing to book
-- neither.

local counter, refusal = gate(KEYS[1], ARGV[1])
if refusal then return refusal end
local credit_seq = whole(ARGV[3])
if not credit_seq then
  return {'BAD', counter}
end
local account
account, refusal = read_account(KEYS[2], ARGV[1], counter)
if refusal then return refusal end
if account.credit_seq < credit_seq then
  return {'BEHIND', counter, account.credit_seq}
end
local now = now_ms()
if account.expires_at_ms == 0 or account.expires_at_ms > now then
  return {'NOT_YET', counter, account.expires_at_ms}
end
if account.total == account.held and is_told(account, EXPIRED) then
  return {'OK', counter, 0}
end

counter = redis.call('HINCRBY', KEYS[1], 'counter', 1)
local amount = expire_available(account, KEYS[3], ARGV[1], counter, ARGV[2], '', now)
redis.call('HSET', KEYS[2], 'total', text(account.total), 'owed', text(account.owed),
  'seq', text(account.seq), 'alerted', text(account.alerted))
return {'OK', counter, amount}
