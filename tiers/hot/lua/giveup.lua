-- giveup: lets a shard go on without the positions that it has lost. It runs without
-- a salt, after what it has was stamped.
--
-- ARGV: 1 last ordered position, 2 cluster id (16 hex digits).
-- Reply: 'ok'.

local tail = tonumber(call('HGET', META, 'tail') or 0)
if not call('HGET', META, 'tail') then
  call('HSET', META, 'bytes', '0', 'delta', '0', 'swept', '1', 'cleared', '1')
end
if call('HEXISTS', ORDER, 'incarnation') == 0 then
  call('HSET', ORDER, 'incarnation', NO_INCARNATION, 'revision', '1', 'compacted', '-1', 'cluster', ARGV[2], 'recovered', int(now_ms()))
end
call('DEL', PENDING, STEPS)
local last = int(math.max(tail, tonumber(ARGV[1])))
call('HSET', META, 'tail', last, 'stamped', last)
call('HDEL', META, 'lock')
call('HDEL', ORDER, 'corrupt')
return 'ok'
