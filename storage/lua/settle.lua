#!lua flags=allow-oom
-- Turns a hold into a charge; what was not charged returns. A release charges nothing.
--
-- KEYS[1]  {pNN}:meta               KEYS[2]  {pNN}:account:<business>
-- KEYS[3]  {pNN}:holds:<business>   KEYS[4]  {pNN}:deadlines
-- KEYS[5]  {pNN}:answer:<hold id>   KEYS[6]  {pNN}:outbox
-- ARGV[1]  epoch   ARGV[2]  business   ARGV[3]  hold id
-- ARGV[4]  amount, micro-credits; may be negative only with adopt
-- ARGV[5]  mode: settle; sweep (acts only when the lease has ended, and charges what
--          the hold notes as metered instead of ARGV[4]); adopt (goes on without a hold)
-- ARGV[6]  outcome of the row: settled, released, orphaned, adjusted
-- ARGV[7]  granted, micro-credits, as the row is to say when there is no hold any more
-- ARGV[8]  row, JSON; with sweep the hold's own note is used
--
-- Charges min(amount, granted + available): OpenAI has billed already, but a prepaid
-- balance never goes below zero. The rest is the shortfall.
--
-- Answers {OK, counter, charged, shortfall, available, seq, outcome}; {DONE, counter,
-- "charged shortfall available seq outcome"} when it was settled before; {NO_HOLD,
-- counter} when there is neither hold nor answer; {ALIVE, counter} when the lease has
-- not ended. Refuses with {BAD, counter}, NO_ACCOUNT, STALE_EPOCH, FROZEN, CORRUPT.
-- All but OK change nothing.

local counter, refusal = gate(KEYS[1], ARGV[1])
if refusal then return refusal end
local amount, mode, outcome, row_granted = signed(ARGV[4]), ARGV[5], ARGV[6], whole(ARGV[7])
if not amount or not row_granted or (amount < 0 and mode ~= 'adopt')
  or (mode ~= 'settle' and mode ~= 'sweep' and mode ~= 'adopt')
  or (outcome ~= 'settled' and outcome ~= 'released' and outcome ~= 'orphaned'
      and outcome ~= 'adjusted') then
  return {'BAD', counter}
end
local answer = redis.call('GET', KEYS[5])
if answer then
  return {'DONE', counter, answer}
end
local account
account, refusal = read_account(KEYS[2], ARGV[1], counter)
if refusal then return refusal end

local member = ARGV[2] .. ':' .. ARGV[3]
local existing = redis.call('HGET', KEYS[3], ARGV[3])
local granted, row, now = 0, ARGV[8], now_ms()
if existing then
  local held, metered, note = string.match(existing, '^(%d+)|(%d+)|(.*)$')
  granted, row_granted = tonumber(held), tonumber(held)
  if mode == 'sweep' then
    local deadline = redis.call('ZSCORE', KEYS[4], member)
    if deadline and tonumber(deadline) > now then
      return {'ALIVE', counter}
    end
    amount, row = tonumber(metered), note
  end
  if granted > account.held then
    return {'CORRUPT', counter}
  end
elseif mode ~= 'adopt' then
  return {'NO_HOLD', counter}
end

local charged = math.min(amount, granted + account.total - account.held)
local shortfall = amount - charged
if account.total - charged > 999999999999999 then
  return {'BAD', counter}
end
account.total = account.total - charged
account.held = account.held - granted
account.seq = account.seq + 1
local seq, balance, alerts = account.seq, account.total, {}
if balance < account.low_at and account.alerted % 2 == 0 then
  account.alerted = account.alerted + 1
  alerts[#alerts + 1] = 'low_balance'
end
if balance == 0 and account.alerted < 2 then
  account.alerted = account.alerted + 2
  alerts[#alerts + 1] = 'depleted'
end

counter = redis.call('HINCRBY', KEYS[1], 'counter', 1)
redis.call('XADD', KEYS[6], '*', 'v', '1', 'kind', 'transaction', 'epoch', ARGV[1],
  'counter', text(counter), 'business', ARGV[2], 'seq', text(seq),
  'credit_seq', text(account.credit_seq), 'at_ms', text(now), 'balance', text(balance),
  'id', ARGV[3], 'charged', text(charged), 'shortfall', text(shortfall),
  'granted', text(row_granted), 'outcome', outcome, 'alerts', table.concat(alerts, ','),
  'low_at', text(account.low_at), 'row', row)
pay_owed(account, KEYS[6], ARGV[1], counter, ARGV[2], ARGV[3], ARGV[3], now)
local available = account.total - account.held
redis.call('HSET', KEYS[2], 'total', text(account.total), 'held', text(account.held),
  'owed', text(account.owed), 'seq', text(account.seq), 'alerted', text(account.alerted))
redis.call('HDEL', KEYS[3], ARGV[3])
redis.call('ZREM', KEYS[4], member)
redis.call('SET', KEYS[5], text(charged) .. ' ' .. text(shortfall) .. ' ' .. text(available)
  .. ' ' .. text(seq) .. ' ' .. outcome)
return {'OK', counter, charged, shortfall, available, seq, outcome}
