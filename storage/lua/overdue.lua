-- Finds holds whose lease has ended, by the clock of Redis, the oldest first.
--
-- KEYS[1]  {pNN}:deadlines
-- ARGV[1]  how many to pass over   ARGV[2]  how many at most
--
-- Answers {business:hold id, …}. Changes nothing, and runs at any epoch: what is found is
-- judged again by the settle that sweeps it.

return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now_ms()), 'LIMIT', ARGV[1], ARGV[2])
