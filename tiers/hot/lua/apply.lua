-- apply: carries out this shard's part of a plan, and unlocks. Twice is as good as
-- once.
--
-- ARGV: 1 token, 2 position the part takes (0: none), 3 revision, 4 effects,
--   5 leases whose keys this shard may hold from now on, 6 leases that have ended,
--   7 gate, or '', 8 to 10 cuts, horizon and compacted revision, as stamp's.
-- Reply: status, last stamped position ('>BI8').

local failure
local s
s, failure = state()
if failure then return failure end
local token, position = ARGV[1], tonumber(ARGV[2])
local status, stamped = stamp(ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]))
if status ~= DONE then return pack('>BI8', status, stamped) end
local meta = call('HMGET', META, 'tail', 'bytes', 'delta', 'lock')
ordered, revision = true, tonumber(ARGV[3]) - 1
tail, bytes, delta = tonumber(meta[1]), tonumber(meta[2]), tonumber(meta[3])

insist() -- it is decided
if position > tail then
  if position ~= tail + 1 or stamped ~= tail then return pack('>BI8', GAP, stamped) end
  carry_out(ARGV[4])
  call('HSET', META, 'tail', int(tail), 'stamped', int(tail), 'bytes', int(bytes), 'delta', int(delta))
  if s.revision < revision then call('HSET', ORDER, 'revision', int(revision)) end
  for i = 1, #ARGV[5], 8 do call('HSET', LEASES, sub(ARGV[5], i, i + 7), '') end
end
if meta[4] == token then
  for i = 1, #ARGV[6], 8 do call('HDEL', LEASES, sub(ARGV[6], i, i + 7)) end
end
if ARGV[7] ~= '' and tonumber(call('HGET', ORDER, 'gate') or 0) < tonumber(ARGV[7]) then call('HSET', ORDER, 'gate', ARGV[7]) end
if meta[4] == token then call('HDEL', META, 'lock') end
return pack('>BI8', DONE, math.max(stamped, tail))
