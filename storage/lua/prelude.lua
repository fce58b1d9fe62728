-- What every script begins with: strict numbers, the gate of the partition, and the
-- shape of an account. It stands in front of each script when that is loaded.
--
-- Amounts are whole micro-credits below 10^15, which a double holds exactly. Lua and
-- cjson would print the larger of them with an exponent, so only text() writes numbers.

local function text(number)
  return string.format('%d', number)
end

-- A plain decimal of at most 15 digits, without sign, blanks or leading zeros; else nil.
local function whole(argument)
  if argument == '0' or (argument and #argument <= 15 and string.match(argument, '^[1-9]%d*$')) then
    return tonumber(argument)
  end
  return nil
end

-- The same, with a minus sign allowed in front of anything but zero.
local function signed(argument)
  if argument and string.sub(argument, 1, 1) == '-' then
    local number = whole(string.sub(argument, 2))
    return number and number > 0 and -number or nil
  end
  return whole(argument)
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The id of the second entry that one change may write to the outbox: the id of the
-- first with another version digit, so that a replay gives the same one.
local function second_id(id)
  return string.sub(id, 1, 14) .. '8' .. string.sub(id, 16)
end

-- Answers counter, nil when the caller's epoch may change this partition, and
-- counter, refusal otherwise.
local function gate(meta, epoch)
  local found = redis.call('HMGET', meta, 'epoch', 'counter', 'frozen')
  local counter = tonumber(found[2] or '0')
  if found[1] ~= epoch then
    return counter, {'STALE_EPOCH', counter, found[1] or ''}
  end
  if found[3] and found[3] ~= '' then
    return counter, {'FROZEN', counter, found[3]}
  end
  return counter, nil
end

-- Answers the account, nil when it is there and sound, and nil, refusal otherwise.
local function read_account(key, epoch, counter)
  local found = redis.call('HMGET', key, 'epoch', 'total', 'held', 'owed', 'seq', 'credit_seq',
    'expires_at_ms', 'low_at', 'alerted', 'status', 'frozen')
  if not found[1] or found[1] ~= epoch then
    return nil, {'NO_ACCOUNT', counter}
  end
  local account = {
    total = whole(found[2]), held = whole(found[3]), owed = whole(found[4]),
    seq = whole(found[5]), credit_seq = whole(found[6]), expires_at_ms = whole(found[7]),
    low_at = whole(found[8]), alerted = whole(found[9]), status = found[10],
  }
  local sound = account.total and account.held and account.owed and account.seq
    and account.credit_seq and account.expires_at_ms and account.low_at and account.alerted
    and account.status and account.held <= account.total
  if not sound then
    return nil, {'CORRUPT', counter}
  end
  if found[11] and found[11] ~= '' then
    return nil, {'ACCOUNT_FROZEN', counter, found[11]}
  end
  return account, nil
end

-- What its owner was told since it was armed, as bits of `alerted`.
local LOW, DEPLETED, EXPIRED = 1, 2, 4

local function is_told(account, alert)
  return bit.band(account.alerted, alert) > 0
end

local function arm(account, alert)
  account.alerted = bit.band(account.alerted, bit.bnot(alert))
end

-- Notes the thresholds that the total lies below now, and answers those that its owner is
-- to be told of: each once, until it is armed. Whoever was told that the balance has
-- expired is not told that it is low as well.
local function crossed(account)
  local names = {}
  if is_told(account, EXPIRED) then
    return ''
  end
  if account.total < account.low_at and not is_told(account, LOW) then
    account.alerted = account.alerted + LOW
    names[#names + 1] = 'low_balance'
  end
  if account.total == 0 and not is_told(account, DEPLETED) then
    account.alerted = account.alerted + DEPLETED
    names[#names + 1] = 'depleted'
  end
  return table.concat(names, ',')
end

-- Arms the alerts of the thresholds that the total has reached.
local function arm_reached(account)
  if account.total >= account.low_at then
    arm(account, LOW)
  end
  if account.total > 0 then
    arm(account, DEPLETED)
  end
end

-- Pays what the business owes out of what is available: the answer is what was paid.
-- It is money out, so it goes to the outbox as an entry of its own with the next seq.
local function pay_owed(account, outbox, epoch, counter, business, id, reference, now)
  local paid = math.min(account.owed, account.total - account.held)
  if paid <= 0 then
    return 0
  end
  account.total = account.total - paid
  account.owed = account.owed - paid
  account.seq = account.seq + 1
  redis.call('XADD', outbox, '*', 'v', '1', 'kind', 'taken_back', 'epoch', epoch,
    'counter', text(counter), 'business', business, 'seq', text(account.seq),
    'credit_seq', text(account.credit_seq), 'at_ms', text(now), 'balance', text(account.total),
    'id', second_id(id), 'amount', text(paid), 'owed_delta', '-' .. text(paid),
    'alerts', crossed(account), 'low_at', text(account.low_at), 'reference', reference)
  return paid
end

-- An id for the change that gets this seq: a UUIDv7, so that rows sort by time. Nobody
-- names it from outside, because a repeated request finds other credits to book.
local function id_of_change(epoch, business, seq, now)
  local at = string.format('%012x', now)
  local hash = redis.sha1hex(epoch .. ':' .. business .. ':' .. text(seq))
  return string.sub(at, 1, 8) .. '-' .. string.sub(at, 9) .. '-7' .. string.sub(hash, 1, 3)
    .. '-8' .. string.sub(hash, 4, 6) .. '-' .. string.sub(hash, 7, 18)
end

-- Books what is available as expired, after what is owed was paid from it: the answer is
-- how much. What is held stays for its calls.
local function expire_available(account, outbox, epoch, counter, business, reference, now)
  local id = id_of_change(epoch, business, account.seq + 1, now)
  pay_owed(account, outbox, epoch, counter, business, id, id, now)
  local amount, alerts = account.total - account.held, ''
  account.total = account.held
  account.seq = account.seq + 1
  if not is_told(account, EXPIRED) then
    account.alerted = account.alerted + EXPIRED
    alerts = 'expired'
  end
  redis.call('XADD', outbox, '*', 'v', '1', 'kind', 'expired', 'epoch', epoch,
    'counter', text(counter), 'business', business, 'seq', text(account.seq),
    'credit_seq', text(account.credit_seq), 'at_ms', text(now), 'balance', text(account.total),
    'id', id, 'amount', text(amount), 'alerts', alerts, 'reference', reference)
  return amount
end
