-- lanes: whose lanes a shard remembers, and the end of those of members that are gone.
--
-- ARGV: 1 members to forget, 8 bytes each.
-- Reply: the members that have lanes left, 8 bytes each.

local s, failure = state()
if failure then return failure end
local gone, members, seen = {}, {}, {}
for i = 1, #ARGV[1], 8 do gone[sub(ARGV[1], i, i + 7)] = true end
local lanes = call('HKEYS', CALLS)
for i = 1, #lanes do
  local member = sub(lanes[i], 1, 8)
  if gone[member] then
    call('HDEL', CALLS, lanes[i])
  elseif not seen[member] then
    seen[member] = true
    members[#members + 1] = member
  end
end
return table.concat(members)
