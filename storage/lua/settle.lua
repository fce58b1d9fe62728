#!lua flags=allow-oom
-- Turns a hold into a charge; what was not charged returns. A release charges nothing.
--
-- KEYS[1]  {pNN}:meta               KEYS[2]  {pNN}:account:<business>
-- KEYS[3]  {pNN}:holds:<business>   KEYS[4]  {pNN}:deadlines
-- KEYS[5]  {pNN}:answer:<hold id>   KEYS[6]  {pNN}:outbox
-- KEYS[7]  {pNN}:limits:<key>, with adopt only, when a key made the call: what is charged
--          without a hold counts towards its cap. Else the hold itself names that key of
--          its partition, so that a sweep need not know it.
-- The last key, with ARGV[10] only: {pNN}:replay:<business>:<digest of an Idempotency-Key>
-- ARGV[1]  epoch   ARGV[2]  business   ARGV[3]  hold id
-- ARGV[4]  amount, micro-credits; may be negative only with adopt
-- ARGV[5]  mode: settle; sweep (acts only when the lease has ended, and charges what
--          the hold notes as metered instead of ARGV[4]); adopt (goes on without a hold)
-- ARGV[6]  outcome of the row: settled, released, orphaned, adjusted
-- ARGV[7]  granted, micro-credits, as the row is to say when there is no hold any more
-- ARGV[8]  row, JSON; with sweep the hold's own note is used
-- ARGV[9]  tokens used, when the key has limits; absent or empty: all that were taken stay so
-- ARGV[10] with adopt only: the id under which the call took its Idempotency-Key. Once that
--          is another call's, who repeated it has paid: nothing is charged, all is shortfall
--
-- Charges min(amount, granted + available): OpenAI has billed already, but a prepaid
-- balance never goes below zero, nor does a key spend more than its cap. The rest is the
-- shortfall. What the hold took of its key's limits is given back.
--
-- Answers {OK, counter, charged, shortfall, available, seq, outcome}; {DONE, counter,
-- "charged shortfall available seq outcome"} when it was settled before; {NO_HOLD,
-- counter} when there is neither hold nor answer; {ALIVE, counter} when the lease has
-- not ended. Refuses with {BAD, counter}, NO_ACCOUNT, STALE_EPOCH, FROZEN, CORRUPT.
-- All but OK change nothing.

local counter, refusal = gate(KEYS[1], ARGV[1])
if refusal then return refusal end
local amount, mode, outcome, row_granted = signed(ARGV[4]), ARGV[5], ARGV[6], whole(ARGV[7])
local tokens, replay = ARGV[9] ~= '' and ARGV[9] or nil, ARGV[10] and KEYS[#KEYS]
local limits = #KEYS > (replay and 7 or 6) and KEYS[7] or nil
if not amount or not row_granted or (amount < 0 and mode ~= 'adopt')
  or (mode ~= 'settle' and mode ~= 'sweep' and mode ~= 'adopt') or ((limits or replay) and mode ~= 'adopt')
  or (tokens and (mode == 'sweep' or not whole(tokens) or #tokens > 9))
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
local hold, is_anothers = nil, false
if existing then
  local held, metered, note = string.match(existing, '^(%d+)|(%d+)|(.*)$')
  granted, row_granted = tonumber(held), tonumber(held)
  limits = nil
  if string.byte(note) == 64 then
    local tokens, good_at, per_minute, name, rest = string.match(note,
      '^@(%d+) (%d+) (%d+) ([^|]+)|(.*)$')
    hold = {granted = granted, tokens = tonumber(tokens), good_at = tonumber(good_at),
      per_minute = tonumber(per_minute)}
    limits, note = name, rest
  end
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
elseif replay then
  local taken_by = redis.call('HGET', replay, 'id')
  is_anothers = taken_by and taken_by ~= ARGV[10]
end

-- They are only made for a key that has limits: each would cost every other call as well.
local read_counted, give_back
if limits then
  -- What is counted for a key in this epoch; nil when nothing is.
  function read_counted(name)
    local found = redis.call('HMGET', name, 'epoch', 'tokens', 'open', 'held', 'spent', 'before',
      'cap')
    if found[1] ~= ARGV[1] then return nil end
    local counted = {name = name, tokens = signed(found[2]) or 0, open = signed(found[3]) or 0,
      held = signed(found[4]) or 0, spent = signed(found[5]), before = whole(found[6])}
    -- What a capped key may still be charged, beside what its calls hold.
    if counted.spent and counted.before and whole(found[7]) then
      counted.room = math.max(0,
        whole(found[7]) - counted.before - counted.spent - counted.held)
    end
    return counted
  end

  -- Gives back what a hold took of the limits, and counts what it was charged.
  function give_back(counted, hold, charged, now)
    local changes = {'HSET', counted.name}
    local function set(field, number)
      changes[#changes + 1], changes[#changes + 2] = field, text(number)
    end
    if counted.spent then
      set('spent', counted.spent + charged)
    end
    if hold then
      local open, used = math.max(0, counted.open - 1), whole(tokens)
      set('open', open)
      set('held', math.max(0, counted.held - hold.granted))
      if used and hold.per_minute > 0 then
        -- Not what time has made good meanwhile: it would come back twice.
        local left = math.max(0, (hold.good_at - now) * hold.per_minute)
        set('tokens', counted.tokens - math.min((hold.tokens - used) * 60000, left))
      end
      if open == 0 and not counted.spent then
        redis.call('PEXPIRE', counted.name, 60000)  -- Every bucket is full again by then.
      end
    end
    if #changes > 2 then
      redis.call(unpack(changes))
    end
  end
end
local counted = limits and read_counted(limits)
local beside = account.total - account.held
if counted and counted.room then
  beside = math.min(beside, counted.room)
end
local charged = math.min(amount, is_anothers and 0 or granted + beside)
local shortfall = amount - charged
if account.total - charged > 999999999999999 then
  return {'BAD', counter}
end
account.total = account.total - charged
account.held = account.held - granted
account.seq = account.seq + 1
local seq, balance, alerts = account.seq, account.total, crossed(account)

counter = redis.call('HINCRBY', KEYS[1], 'counter', 1)
redis.call('XADD', KEYS[6], '*', 'v', '1', 'kind', 'transaction', 'epoch', ARGV[1],
  'counter', text(counter), 'business', ARGV[2], 'seq', text(seq),
  'credit_seq', text(account.credit_seq), 'at_ms', text(now), 'balance', text(balance),
  'id', ARGV[3], 'charged', text(charged), 'shortfall', text(shortfall),
  'granted', text(row_granted), 'outcome', outcome, 'alerts', alerts,
  'low_at', text(account.low_at), 'row', row)
pay_owed(account, KEYS[6], ARGV[1], counter, ARGV[2], ARGV[3], ARGV[3], now)
local available = account.total - account.held
redis.call('HSET', KEYS[2], 'total', text(account.total), 'held', text(account.held),
  'owed', text(account.owed), 'seq', text(account.seq), 'alerted', text(account.alerted))
redis.call('HDEL', KEYS[3], ARGV[3])
redis.call('ZREM', KEYS[4], member)
if counted then
  give_back(counted, hold, charged, now)
end
redis.call('SET', KEYS[5], text(charged) .. ' ' .. text(shortfall) .. ' ' .. text(available)
  .. ' ' .. text(seq) .. ' ' .. outcome)
return {'OK', counter, charged, shortfall, available, seq, outcome}
