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
local CUTS_MAX, KEPT = 1000, 20000
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
  local fields, n, at = {}, 0, 1
  for i = 1, #program / ASK_SIZE do
    local ask = {}
    ask.shard, ask.life, ask.tail, ask.after, at = parse(ASK_FORMAT, program, at)
    asks[i] = ask
    local name = int(ask.shard)
    fields[n + 1], fields[n + 2], fields[n + 3] = name .. ':len', name .. ':last', name .. ':incarnation'
    n = n + 3
  end
  local found = many(SHARDS, fields, n)
  for i = 1, n, 3 do
    local shard = asks[(i + 2) / 3].shard
    if not shards[shard] then
      shards[shard] = { tag = pack(SHARD_FORMAT, shard), orders = 0, len = tonumber(found[i] or 0), last = tonumber(found[i + 1] or 0),
        life = found[i + 2], len_field = fields[i], last_field = fields[i + 1] }
    end
  end
end

-- order gives all positions up to the tails asked for their revisions.
local function order()
  local cuts, n, states, newest, first = {}, 0, {}, nil, nil
  for i = 1, #asks do
    local ask = asks[i]
    local k, tail = shards[ask.shard], ask.tail
    if k.life == ask.life and tail > k.len then
      local len = k.len
      newest, first = ask, revision + 1
      revision = revision + tail - len
      k.cut, k.orders, k.before = pack(CUT_FORMAT, len + 1, tail, first, 0), k.orders + 1, len
      k.len, k.last = tail, revision
      if math.floor(len / 4096) ~= math.floor(tail / 4096) and ask.after > KEPT then k.trim = ask.after - KEPT end
      cuts[n + 1], cuts[n + 2] = 0, k.tag .. k.cut
      states[2 * n + 1], states[2 * n + 2], states[2 * n + 3], states[2 * n + 4] = k.len_field, int(tail), k.last_field, int(revision)
      n = n + 2
    end
  end
  if n == 0 then return end
  insist() -- they are on their shards already
  in_chunks('ZADD', ORDERED, cuts, n)
  in_chunks('HSET', SHARDS, states, 2 * n)
  local from = newest.tail - revision + first
  call('XADD', CUTS, 'MAXLEN', '~', 1000, '*', 's', newest.shard, 'f', int(from), 't', int(newest.tail), 'r', int(first))
  call('HSET', ORDER, 'revision', int(revision))
  for _, k in pairs(shards) do
    if k.trim then call('ZREMRANGEBYLEX', ORDERED, '[' .. k.tag, '(' .. k.tag .. pack('>I7', k.trim)) end
  end
end

read_asks()
order()
local now = call('HMGET', ORDER, 'epoch', 'space')
local out = { pack('>I8I8I8I8', revision, s.compacted + 1, tonumber(now[1] or 1), tonumber(now[2] or 0)) }
for i = 1, #asks do
  local ask = asks[i]
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
