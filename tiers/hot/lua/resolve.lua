-- resolve: what became of a call whose reply was lost.
--
-- ARGV: 1 lane, 2 sequence number.
-- Reply: 'done:<incarnation>:<first revision>:<outcomes>' (one character per transaction, 1 if
--   it took a revision or, where that is not known yet, a position, 2 if it wrote without one, 0 if not); 'not done': the lane is closed now, so that the call can
--   never run any more; 'unknown': the lane has moved on.
local s, failure = state()
if failure then return failure end
local lane, sequence = ARGV[1], tonumber(ARGV[2])
local last = call('HGET', CALLS, lane)
if last == 'closed' then return 'not done' end
local n, rest = 0, nil
if last then
  n, rest = string.match(last, '^(%d+):(.*)$')
  n = tonumber(n)
end
if n == sequence then return 'done:' .. incarnation .. ':' .. rest end
if n == sequence - 1 then
  call('HSET', CALLS, lane, 'closed')
  return 'not done'
end
return 'unknown'
