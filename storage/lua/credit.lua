-- Applies credit event n of a business: money in, money taken back, or settings.
--
-- KEYS[1]  {pNN}:meta   KEYS[2]  {pNN}:account:<business>   KEYS[3]  {pNN}:outbox
-- ARGV[1]  epoch   ARGV[2]  business   ARGV[3]  event id
-- ARGV[4]  n, the event's credit_seq, 1 or more
-- ARGV[5]  verb: add; take (what is available is taken, the rest becomes owed);
--          configure (the amount is 0)
-- ARGV[6]  amount, micro-credits
-- ARGV[7]  expires_at, milliseconds since 1970, 0 for never
-- ARGV[8]  low_at, micro-credits: below it the owner is warned
-- ARGV[9]  status: active or suspended
-- ARGV[10] ended_at, milliseconds since 1970, of the balance that this addition finds
--          expired; 0 when it finds a valid one
--
-- What is left of an expired balance is booked first, so that it does not last as long as
-- what is added. What is owed is paid first out of what is added. An addition or a
-- configuration that leaves the total at a threshold or above arms its alert again, a new
-- expiry arms that of the expiry; a take that leaves the total below a threshold is told.
-- An expiry, a take and a payment of what is owed are money out: they go to the outbox.
--
-- Answers {OK, counter, total}; {APPLIED, counter, credit_seq} when n was applied
-- before; {GAP, counter, credit_seq} when an earlier event is missing. Refuses with
-- {BAD, counter}, NO_ACCOUNT, STALE_EPOCH, FROZEN, CORRUPT. All but OK change nothing.

local counter, refusal = gate(KEYS[1], ARGV[1])
if refusal then return refusal end
local n, verb, amount = whole(ARGV[4]), ARGV[5], whole(ARGV[6])
local expires_at_ms, low_at, status = whole(ARGV[7]), whole(ARGV[8]), ARGV[9]
local ended_at_ms = whole(ARGV[10])
if not n or n == 0 or not amount or not expires_at_ms or not low_at or not ended_at_ms
  or (verb ~= 'add' and verb ~= 'take' and verb ~= 'configure')
  or (verb == 'configure' and amount > 0) or (verb ~= 'add' and ended_at_ms > 0)
  or (status ~= 'active' and status ~= 'suspended') then
  return {'BAD', counter}
end
local account
account, refusal = read_account(KEYS[2], ARGV[1], counter)
if refusal then return refusal end
if n <= account.credit_seq then
  return {'APPLIED', counter, account.credit_seq}
end
if n > account.credit_seq + 1 then
  return {'GAP', counter, account.credit_seq}
end
if verb == 'add' and account.total + amount > 999999999999999 then
  return {'BAD', counter}
end

counter = redis.call('HINCRBY', KEYS[1], 'counter', 1)
local now = now_ms()
if ended_at_ms > 0 then
  expire_available(account, KEYS[3], ARGV[1], counter, ARGV[2], ARGV[3], now)
end
account.credit_seq, account.low_at = n, low_at
if verb == 'add' then
  if expires_at_ms ~= account.expires_at_ms then
    arm(account, EXPIRED)
  end
  account.total = account.total + amount
  pay_owed(account, KEYS[3], ARGV[1], counter, ARGV[2], ARGV[3], ARGV[3], now)
  arm_reached(account)
elseif verb == 'configure' then
  arm_reached(account)
else
  local taken = math.min(amount, account.total - account.held)
  account.total = account.total - taken
  account.owed = account.owed + amount - taken
  account.seq = account.seq + 1
  redis.call('XADD', KEYS[3], '*', 'v', '1', 'kind', 'taken_back', 'epoch', ARGV[1],
    'counter', text(counter), 'business', ARGV[2], 'seq', text(account.seq),
    'credit_seq', text(n), 'at_ms', text(now), 'balance', text(account.total),
    'id', second_id(ARGV[3]), 'amount', text(taken), 'owed_delta', text(amount - taken),
    'alerts', crossed(account), 'low_at', ARGV[8], 'reference', ARGV[3])
end
redis.call('HSET', KEYS[2], 'total', text(account.total), 'owed', text(account.owed),
  'seq', text(account.seq), 'credit_seq', text(n), 'expires_at_ms', ARGV[7],
  'low_at', ARGV[8], 'alerted', text(account.alerted), 'status', status)
return {'OK', counter, account.total}
