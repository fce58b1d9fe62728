-- Sets credits aside for a call: the ceiling, or what is affordable down to the floor.
--
-- KEYS[1]  {pNN}:meta               KEYS[2]  {pNN}:account:<business>
-- KEYS[3]  {pNN}:holds:<business>   KEYS[4]  {pNN}:deadlines
-- KEYS[5]  {pNN}:answer:<hold id>   KEYS[6]  {pNN}:limits:<key>, when the key has any limit
-- ARGV[1]  epoch   ARGV[2]  business   ARGV[3]  hold id
-- ARGV[4]  ceiling, micro-credits   ARGV[5]  floor, micro-credits, at most the ceiling
-- ARGV[6]  lease, milliseconds from now, above 0
-- ARGV[7]  note: the row to store if the caller dies, JSON
-- With KEYS[6] also, each 1 or more and empty where the key has no such limit:
-- ARGV[8]  requests a minute   ARGV[9]  tokens a minute   ARGV[10]  holds at a time
-- ARGV[11] credit cap, micro-credits: the most the key may ever spend; may be 0
-- ARGV[12] tokens this call may use, in and out
--
-- Requests and tokens are buckets that are full again after a minute. The place and the
-- tokens are noted in the hold, so that whoever settles it can give them back.
--
-- Answers {OK, counter, granted, available, figures…}; {SAME, counter, granted,
-- available} when the id holds already; {DONE, counter, answer} when it was settled.
-- Refuses, changing nothing, with {INSUFFICIENT, counter, available, held,
-- expires_at_ms}, {EXPIRED, counter, expires_at_ms}, {SUSPENDED, counter}, {OWED,
-- counter, owed}, {LIMITED, counter, which, retry_after_ms, figures…} where which is
-- requests, tokens or concurrent, {CAPPED, counter, spent, held by the key}, {NOT_COUNTED,
-- counter} when count.lua must first say what a capped key has spent, {BAD, counter},
-- NO_ACCOUNT, STALE_EPOCH, FROZEN, CORRUPT. Figures, with KEYS[6] only: requests left,
-- milliseconds until all of them are, the same of tokens; 0, 0 without such a limit.

-- They are only made for a key that has limits: each would cost every other call as well.
local read_limits, read_taken, refusing, with_figures, take
if KEYS[6] then
  local MOST_PER_MINUTE = 1000000000  -- In 60,000ths it is below 10^15, and so exact.

  -- What each limit says; nil when an argument is not as it must be.
  function read_limits()
    for i = 8, 12 do
      if ARGV[i] ~= '' and not whole(ARGV[i]) or ARGV[i] == '0' and i < 11 then return nil end
    end
    local limits = {
      requests = whole(ARGV[8]), tokens = whole(ARGV[9]), concurrent = whole(ARGV[10]),
      cap = whole(ARGV[11]), tokens_asked = whole(ARGV[12]),
    }
    local most = math.max(limits.requests or 0, limits.tokens or 0, limits.tokens_asked or 0)
    return limits.tokens_asked and most <= MOST_PER_MINUTE and limits or nil
  end

  -- What the key has taken of its limits and not got back, as of now. A bucket counts in
  -- 60,000ths, so that a limit of n a minute makes good n of them in a millisecond.
  function read_taken(limits, now)
    local found = redis.call('HMGET', KEYS[6], 'epoch', 'at_ms', 'requests', 'tokens',
      'open', 'held', 'spent', 'before')
    local known = found[1] == ARGV[1]
    local function field(i) return known and signed(found[i]) or 0 end
    local at = math.max(now, field(2))
    local since = at - (field(2) > 0 and field(2) or at)
    return {
      is_old = found[1] and not known, at = at, open = field(5), held = field(6),
      requests = math.max(0, field(3) - (limits.requests or MOST_PER_MINUTE) * since),
      tokens = math.max(0, field(4) - (limits.tokens or MOST_PER_MINUTE) * since),
      spent = known and whole(found[8]) and signed(found[7])
        and whole(found[8]) + signed(found[7]),
    }
  end

  -- Answers remaining, milliseconds until the bucket is full, milliseconds until n fit in.
  local function bucket(per_minute, taken, n)
    if not per_minute then return 0, 0, 0 end
    return math.max(0, math.floor((per_minute * 60000 - taken) / 60000)),
      math.ceil(taken / per_minute),
      math.max(0, math.ceil((taken + n * 60000 - per_minute * 60000) / per_minute))
  end

  -- Which limit refuses one more call, and for how long; nil when none does.
  function refusing(limits, taken)
    local _, _, requests_wait = bucket(limits.requests, taken.requests, 1)
    local _, _, tokens_wait = bucket(limits.tokens, taken.tokens, limits.tokens_asked)
    if requests_wait > 0 and requests_wait >= tokens_wait then
      return 'requests', requests_wait
    elseif tokens_wait > 0 then
      return 'tokens', tokens_wait
    elseif limits.concurrent and taken.open >= limits.concurrent then
      return 'concurrent', 1000  -- Nobody knows when a call will end.
    end
  end

  function with_figures(answer, limits, taken)
    local requests_left, requests_ms = bucket(limits.requests, taken.requests, 0)
    local tokens_left, tokens_ms = bucket(limits.tokens, taken.tokens, 0)
    for _, figure in ipairs({requests_left, requests_ms, tokens_left, tokens_ms}) do
      answer[#answer + 1] = figure
    end
    return answer
  end

  -- Takes the place and the tokens; answers what the hold is to note of them.
  function take(limits, taken, granted)
    local tokens, per_minute = limits.tokens and limits.tokens_asked or 0, limits.tokens or 0
    taken.requests = limits.requests and taken.requests + 60000 or 0
    taken.tokens = taken.tokens + tokens * 60000
    if taken.is_old then
      redis.call('DEL', KEYS[6])  -- Of an epoch whose holds are gone.
    end
    redis.call('HSET', KEYS[6], 'epoch', ARGV[1], 'at_ms', text(taken.at),
      'requests', text(taken.requests), 'tokens', text(taken.tokens),
      'open', text(taken.open + 1), 'held', text(taken.held + granted), 'cap', ARGV[11])
    if taken.open == 0 then
      redis.call('PERSIST', KEYS[6])
    end
    -- When time will have made good these tokens too; from then on none of them come back.
    local good_at = taken.at + math.ceil(taken.tokens / math.max(1, per_minute))
    return string.format('@%d %d %d %s|', tokens, good_at, per_minute, KEYS[6])
  end
end

local counter, refusal = gate(KEYS[1], ARGV[1])
if refusal then return refusal end
local ceiling, floor, lease = whole(ARGV[4]), whole(ARGV[5]), whole(ARGV[6])
if not ceiling or not floor or not lease or floor > ceiling or lease == 0
  or ARGV[3] == '' or string.find(ARGV[3], ':', 1, true) or string.byte(ARGV[7]) == 64 then
  return {'BAD', counter}
end
local limits
if KEYS[6] then
  limits = read_limits()
  if not limits then return {'BAD', counter} end
end
local account
account, refusal = read_account(KEYS[2], ARGV[1], counter)
if refusal then return refusal end

local available = account.total - account.held
local existing = redis.call('HGET', KEYS[3], ARGV[3])
if existing then
  return {'SAME', counter, tonumber(string.match(existing, '^(%d+)|')), available}
end
local answer = redis.call('GET', KEYS[5])
if answer then
  return {'DONE', counter, answer}
end

local now = now_ms()
if account.status ~= 'active' then
  return {'SUSPENDED', counter}
end
if account.owed > 0 then
  return {'OWED', counter, account.owed}
end
if account.expires_at_ms > 0 and account.expires_at_ms <= now then
  return {'EXPIRED', counter, account.expires_at_ms}
end
local taken
if limits then
  taken = read_taken(limits, now)
  if limits.cap and not taken.spent then
    return {'NOT_COUNTED', counter}
  end
  local which, wait_ms = refusing(limits, taken)
  if which then
    return with_figures({'LIMITED', counter, which, wait_ms}, limits, taken)
  end
end
local granted = math.min(ceiling, available)
if granted < floor then
  return {'INSUFFICIENT', counter, available, account.held, account.expires_at_ms}
end
if limits and limits.cap then
  granted = math.min(granted, limits.cap - taken.spent - taken.held)
  if granted < floor then
    return {'CAPPED', counter, taken.spent, taken.held}
  end
end

counter = redis.call('HINCRBY', KEYS[1], 'counter', 1)
redis.call('HINCRBY', KEYS[2], 'held', text(granted))
local noted = limits and take(limits, taken, granted) or ''
redis.call('HSET', KEYS[3], ARGV[3], text(granted) .. '|0|' .. noted .. ARGV[7])
redis.call('ZADD', KEYS[4], text(now + lease), ARGV[2] .. ':' .. ARGV[3])
local answer = {'OK', counter, granted, available - granted}
return limits and with_figures(answer, limits, taken) or answer
