-- Shared by every script of a shard. The text that is loaded starts with
--   local incarnation = '<16 hex digits>'
-- followed by this file and one entry point.
--
-- KEYS: the same fifteen for every script, all under one hash tag.
--
-- Numbers: revisions, positions and versions are below 2^53 (Lua numbers are
-- doubles) and are stored in seven bytes, big-endian. Lease ids use all 64 bits
-- and stay eight-byte strings.
--
-- Never compare strings with < or >: Redis collates by locale.

local ORDER, CUTS, LEASES, DUE, MEMBERS, ALARMS, CALLS, HOLDS, META, REC, ENTRY, LIVE, HIST, RUNS, LEASED = unpack(KEYS)
local call, pack, parse = redis.call, struct.pack, struct.unpack
local format, sub, byte, find, gsub = string.format, string.sub, string.byte, string.find, string.gsub

-- ENTRY value: create, mod, version, lease, position, sub, length of the record.
local ENTRY_FORMAT = '>I7I7I7c8I7I3I4'
-- REC value: flags (1: deletion), events in the transaction (first event only),
-- create, version, lease, the replaced version's position, sub and mod revision
-- (0: none), key length; then key, then value.
local REC_FORMAT = '>BI3I7I7c8I7I3I7I4'
local REC_HEADER = 47
-- HIST member: escaped key, then mod, position, sub of an event that later
-- readers of old revisions begin at: each deletion, and each CHECKPOINT-th
-- version of a key. From there they go from record to record, as each names the
-- version that it replaced, so no walk is longer than CHECKPOINT.
local HIST_FORMAT = '>I7I7I3'
local HIST_TAIL = 17
local CHECKPOINT = 8
-- What a record costs in memory beyond its bytes: nodes of the index.
local RECORD_OVERHEAD = 64
local NO_LEASE = '\0\0\0\0\0\0\0\0'
local CHUNK = 4000

local function int(n) return format('%d', n) end

-- field names the record of one event: "<position>" or "<position>:<sub>".
local function field(position, s)
  if s == 0 then return int(position) end
  return int(position) .. ':' .. s
end

-- record_key cuts the key out of a record.
local function record_key(rec)
  return sub(rec, REC_HEADER + 1, REC_HEADER + parse('>I4', rec, REC_HEADER - 3))
end

-- record_value cuts the value out of a record of a key.
local function record_value(rec, key)
  return sub(rec, REC_HEADER + 1 + #key)
end

-- item is a record as replies carry it: mod, length, record.
local function item(mod, rec)
  return pack('>I7I4', mod, #rec) .. rec
end

-- escape keeps the order of keys where more bytes follow: NUL becomes NUL 255,
-- and NUL 1 ends the key.
local function escape(key)
  if find(key, '\0', 1, true) then key = gsub(key, '%z', '\0\255') end
  return key .. '\0\1'
end

-- hist_member names an event of a key in HIST.
local function hist_member(key, mod, position, n)
  return escape(key) .. pack(HIST_FORMAT, mod, position, n)
end

local function unescape(member)
  local key = sub(member, 1, -HIST_TAIL - 3)
  if find(key, '\0', 1, true) then key = gsub(key, '%z\255', '\0') end
  return key
end

-- less compares byte by byte, eight at a time as long as those are the same.
local function less(a, b)
  local n, i = math.min(#a, #b), 1
  while i + 7 <= n do
    local a1, a2, a3, a4, a5, a6, a7, a8 = byte(a, i, i + 7)
    local b1, b2, b3, b4, b5, b6, b7, b8 = byte(b, i, i + 7)
    if a1 ~= b1 or a2 ~= b2 or a3 ~= b3 or a4 ~= b4 or a5 ~= b5 or a6 ~= b6 or a7 ~= b7 or a8 ~= b8 then break end
    i = i + 8
  end
  for k = i, n do
    local x, y = byte(a, k), byte(b, k)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- Span kinds: a single key, all keys with a prefix, [a, b), all keys from a on.
local SINGLE, PREFIX, BETWEEN, FROM = 0, 1, 2, 3

-- within says whether key lies in the span. For a prefix span a is the prefix.
local function within(key, kind, a, b)
  if kind == SINGLE then return key == a end
  if kind == PREFIX then return sub(key, 1, #a) == a end
  if less(key, a) then return false end
  return kind == FROM or less(key, b)
end

-- each_chunk calls a command with a long argument list in bounded pieces.
local function in_chunks(command, key, list, n)
  for i = 1, n, CHUNK do
    call(command, key, unpack(list, i, math.min(i + CHUNK - 1, n)))
  end
end

-- many reads a long list of hash fields, in order.
local function many(key, list, n)
  if n == 0 then return {} end
  if n <= CHUNK then return call('HMGET', key, unpack(list, 1, n)) end
  local out = {}
  for i = 1, n, CHUNK do
    local part = call('HMGET', key, unpack(list, i, math.min(i + CHUNK - 1, n)))
    for j = 1, #part do out[i + j - 1] = part[j] end
  end
  return out
end

-- state reads the sequencer's state, or the error that forbids to go on: this
-- text belongs to an older life of this Redis, or data was lost (with
-- even_corrupt only the former).
local function state(even_corrupt)
  local o = call('HMGET', ORDER, 'incarnation', 'revision', 'compacted', 'corrupt', 'nospace', 'recovered')
  if o[1] ~= incarnation then
    return nil, redis.error_reply('TIERD_INCARNATION these scripts belong to another incarnation')
  end
  if o[4] and not even_corrupt then
    return nil, redis.error_reply('TIERD_CORRUPT ' .. o[4])
  end
  return { revision = tonumber(o[2]), compacted = tonumber(o[3]), corrupt = o[4], nospace = o[5], recovered = tonumber(o[6]) }
end

local function now_ms()
  local t = call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- LEASES value: granted time to live in seconds, end in milliseconds.
local LEASE_FORMAT = '>I8I8'

-- above is the bound that ends what begins with an eight-byte number: the next
-- one, and nothing for the highest (lease -1), whose keys may begin with any byte.
local function above(lease)
  for i = 8, 1, -1 do
    local c = byte(lease, i)
    if c < 255 then return '(' .. sub(lease, 1, i - 1) .. string.char(c + 1) end
  end
  return '+'
end

-- lease_end is when a lease ends: never before its full time to live has passed
-- since this Redis was last recovered. (A recovery that lies in the future shows that
-- the clock has jumped back since; it says nothing then.)
local function lease_end(value, recovered, now)
  local ttl, ends = parse(LEASE_FORMAT, value)
  if recovered > now then return ends, ttl end
  return math.max(ends, recovered + ttl * 1000), ttl
end

-- leased_keys lists the keys of a lease, in order.
local function leased_keys(lease)
  local keys = call('ZRANGEBYLEX', LEASED, '[' .. lease, above(lease))
  for i = 1, #keys do keys[i] = sub(keys[i], 9) end
  return keys
end

-- position_of finds where revision r was appended on this shard.
local function position_of(r)
  local run = call('ZREVRANGEBYSCORE', RUNS, int(r), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not run[1] then return nil end
  return tonumber(run[1]) + r - tonumber(run[2])
end

-- positions finds the positions of revisions from..to, nil where one is unknown.
local function positions(from, to)
  local first = position_of(from)
  if not first then return nil end
  local runs = call('ZRANGEBYSCORE', RUNS, '(' .. int(from), int(to), 'WITHSCORES')
  local out, delta, run = {}, first - from, 1
  local next_run = tonumber(runs[2])
  for r = from, to do
    if r == next_run then
      delta = tonumber(runs[run]) - r
      run = run + 2
      next_run = tonumber(runs[run + 1])
    end
    out[r - from + 1] = r + delta
  end
  return out
end

-- lex_bounds gives the bounds of a span for a set of plain keys, and with an
-- escape function for HIST.
local function lex_bounds(kind, a, b, coded)
  coded = coded or function(k) return k end
  if kind == SINGLE then
    if coded == escape then return '[' .. escape(a), '(' .. escape(a .. '\0') end
    return '[' .. a, '[' .. a
  end
  if kind == FROM then return '[' .. coded(a), '+' end
  return '[' .. coded(a), '(' .. coded(b)
end
