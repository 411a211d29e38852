-- sequence: gives positions of shards their revisions, and says what has been given.
-- It runs on the sequencer; for the positions that it orders it is the commit point.
--
-- ARGV: 1 per shard asked for ('>I2c16I7I7'): shard, incarnation that its tail was
--   read in, tail (0: order nothing), position after which cuts are wanted.
-- Reply: revision, compacted+1, epoch, 1 if space is out ('>I8I8I8B'), then per shard
--   status (0, or 1 if the shard has begun another incarnation), last ordered
--   position, its revision, the shard's incarnation, number of cuts ('>BI7I7c16I2'),
--   cuts ('>I7I7I7B').
-- Twice is as good as once.

local s, failure = state()
if failure then return failure end
local ASK_FORMAT = '>I2c16I7I7'
-- Bounds of cuts in a reply, and of positions that cuts are kept for.
local CUTS_MAX, KEPT = 1000, 100000
local revision = s.revision
local out = { '' }

-- cuts_after lists the cuts of a shard that end after a position.
local function cuts_after(shard, after)
  local tag = pack(SHARD_FORMAT, shard)
  local behind = '(' .. pack(SHARD_FORMAT, shard + 1)
  local before = call('ZREVRANGEBYLEX', ORDERED, '(' .. tag .. pack('>I7', after + 2), '[' .. tag, 'LIMIT', 0, 1)
  local list = call('ZRANGEBYLEX', ORDERED, before[1] and '[' .. before[1] or '[' .. tag, behind, 'LIMIT', 0, CUTS_MAX)
  for i = 1, #list do list[i] = sub(list[i], 3) end
  return list
end

for at = 1, #ARGV[1], 32 do
  local shard, life, tail, after = parse(ASK_FORMAT, ARGV[1], at)
  local name = int(shard)
  local known = call('HMGET', SHARDS, name .. ':len', name .. ':last', name .. ':incarnation')
  local len, last, status = tonumber(known[1] or 0), tonumber(known[2] or 0), 0
  if known[3] ~= life then status = 1 end
  if status == 0 and tail > len then
    local first = revision + 1
    revision = revision + tail - len
    call('ZADD', ORDERED, 0, pack(SHARD_FORMAT, shard) .. pack(CUT_FORMAT, len + 1, tail, first, 0))
    call('XADD', CUTS, 'MAXLEN', '~', 1000, '*', 's', name, 'f', int(len + 1), 't', int(tail), 'r', int(first))
    call('HSET', SHARDS, name .. ':len', int(tail), name .. ':last', int(revision))
    if math.floor(len / 4096) ~= math.floor(tail / 4096) and after > KEPT then
      local tag = pack(SHARD_FORMAT, shard)
      call('ZREMRANGEBYLEX', ORDERED, '[' .. tag, '(' .. tag .. pack('>I7', after - KEPT))
    end
    len, last = tail, revision
  end
  local cuts = {}
  if len > after then cuts = cuts_after(shard, after) end
  out[#out + 1] = pack('>BI7I7c16I2', status, len, last, known[3] or NO_INCARNATION, #cuts) .. table.concat(cuts)
end
if revision > s.revision then call('HSET', ORDER, 'revision', int(revision)) end
out[1] = pack('>I8I8I8B', revision, s.compacted + 1, tonumber(call('HGET', ORDER, 'epoch') or 1), s.nospace and 1 or 0)
return table.concat(out)
