-- sequence: gives positions of shards their revisions, and says what has been given.
-- It runs on the sequencer; for the positions that it orders it is the commit point.
--
-- ARGV: 1 per shard asked for ('>I2c16I7I7'): shard, incarnation that its tail was
--   read in, tail (0: order nothing), position after which cuts are wanted.
-- Reply: revision, compacted+1, epoch, space as alarm.lua counts it ('>I8I8I8I8'), then per shard
--   status (0, or 1 if the shard has begun another incarnation), last ordered
--   position, its revision, the shard's incarnation, number of cuts ('>BI7I7c16I2'),
--   cuts ('>I7I7I7B').
-- Twice is as good as once.
--
-- One sequencer serves all shards, so what all those asked for need is read and written
-- by one command each, and whoever lacks only the newest cut gets it without a search.

local s, failure = state()
if failure then return failure end
local ASK_FORMAT, ASK_SIZE = '>I2c16I7I7', 32
-- Bounds of cuts in a reply, and of positions that cuts are kept for.
local CUTS_MAX, KEPT = 1000, 100000
local program, revision = ARGV[1], s.revision
local asks, shards = {}, {}

-- cuts_after lists the cuts of a shard that end after a position.
local function cuts_after(tag, shard, after)
  local behind = '(' .. pack(SHARD_FORMAT, shard + 1)
  local before = call('ZREVRANGEBYLEX', ORDERED, '(' .. tag .. pack('>I7', after + 2), '[' .. tag, 'LIMIT', 0, 1)
  local list = call('ZRANGEBYLEX', ORDERED, before[1] and '[' .. before[1] or '[' .. tag, behind, 'LIMIT', 0, CUTS_MAX)
  for i = 1, #list do list[i] = sub(list[i], 3) end
  return #list, table.concat(list)
end

-- read_asks reads the program, and what is known of each shard in it.
local function read_asks()
  local fields, n = {}, 0
  for at = 1, #program, ASK_SIZE do
    local shard, life, tail, after = parse(ASK_FORMAT, program, at)
    local name = int(shard)
    asks[#asks + 1] = { shard = shard, life = life, tail = tail, after = after }
    fields[n + 1], fields[n + 2], fields[n + 3] = name .. ':len', name .. ':last', name .. ':incarnation'
    n = n + 3
  end
  local found = many(SHARDS, fields, n)
  for i, ask in ipairs(asks) do
    local at = 3 * i
    shards[ask.shard] = shards[ask.shard] or { name = int(ask.shard), tag = pack(SHARD_FORMAT, ask.shard),
      len = tonumber(found[at - 2] or 0), last = tonumber(found[at - 1] or 0), life = found[at], orders = 0 }
  end
end

-- order gives all positions up to the tails asked for their revisions.
local function order()
  local cuts, n, states, newest = {}, 0, {}, nil
  for _, ask in ipairs(asks) do
    local k, tail = shards[ask.shard], ask.tail
    if k.life == ask.life and tail > k.len then
      local first = revision + 1
      revision = revision + tail - k.len
      k.cut, k.orders = pack(CUT_FORMAT, k.len + 1, tail, first, 0), k.orders + 1
      newest = { k.name, int(k.len + 1), int(tail), int(first) }
      if math.floor(k.len / 4096) ~= math.floor(tail / 4096) and ask.after > KEPT then k.trim = ask.after - KEPT end
      k.before, k.len, k.last = k.len, tail, revision
      cuts[n + 1], cuts[n + 2] = 0, k.tag .. k.cut
      states[2 * n + 1], states[2 * n + 2], states[2 * n + 3], states[2 * n + 4] = k.name .. ':len', int(tail), k.name .. ':last', int(revision)
      n = n + 2
    end
  end
  if n == 0 then return end
  in_chunks('ZADD', ORDERED, cuts, n)
  in_chunks('HSET', SHARDS, states, 2 * n)
  call('XADD', CUTS, 'MAXLEN', '~', 1000, '*', 's', newest[1], 'f', newest[2], 't', newest[3], 'r', newest[4])
  call('HSET', ORDER, 'revision', int(revision))
  for _, k in pairs(shards) do
    if k.trim then call('ZREMRANGEBYLEX', ORDERED, '[' .. k.tag, '(' .. k.tag .. pack('>I7', k.trim)) end
  end
end

read_asks()
order()
local now = call('HMGET', ORDER, 'epoch', 'space')
local out = { pack('>I8I8I8I8', revision, s.compacted + 1, tonumber(now[1] or 1), tonumber(now[2] or 0)) }
for i, ask in ipairs(asks) do
  local k = shards[ask.shard]
  local count, cuts = 0, ''
  if k.orders == 1 and ask.after >= k.before and ask.after < k.len then
    count, cuts = 1, k.cut
  elseif ask.after < k.len then
    count, cuts = cuts_after(k.tag, ask.shard, ask.after)
  end
  local status = k.life == ask.life and 0 or 1
  out[i + 1] = pack('>BI7I7c16I2', status, k.len, k.last, k.life or NO_INCARNATION, count) .. cuts
end
return table.concat(out)
