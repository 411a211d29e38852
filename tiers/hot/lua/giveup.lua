-- giveup: lets a shard go on without the positions that it has lost. It runs without
-- a salt, after what it has was stamped.
--
-- ARGV: 1 last ordered position.
-- Reply: 'ok'.

local tail = tonumber(call('HGET', META, 'tail') or 0)
if not call('HGET', META, 'tail') then
  call('HSET', META, 'bytes', '0', 'delta', '0', 'swept', '1', 'cleared', '1')
end
call('DEL', PENDING, STEPS)
local last = int(math.max(tail, tonumber(ARGV[1])))
call('HSET', META, 'tail', last, 'stamped', last)
call('HDEL', META, 'lock')
call('HDEL', ORDER, 'corrupt')
return 'ok'
