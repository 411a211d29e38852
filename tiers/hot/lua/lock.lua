-- lock: lets one token alone write to this shard, or ends that.
--
-- ARGV: 1 'lock' or 'unlock', 2 token (16 hex digits); to lock: 3 to 5 cuts, horizon
--   and compacted revision, as stamp's.
-- Reply: status of stamping, last stamped position, tail, incarnation ('>BI8I8c16').
-- Errors: TIERD_BUSY <token> if another token holds it.

local s, failure = state()
if failure then return failure end
local held = call('HGET', META, 'lock')
local status, stamped = DONE, 0
if ARGV[1] == 'unlock' then
  if held == ARGV[2] then call('HDEL', META, 'lock') end
else
  if held and held ~= ARGV[2] then return redis.error_reply('TIERD_BUSY ' .. held) end
  if s.nospace then insist() end -- nothing is put then
  call('HSET', META, 'lock', ARGV[2])
  status, stamped = stamp(ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]))
end
return pack('>BI8I8c16', status, stamped, tonumber(call('HGET', META, 'tail')), incarnation)
