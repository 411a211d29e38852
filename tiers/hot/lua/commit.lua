-- commit: decides and orders a batch of transactions on the home shard.
--
-- ARGV: 1 lane, 2 sequence number of the call in its lane, 3 quota in bytes,
--       4 program, 5 number of keys; then the keys, whose entries are prefetched;
--       then any other strings (values, range bounds). The program refers to
--       strings by their index in ARGV.
-- Program, per transaction: flags (1: has puts), conditions, operations of the
--   then-branch, of the else-branch ('>BHHH'); then conditions ('>BBHHI8': target,
--   comparison or span kind, string, string, operand); then operations
--   ('>BBHHc8': kind, flags, string, string, lease).
-- Reply: revision after the batch, 1 if anything was written ('>I8B'), then per
--   transaction: outcome, revision ('>BI8') and the results of its operations.
-- Errors: TIERD_INCARNATION, TIERD_CORRUPT, TIERD_REFUSED (lane closed or call
--   out of sequence). Nothing has changed then.
-- Everything is checked first; writing starts in flush() at the end, except that
-- a transaction over a range flushes what the batch did before it.

local s, failure = state()
if failure then return failure end

local lane, sequence, quota, program, key_count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local last = call('HGET', CALLS, lane)
local last_sequence = last and tonumber(string.match(last, '^(%d+)')) or 0
if last == 'closed' or sequence ~= last_sequence + 1 then
  return redis.error_reply('TIERD_REFUSED the lane is closed or the call is out of sequence')
end

-- Outcomes of a transaction.
local THEN, ELSE, LEASE_NOT_FOUND, KEY_NOT_FOUND, NO_SPACE, CHANGED, NOT_DUE = 1, 2, 3, 4, 5, 6, 7
-- Kinds of operations.
local PUT, DELETE, GET, DELETE_RANGE, REVOKE = 1, 2, 3, 4, 5
-- Comparison targets.
local VERSION, CREATE, MOD, VALUE, LEASE, UNCHANGED = 0, 1, 2, 3, 4, 9
-- How far back UNCHANGED looks before it gives up, in revisions.
local UNCHANGED_REVISIONS_MAX = 10000
-- What a key costs beyond its bytes and those of its records: index nodes.
local KEY_OVERHEAD = 300
-- Where the keys begin in ARGV.
local FIRST_KEY = 6

local meta = call('HMGET', META, 'tail', 'bytes', 'delta')
local tail, bytes, delta = tonumber(meta[1]), tonumber(meta[2]), tonumber(meta[3])
local revision = s.revision
local first_revision, first_position = revision + 1, tail + 1

local entries, before, records, lease_known = {}, {}, {}, {}
local record_list, record_n = {}, 0
local hist_list, hist_n = {}, 0
local dirty, dirty_n = {}, 0
local gone_leases, dropped = {}, 0
-- leasing says that a key with a lease was written or replaced.
local leasing = false

-- prefetch reads the entries of list[first..last] that are not known yet.
local function prefetch(list, first, last)
  for i = first, last, CHUNK do
    local found = call('HMGET', ENTRY, unpack(list, i, math.min(i + CHUNK - 1, last)))
    for j = 1, #found do
      local key = list[i + j - 1]
      if entries[key] == nil then entries[key] = found[j] end
    end
  end
end

prefetch(ARGV, FIRST_KEY, FIRST_KEY + key_count - 1)

local function entry(key)
  local e = entries[key]
  if e == nil then
    e = call('HGET', ENTRY, key)
    entries[key] = e
  end
  return e
end

local function record(position, n)
  local name = field(position, n)
  return records[name] or call('HGET', REC, name)
end

local function set_entry(key, value)
  if before[key] == nil then
    before[key] = entries[key]
    dirty_n = dirty_n + 1
    dirty[dirty_n] = key
  end
  entries[key] = value
end

local function add_record(name, value)
  records[name] = value
  record_list[record_n + 1], record_list[record_n + 2] = name, value
  record_n = record_n + 2
  bytes = bytes + #value + #name + RECORD_OVERHEAD
end

-- flush writes what the batch has decided so far. The first command is one that
-- Redis refuses when out of memory, so that it refuses before anything changed.
local function flush()
  if record_n > 0 then
    in_chunks('HSET', REC, record_list, record_n)
  elseif dropped > 0 then
    call('HSET', META, 'tail', int(tail)) -- a lease goes without any event: still such a command first
  end
  if hist_n > 0 then in_chunks('ZADD', HIST, hist_list, hist_n) end
  local set, set_n, del, del_n, add, add_n = {}, 0, {}, 0, {}, 0
  local attach, attach_n, detach, detach_n = {}, 0, {}, 0
  for i = 1, dirty_n do
    local key = dirty[i]
    local old, new = before[key], entries[key]
    local old_lease, new_lease = NO_LEASE, NO_LEASE
    if leasing then
      old_lease, new_lease = old and sub(old, 22, 29) or NO_LEASE, new and sub(new, 22, 29) or NO_LEASE
    end
    if new then
      set[set_n + 1], set[set_n + 2] = key, new
      set_n = set_n + 2
      if not old then
        add[add_n + 1], add[add_n + 2] = 0, key
        add_n = add_n + 2
        bytes = bytes + 2 * #key + KEY_OVERHEAD
      end
    elseif old then
      del_n = del_n + 1
      del[del_n] = key
      bytes = bytes - 2 * #key - KEY_OVERHEAD
    end
    if old_lease ~= new_lease then
      if old_lease ~= NO_LEASE then
        detach_n = detach_n + 1
        detach[detach_n] = old_lease .. key
      end
      if new_lease ~= NO_LEASE then
        attach[attach_n + 1], attach[attach_n + 2] = 0, new_lease .. key
        attach_n = attach_n + 2
      end
    end
  end
  if set_n > 0 then in_chunks('HSET', ENTRY, set, set_n) end
  if add_n > 0 then in_chunks('ZADD', LIVE, add, add_n) end
  if del_n > 0 then
    in_chunks('HDEL', ENTRY, del, del_n)
    in_chunks('ZREM', LIVE, del, del_n)
  end
  if detach_n > 0 then in_chunks('ZREM', LEASED, detach, detach_n) end
  if attach_n > 0 then in_chunks('ZADD', LEASED, attach, attach_n) end
  if dropped > 0 then
    in_chunks('HDEL', LEASES, gone_leases, dropped)
    in_chunks('ZREM', DUE, gone_leases, dropped)
  end
  before, dirty, dirty_n = {}, {}, 0
  records, record_list, record_n, hist_list, hist_n, gone_leases, dropped = {}, {}, 0, {}, 0, {}, 0
end

-- The transaction being executed: its revision and events so far.
local events, wrote_revision, head, revoked

local function begin_event()
  if events == 0 then
    tail, revision = tail + 1, revision + 1
    wrote_revision = revision
    if revision - tail ~= delta then
      delta = revision - tail
      call('ZADD', RUNS, int(revision), int(tail))
    end
  end
  events = events + 1
  return events - 1
end

local function record_of(count, flags, create, version, lease, ppos, psub, pmod, key, value)
  return pack(REC_FORMAT, flags, count, create, version, lease, ppos, psub, pmod, #key) .. key .. value
end

-- emit stores one event; the first one's record waits for the number of events.
local function emit(n, flags, create, version, lease, ppos, psub, pmod, key, value)
  if n == 0 then
    head = { flags, create, version, lease, ppos, psub, pmod, key, value }
  else
    add_record(field(tail, n), record_of(0, flags, create, version, lease, ppos, psub, pmod, key, value))
  end
end

local function first_record() return record_of(events, unpack(head)) end

local function end_events()
  if events > 0 then add_record(field(tail, 0), first_record()) end
end

-- checkpoint lets readers of old revisions begin at event n of this transaction.
local function checkpoint(key, n)
  hist_list[hist_n + 1], hist_list[hist_n + 2] = 0, hist_member(key, revision, tail, n)
  hist_n = hist_n + 2
end

-- pending_record also finds the transaction's own first event.
local function pending_record(position, n)
  if position == tail and n == 0 and events > 0 then
    return first_record()
  end
  return record(position, n)
end

local function put(flags, key, value, lease)
  local e, prev = entry(key), '\0'
  leasing = leasing or lease ~= NO_LEASE
  local n
  if e then
    local create, mod, version, old_lease, position, psub = parse(ENTRY_FORMAT, e)
    local rec
    if flags % 2 == 1 or flags >= 4 then rec = pending_record(position, psub) end
    if flags >= 4 then prev = '\1' .. item(mod, rec) end
    if flags % 2 == 1 then value = record_value(rec, key) end
    if flags % 4 >= 2 then lease = old_lease end
    leasing = leasing or old_lease ~= NO_LEASE
    n = begin_event()
    if (version + 1) % CHECKPOINT == 0 then checkpoint(key, n) end
    emit(n, 0, create, version + 1, lease, position, psub, mod, key, value)
    set_entry(key, pack(ENTRY_FORMAT, create, revision, version + 1, lease, tail, n, REC_HEADER + #key + #value))
  else
    n = begin_event()
    emit(n, 0, revision, 1, lease, 0, 0, 0, key, value)
    set_entry(key, pack(ENTRY_FORMAT, revision, revision, 1, lease, tail, n, REC_HEADER + #key + #value))
  end
  return prev
end

-- delete removes one key and gives its last version when it is wanted.
local function delete(key, wanted)
  local e = entry(key)
  if not e then return nil end
  local _, mod, _, lease, position, psub = parse(ENTRY_FORMAT, e)
  leasing = leasing or lease ~= NO_LEASE
  local prev = ''
  if wanted then prev = item(mod, pending_record(position, psub)) end
  local n = begin_event()
  checkpoint(key, n)
  emit(n, 1, 0, 0, NO_LEASE, position, psub, mod, key, '')
  set_entry(key, false)
  return prev
end

local function delete_all(keys, wanted)
  prefetch(keys, 1, #keys)
  local out, n = {}, 0
  for i = 1, #keys do
    local prev = delete(keys[i], wanted)
    if prev then
      n = n + 1
      out[n] = prev
    end
  end
  return pack('>I4', n) .. table.concat(out)
end

local function get(key)
  local e = entry(key)
  if not e then return '\0' end
  local _, mod, _, _, position, n = parse(ENTRY_FORMAT, e)
  return '\1' .. item(mod, pending_record(position, n))
end

-- unchanged says whether no event after revision r touched the span.
local function unchanged(kind, a, b, r)
  if revision - r > UNCHANGED_REVISIONS_MAX then return false end
  flush()
  local STEP = 200
  for v = r + 1, revision, STEP do
    local at, names = positions(v, math.min(v + STEP - 1, revision)), {}
    if not at then return false end
    for i = 1, #at do names[i] = field(at[i], 0) end
    local recs = call('HMGET', REC, unpack(names))
    for i = 1, #recs do
      if not recs[i] then return false end
      if within(record_key(recs[i]), kind, a, b) then return false end
      local _, count = parse(REC_FORMAT, recs[i])
      for n = 1, count - 1 do
        if within(record_key(call('HGET', REC, names[i] .. ':' .. n)), kind, a, b) then return false end
      end
    end
  end
  return true
end

local function compare(op, result)
  if op == 0 then return result == 0 end
  if op == 1 then return result > 0 end
  if op == 2 then return result < 0 end
  return result ~= 0
end

-- holds says whether one condition holds; the second result is CHANGED where
-- what a snapshot was read from is not so any more.
local function holds(target, op, a, b, operand)
  if target == UNCHANGED then
    if unchanged(op, ARGV[a], ARGV[b], operand) then return true end
    return false, CHANGED
  end
  local e = entry(ARGV[a])
  if target == VALUE then
    if not e then return false end
    local _, _, _, _, position, n = parse(ENTRY_FORMAT, e)
    local same = record_value(record(position, n), ARGV[a]) == ARGV[b]
    return same == (op == 0)
  end
  if target == LEASE then
    local lease = e and sub(e, 22, 29) or NO_LEASE
    return (lease == ARGV[b]) == (op == 0)
  end
  local create, mod, version = 0, 0, 0
  if e then create, mod, version = parse('>I7I7I7', e) end
  local have = target == VERSION and version or target == CREATE and create or mod
  -- The operand travels one too high, so that -1 can.
  return compare(op, have + 1 - operand)
end

local function lease_exists(lease)
  if lease_known[lease] == nil then
    lease_known[lease] = call('HEXISTS', LEASES, lease) == 1
  end
  return lease_known[lease]
end

-- check says why an operation cannot be done, before anything is.
local function check(kind, flags, key, lease)
  if kind == PUT then
    if lease ~= NO_LEASE and not lease_exists(lease) then return LEASE_NOT_FOUND end
    if flags % 4 ~= 0 and not entry(key) then return KEY_NOT_FOUND end
  elseif kind == REVOKE then
    if not lease_exists(lease) then return LEASE_NOT_FOUND end
    local now = now_ms()
    if flags == 1 and lease_end(call('HGET', LEASES, lease), s.recovered, now) > now then return NOT_DUE end
  end
end

-- covered gives the keys of a span that are alive, those that this transaction
-- has created included. (etcd lets a transaction put a key and then delete it
-- with a span that has no end.)
local function covered(kind, a, b)
  local min, max = lex_bounds(kind, a, b)
  local keys = call('ZRANGEBYLEX', LIVE, min, max)
  local known = #keys
  for i = 1, dirty_n do
    local key = dirty[i]
    if entries[key] and not before[key] and within(key, kind, a, b) then keys[#keys + 1] = key end
  end
  if #keys > known then table.sort(keys, less) end
  return keys
end

local function execute(kind, flags, a, b, lease)
  if kind == PUT then return put(flags, ARGV[a], ARGV[b], lease) end
  if kind == GET then return get(ARGV[a]) end
  if kind == DELETE then return delete_all({ ARGV[a] }, flags >= 4) end
  if kind == DELETE_RANGE then return delete_all(covered(flags % 4, ARGV[a], ARGV[b]), flags >= 4) end
  local keys = leased_keys(lease)
  revoked = true
  dropped = dropped + 1
  gone_leases[dropped] = lease
  lease_known[lease] = false
  return delete_all(keys, false)
end

local COND_SIZE, OP_SIZE = 14, 14
local at, size = 1, #program
local out, out_n, outcomes = {}, 0, {}

local function transaction()
  local flags, conditions, thens, elses
  flags, conditions, thens, elses, at = parse('>BHHH', program, at)
  local outcome, refusal = THEN, nil
  local start = at
  for i = 1, conditions do
    local target, op, a, b, operand = parse('>BBHHI8', program, start + (i - 1) * COND_SIZE)
    local ok, why = holds(target, op, a, b, operand)
    if not ok then
      outcome, refusal = ELSE, why
      break
    end
  end
  local then_at = start + conditions * COND_SIZE
  local else_at = then_at + thens * OP_SIZE
  at = else_at + elses * OP_SIZE
  if refusal then return refusal end
  if flags % 2 == 1 and (s.nospace or bytes > quota) then return NO_SPACE end
  local from, count = then_at, thens
  if outcome == ELSE then from, count = else_at, elses end
  if count == 1 then -- most are like this: without lists
    local kind, op_flags, a, b, lease = parse('>BBHHc8', program, from)
    refusal = check(kind, op_flags, ARGV[a], lease)
    if refusal then return refusal end
    if kind >= DELETE_RANGE then flush() end
    local result = execute(kind, op_flags, a, b, lease)
    end_events()
    return outcome, result
  end
  local ranged = false
  for i = 0, count - 1 do
    local kind, op_flags, a, _, lease = parse('>BBHHc8', program, from + i * OP_SIZE)
    refusal = check(kind, op_flags, ARGV[a], lease)
    if refusal then return refusal end
    ranged = ranged or kind >= DELETE_RANGE
  end
  if ranged then flush() end
  local results = {}
  for i = 0, count - 1 do
    local kind, op_flags, a, b, lease = parse('>BBHHc8', program, from + i * OP_SIZE)
    results[i + 1] = execute(kind, op_flags, a, b, lease)
  end
  end_events()
  return outcome, table.concat(results)
end

local changed = false
while at <= size do
  events, wrote_revision, head, revoked = 0, nil, nil, false
  local outcome, results = transaction()
  out[out_n + 1], out[out_n + 2] = pack('>BI8', outcome, wrote_revision or revision), results or ''
  out_n = out_n + 2
  outcomes[out_n / 2] = wrote_revision and '1' or (revoked and '2' or '0')
  changed = changed or wrote_revision or revoked
end

if changed then
  flush()
  call('HSET', ORDER, 'revision', int(revision))
  call('HSET', META, 'tail', int(tail), 'bytes', int(bytes), 'delta', int(delta))
  if revision >= first_revision then
    call('XADD', CUTS, 'MAXLEN', '~', 1000, '*', 's', 0, 'f', int(first_position), 't', int(tail), 'r', int(first_revision))
  end
  call('HSET', CALLS, lane, int(sequence) .. ':' .. int(first_revision) .. ':' .. table.concat(outcomes))
end
return pack('>I8B', revision, changed and 1 or 0) .. table.concat(out)
