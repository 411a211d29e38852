-- Shared by every script of a shard. The text that is loaded starts with
--   local incarnation = '<16 hex digits>'
-- followed by this file and one entry point.
--
-- KEYS: the same for every script, all under one hash tag. Those of the sequencer
-- hold something on the home shard only.
--
-- A script has at most 200 locals, libraries included, so those few that are needed in few
-- places (KEYS[24], the archive's hash, KEYS[25], its journal, and KEYS[26], auth data) are named there.
--
-- Numbers: revisions, positions and versions are below 2^53 (Lua numbers are
-- doubles) and are stored in seven bytes, big-endian. Lease ids use all 64 bits
-- and stay eight-byte strings.
--
-- Never compare strings with < or >: Redis collates by locale.

local ORDER, CUTS, LEASES, DUE, MEMBERS, ALARMS, CALLS, HOLDS, META, REC, ENTRY, LIVE, HIST, RUNS, LEASED,
  PENDING, STEPS, SHARDS, ORDERED, PLANS, SHARERS, MAP, TOUCHED = unpack(KEYS)
local call, pack, parse = redis.call, struct.pack, struct.unpack
local format, sub, byte, find, gsub = string.format, string.sub, string.byte, string.find, string.gsub

-- ENTRY value: create, mod, version, lease, position, sub, length of the record.
local ENTRY_FORMAT = '>I7I7I7c8I7I3I4'
-- REC value: flags (1: deletion, 2: the value is sealed), events in the transaction (first event only; 0
-- where a list tells them), create (0: this event created the key), version, lease,
-- the replaced version's position, sub and mod revision (0: none), key length; then
-- key, then value.
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
-- STEPS value, per event that waits for its revision: position, sub, flags
-- (CREATED: the key is new, DELETED), lease before, entry without revisions, key
-- length; then the key.
local STEP_FORMAT = '>I7I3Bc8c43I4'
local CREATED, DELETED = 1, 2
-- NO_INCARNATION stands for any in calls.
local NO_INCARNATION = '----------------'
-- ORDERED member: shard, then a cut: from, to, revision of from, 1 if a plan is to be
-- applied there.
local SHARD_FORMAT, CUT_FORMAT, CUT_SIZE = '>I2', '>I7I7I7B', 22
local NO_LEASE = '\0\0\0\0\0\0\0\0'
local CHUNK = 4000

local function int(n) return format('%d', n) end

-- insist lets what a script writes from here on through where memory is out: Redis
-- refuses only a script that has not written yet. (To set an expiry is never refused,
-- and this one, of 2100, is set anew each time.)
local function insist() call('PEXPIREAT', TOUCHED, '4102444800000') end

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

-- state reads the shard's state (on the home shard, the sequencer's too), or the
-- error that forbids to go on: this text belongs to an older life of this Redis, or
-- data was lost (with even_corrupt only the former), or the caller's shard map is
-- older than the gate, the epoch at which this shard last gave keys away (not asked
-- without an epoch).
local function state(epoch, even_corrupt)
  local o = call('HMGET', ORDER, 'incarnation', 'revision', 'compacted', 'corrupt', 'nospace', 'recovered', 'gate')
  if o[1] ~= incarnation then
    return nil, redis.error_reply('TIERD_INCARNATION these scripts belong to another incarnation')
  end
  if o[4] and not even_corrupt then
    return nil, redis.error_reply('TIERD_CORRUPT ' .. o[4])
  end
  if epoch and o[7] and tonumber(o[7]) > tonumber(epoch) then
    return nil, redis.error_reply('TIERD_STALE the shard map has changed')
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

-- journal notes for the archive, while one is written, what happens without taking a
-- revision: a lease was granted ('g', detail: lease and time to live, '>c8I8') or has ended
-- ('e', likewise), or the keyspace was compacted ('c', '>I8'), or had a revision at this time ('m'),
-- or auth data were changed ('a', as plan.lua was told).
-- Entries are numbered without a gap; who reads them finds out if any were dropped.
local function journal(kind, revision, detail)
  local ARCHIVE, JOURNAL, most = KEYS[24], KEYS[25], 100000
  if call('EXISTS', ARCHIVE) == 0 then return end
  local n = call('HINCRBY', ARCHIVE, 'entries', 1)
  call('XADD', JOURNAL, 'MAXLEN', '~', most, int(n) .. '-0', 'e', kind .. pack('>I8I8', revision, now_ms()) .. detail)
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

-- last_stamped is the last position of this shard that has a revision.
local function last_stamped()
  return tonumber(call('HGET', META, 'stamped') or call('HGET', META, 'tail'))
end

-- stretch lists the revisions from..to that this shard has, at most as many as
-- given, and their positions. Revisions in between are on other shards. A run goes
-- on until the next one's first position.
local function stretch(from, to, most, last)
  local revisions, at, n = {}, {}, 0
  local runs = call('ZREVRANGEBYSCORE', RUNS, int(from), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  local later = call('ZRANGEBYSCORE', RUNS, '(' .. int(from), int(to), 'WITHSCORES', 'LIMIT', 0, most)
  for i = 1, #later do runs[#runs + 1] = later[i] end
  if #runs == 0 then return revisions, at, 0 end
  local behind = call('ZRANGEBYSCORE', RUNS, '(' .. runs[#runs], '+inf', 'LIMIT', 0, 1)
  for i = 1, #runs, 2 do
    local position, r = tonumber(runs[i]), tonumber(runs[i + 1])
    local stop = tonumber(runs[i + 2] or behind[1] or last + 1) - 1
    for p = math.max(position, position + from - r), math.min(stop, position + to - r) do
      n = n + 1
      revisions[n], at[n] = r + p - position, p
      if n == most then return revisions, at, n end
    end
  end
  return revisions, at, n
end

-- subs lists the numbers of the events at a position, given the record of number 0:
-- 0, 1, 2, ... as that record counts them; or, where other shards have some of the
-- transaction's events, as a list says that lies beside the records.
local function subs(position, first)
  if first then
    local _, count = parse('>BI3', first)
    if count > 0 then return nil, count end
  end
  local packed = call('HGET', REC, int(position) .. ':i')
  if not packed then return nil, 0 end
  local list, n = {}, #packed / 3
  for i = 1, n do list[i] = parse('>I3', packed, 3 * i - 2) end
  return list, n
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
