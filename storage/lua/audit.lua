-- Checks the shape of an account against its open holds (law L1), and freezes it when it
-- is not what it must be: nothing true can be said of its balance any more.
--
-- KEYS[1]  {pNN}:meta   KEYS[2]  {pNN}:account:<business>   KEYS[3]  {pNN}:holds:<business>
-- ARGV[1]  epoch   ARGV[2]  business
--
-- Answers {OK, counter, total, held, owed, seq, credit_seq, number of open holds}, and
-- changes nothing; {WRONG, counter, why} when it was frozen for that just now. Refuses
-- with {BAD, counter}, NO_ACCOUNT, STALE_EPOCH, FROZEN, and ACCOUNT_FROZEN with the reason
-- when it was frozen before; nothing changes then.

local counter, refusal = gate(KEYS[1], ARGV[1])
if refusal then return refusal end
if not ARGV[2] or ARGV[2] == '' then
  return {'BAD', counter}
end
local frozen = redis.call('HGET', KEYS[2], 'frozen')
if frozen and frozen ~= '' then
  return {'ACCOUNT_FROZEN', counter, frozen}
end

-- Answers account, holds, nil, or nil, nil, and what is wrong.
local function looked_at()
  local account
  account, refusal = read_account(KEYS[2], ARGV[1], counter)
  if refusal then
    return nil, nil, 'a field of it is not what a script writes, or more is held than there is'
  end
  local held, holds = 0, redis.call('HGETALL', KEYS[3])
  for i = 2, #holds, 2 do
    local granted = whole(string.match(holds[i], '^(%d+)|%d+|'))
    if not granted then
      return nil, nil, 'hold ' .. holds[i - 1] .. ' is not what a script writes'
    end
    held = held + granted
  end
  if held ~= account.held then
    return nil, nil, text(account.held) .. ' micro-credits are held, and its open holds add up to '
      .. text(held)
  end
  return account, #holds / 2, nil
end

local account, holds, wrong = looked_at()
if refusal and refusal[1] ~= 'CORRUPT' then return refusal end
if wrong then
  counter = redis.call('HINCRBY', KEYS[1], 'counter', 1)
  redis.call('HSET', KEYS[2], 'frozen', wrong)
  return {'WRONG', counter, wrong}
end
return {'OK', counter, account.total, account.held, account.owed, account.seq,
  account.credit_seq, holds}
