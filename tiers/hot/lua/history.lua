-- history: holds, which keep what a reader of the whole keyspace needs.
--
-- ARGV: 1 mode
--   'hold', 2 name, 3 milliseconds: keeps the state at the compacted revision
--      from being dropped. Reply: revision, compacted+1 ('>I8I8').
--   'renew', 2 name, 3 milliseconds, 4 compacted revision held. Reply: likewise.
--   'release', 2 name. Reply: likewise.

local s, failure = state()
if failure then return failure end
local mode = ARGV[1]

local function revisions() return pack('>I8I8', s.revision, s.compacted + 1) end

if mode == 'hold' or mode == 'renew' then
  local floor = mode == 'hold' and int(s.compacted) or ARGV[4]
  call('HSET', HOLDS, ARGV[2], floor .. ':' .. int(now_ms() + tonumber(ARGV[3])))
  return revisions()
end
if mode == 'release' then
  call('HDEL', HOLDS, ARGV[2])
  return revisions()
end
return redis.error_reply('TIERD_MODE there is no mode ' .. mode)
