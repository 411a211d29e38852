-- purge: drops the live keys of a span that this shard gave away, once no revision
-- that is still readable lies before that.
--
-- ARGV: 1 span kind, 2 and 3 its bounds, 4 most keys to drop.
-- Reply: keys dropped ('>I8').

local s, failure = state()
if failure then return failure end
local min, max = lex_bounds(tonumber(ARGV[1]), ARGV[2], ARGV[3])
local keys = call('ZRANGEBYLEX', LIVE, min, max, 'LIMIT', 0, tonumber(ARGV[4]))
local found, bytes = many(ENTRY, keys, #keys), tonumber(call('HGET', META, 'bytes'))
local fields, members, leased = {}, {}, {}
for i = 1, #keys do
  local _, mod, _, lease, position, n, size = parse(ENTRY_FORMAT, found[i])
  local name = field(position, n)
  fields[#fields + 1] = name
  members[#members + 1] = hist_member(keys[i], mod, position, n)
  if lease ~= NO_LEASE then leased[#leased + 1] = lease .. keys[i] end
  bytes = bytes - size - #name - RECORD_OVERHEAD - 2 * #keys[i] - 300
end
in_chunks('HDEL', REC, fields, #fields)
in_chunks('ZREM', HIST, members, #members)
in_chunks('ZREM', LEASED, leased, #leased)
in_chunks('HDEL', ENTRY, keys, #keys)
in_chunks('ZREM', LIVE, keys, #keys)
call('HSET', META, 'bytes', int(bytes))
return pack('>I8', #keys)
