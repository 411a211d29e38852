-- repair: drops keys from the index whose records are gone, a stretch at a time. It
-- runs without a salt.
--
-- ARGV: 1 key to go on from, '' to begin.
-- Reply: next key ('' when all were looked at), then the keys that were dropped.

local STRETCH = 1000
local keys = call('ZRANGEBYLEX', LIVE, ARGV[1] == '' and '-' or '[' .. ARGV[1], '+', 'LIMIT', 0, STRETCH)
local found, names = many(ENTRY, keys, #keys), {}
local out = { #keys == STRETCH and keys[STRETCH] .. '\0' or '' }
for i = 1, #keys do
  local there = false
  if found[i] then
    local position, n = parse('>I7I3', found[i], 30)
    there = call('HEXISTS', REC, field(position, n)) == 1
  end
  if not there then
    out[#out + 1] = keys[i]
    call('ZREM', LIVE, keys[i])
    call('HDEL', ENTRY, keys[i])
    if found[i] then call('ZREM', LEASED, sub(found[i], 22, 29) .. keys[i]) end
  end
end
return out
