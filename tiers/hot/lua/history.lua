-- history: what a reader of the whole keyspace at one moment needs.
--
-- ARGV: 1 mode
--   'hold', 2 name, 3 milliseconds: keeps the state at the compacted revision
--      from being dropped. Reply: revision, compacted+1 ('>I8I8').
--   'renew', 2 name, 3 milliseconds, 4 compacted revision held. Reply: likewise.
--   'release', 2 name. Reply: likewise.
--   'live', 2 revision, 3 key to begin at: versions that are alive and were at
--      that revision. Reply: their number ('>I4'), a reference to each, then the key to go on at after its length ('>I4').
--   'old', 2 revision, 3 member to go on after: the same for replaced versions.

local s, failure = state()
if failure then return failure end
local mode, SCAN = ARGV[1], 2000

local function revisions() return pack('>I8I8', s.revision, s.compacted + 1) end

local function listing(items, next)
  return pack('>I4', #items) .. table.concat(items) .. pack('>I4', #next) .. next
end

if mode == 'hold' or mode == 'renew' then
  local floor = mode == 'hold' and int(s.compacted) or ARGV[4]
  call('HSET', HOLDS, ARGV[2], floor .. ':' .. int(now_ms() + tonumber(ARGV[3])))
  return revisions()
end
if mode == 'release' then
  call('HDEL', HOLDS, ARGV[2])
  return revisions()
end
if mode == 'live' then
  local r, items = tonumber(ARGV[2]), {}
  local keys = call('ZRANGEBYLEX', LIVE, '[' .. ARGV[3], '+', 'LIMIT', 0, SCAN)
  local found = many(ENTRY, keys, #keys)
  for i = 1, #found do
    local _, mod = parse('>I7I7', found[i])
    if mod <= r then items[#items + 1] = live_reference(found[i]) end
  end
  return listing(items, #keys == SCAN and keys[SCAN] .. '\0' or '')
end
if mode == 'old' then
  local r, items = tonumber(ARGV[2]), {}
  local members = call('ZRANGEBYLEX', HIST, ARGV[3] == '' and '-' or '(' .. ARGV[3], '+', 'LIMIT', 0, SCAN)
  for i = 1, #members do
    local mod, ends, position, n = parse(HIST_FORMAT, sub(members[i], -HIST_TAIL))
    if mod <= r and r < ends then items[#items + 1] = old_reference(mod, position, n) end
  end
  return listing(items, #members == SCAN and members[SCAN] or '')
end
return redis.error_reply('TIERD_MODE there is no mode ' .. mode)
