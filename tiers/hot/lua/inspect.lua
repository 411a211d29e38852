-- inspect: what a shard, or a span of it, holds and takes.
--
-- ARGV: 1 mode
--   'summary'. Reply: live keys, bytes, tail, last stamped position, horizon ('>I8'
--      each), incarnation, token of the lock, each after its length ('>I4').
--   'span', 2 kind, 3 and 4 bounds, 5 number of last writes to look at. Reply: live keys
--      of the span, how many of the last writes fell into it, of how many ('>I8' each),
--      the key that halves its keys and the one that halves those writes, each after
--      its length ('>I4').
-- Nothing is changed.

local s, failure = state(nil, true)
if failure then return failure end
local function text(value) return pack('>I4', #value) .. value end
local tail = tonumber(call('HGET', META, 'tail'))
local stamped = last_stamped()
if ARGV[1] == 'summary' then
  local m = call('HMGET', META, 'bytes', 'lock')
  return pack('>I8I8I8I8I8', call('ZCARD', LIVE), math.max(0, tonumber(m[1])), tail, stamped, s.revision) .. text(incarnation) .. text(m[2] or '')
end
local kind, a, b = tonumber(ARGV[2]), ARGV[3], ARGV[4]
local min, max = lex_bounds(kind, a, b)
local keys, middle = call('ZLEXCOUNT', LIVE, min, max), ''
if keys > 1 then middle = call('ZRANGEBYLEX', LIVE, min, max, 'LIMIT', math.floor(keys / 2), 1)[1] end
local names, sampled = {}, 0
for p = math.max(1, stamped - tonumber(ARGV[5]) + 1), stamped do names[#names + 1] = int(p) end
local written = {}
for _, rec in ipairs(many(REC, names, #names)) do
  if rec then
    sampled = sampled + 1
    local key = record_key(rec)
    if within(key, kind, a, b) then written[#written + 1] = key end
  end
end
table.sort(written, less)
local halves = written[math.floor(#written / 2) + 1] or ''
return pack('>I8I8I8', keys, #written, sampled) .. text(middle) .. text(halves)
