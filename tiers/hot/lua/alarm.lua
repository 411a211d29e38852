-- alarm: raises or lowers an alarm.
--
-- ARGV: 1 'raise', 'raise first' (only if no member's is up), 'lower', 'clear' (lower
--   what was raised as first, unless one was by hand), 'lost' or 'found', 2 member id (8 bytes; all zero when lowering: every member's), 3 type
--   (1 NOSPACE, 2 CORRUPT); for 'lost', which raises CORRUPT for one shard and leaves the
--   others in service (0, the home shard: everything is refused), 4 shard, 5 reason;
--   for 'found', which ends that, 4 shard.
-- Reply: the alarms that changed ('c8B' each).
-- Errors: TIERD_KEEP: CORRUPT is not lowered by hand.

local s, failure = state(nil, true)
if failure then return failure end
local action, id, kind = ARGV[1], ARGV[2], tonumber(ARGV[3])
local NOSPACE = 1
insist()
local changed = {}

-- space says whether it is out, for commits on this shard, and counts the changes, for
-- the other shards: twice the count, and 1 if it is out.
local function space(out)
  if (s.nospace and 1 or 0) == out then return end
  local before = tonumber(call('HGET', ORDER, 'space') or 0)
  call('HSET', ORDER, 'space', int(before - before % 2 + 2 + out))
  if out == 1 then call('HSET', ORDER, 'nospace', '1') else call('HDEL', ORDER, 'nospace') end
end
if action == 'lost' then
  if call('HSETNX', ALARMS, id .. string.char(kind), int(now_ms())) == 1 then changed[1] = id .. string.char(kind) end
  if ARGV[4] == '0' then
    call('HSETNX', ORDER, 'corrupt', ARGV[5])
  else
    call('HSET', SHARDS, int(tonumber(ARGV[4])) .. ':corrupt', ARGV[5])
  end
  return table.concat(changed)
end
-- lost_any says whether anything is still missing.
local function lost_any()
  if call('HEXISTS', ORDER, 'corrupt') == 1 then return true end
  local names = call('HKEYS', SHARDS)
  for i = 1, #names do
    if find(names[i], ':corrupt', 1, true) then return true end
  end
  return false
end
if action == 'found' then
  if call('HDEL', SHARDS, int(tonumber(ARGV[4])) .. ':corrupt') == 0 or lost_any() then return '' end
  local up = call('HKEYS', ALARMS)
  for i = 1, #up do
    if byte(up[i], 9) == kind then
      call('HDEL', ALARMS, up[i])
      changed[#changed + 1] = up[i]
    end
  end
  return table.concat(changed)
end
-- Who raised an alarm: by hand, or 'auto:' for a refused write, which 'clear' lowers again.
local by = ''
if action == 'clear' then
  local up = call('HGETALL', ALARMS)
  for i = 1, #up, 2 do
    if byte(up[i], 9) == kind and sub(up[i + 1], 1, 5) ~= 'auto:' then return '' end
  end
  action, id = 'lower', NO_LEASE
end
if action == 'raise first' then
  by = 'auto:'
  local up = call('HKEYS', ALARMS)
  for i = 1, #up do
    if byte(up[i], 9) == kind then return '' end
  end
  action = 'raise'
end
if action == 'raise' then
  local name = id .. string.char(kind)
  if call('HSETNX', ALARMS, name, by .. int(now_ms())) == 1 then changed[1] = name end
  if kind == NOSPACE then space(1) end
  if kind ~= NOSPACE then call('HSET', ORDER, 'corrupt', 'the CORRUPT alarm was raised by hand') end
  return table.concat(changed)
end
if kind ~= NOSPACE then
  if lost_any() then return redis.error_reply('TIERD_KEEP data is missing') end
  return ''
end
local all, left = call('HKEYS', ALARMS), 0
for i = 1, #all do
  if byte(all[i], 9) == kind then
    if id == NO_LEASE or sub(all[i], 1, 8) == id then
      call('HDEL', ALARMS, all[i])
      changed[#changed + 1] = all[i]
    else
      left = left + 1
    end
  end
end
if left == 0 then space(0) end
return table.concat(changed)
