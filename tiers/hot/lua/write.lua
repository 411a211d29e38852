-- Shared by the scripts that write: what a batch has made of keys so far, and how
-- it gets into the index.

-- ordered says that this shard knows its revisions at once: the home shard, and a
-- plan that is applied; elsewhere the index changes when positions are stamped.
-- revision is the last one given; tail, bytes and delta are META's.
local ordered, revision, tail, bytes, delta

-- What a key costs beyond its bytes and those of its records: index nodes.
local KEY_OVERHEAD = 300

local entries, before, records, lease_known = {}, {}, {}, {}
local record_list, record_n = {}, 0
local hist_list, hist_n = {}, 0
local dirty, dirty_n = {}, 0
local gone_leases, gone_at, dropped = {}, {}, 0 -- leases that end, and in which revision
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
    local ended = many(LEASES, gone_leases, dropped)
    for i = 1, dropped do
      if ended[i] then journal('e', gone_at[i], gone_leases[i] .. sub(ended[i], 1, 8)) end
    end
    in_chunks('HDEL', LEASES, gone_leases, dropped)
    in_chunks('ZREM', DUE, gone_leases, dropped)
  end
  before, dirty, dirty_n = {}, {}, 0
  records, record_list, record_n, hist_list, hist_n, gone_leases, gone_at, dropped = {}, {}, 0, {}, 0, {}, {}, 0
end

-- The transaction being executed: its revision and events so far; the numbers of
-- its events where it is one part of a plan.
local events, wrote_revision, head, revoked = 0, nil, nil, false
local numbered
-- step collects, where revisions are not known yet, what stamping has to do.
local step, step_n = {}, 0

local function begin_event()
  if events == 0 then
    tail = tail + 1
    if ordered then revision = revision + 1 end
    wrote_revision = revision
    if ordered and revision - tail ~= delta then
      delta = revision - tail
      call('ZADD', RUNS, int(revision), int(tail))
    end
  end
  events = events + 1
  return numbered and numbered[events] or events - 1
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

-- scattered says that the events of this part are not numbered 0, 1, 2, ...
local function scattered()
  for i = 1, events do
    if numbered and numbered[i] ~= i - 1 then return true end
  end
  return false
end

local function first_record() return record_of(scattered() and 0 or events, unpack(head)) end

local function end_events()
  if events == 0 then return end
  if scattered() then
    local list = {}
    for i = 1, events do list[i] = pack('>I3', numbered[i]) end
    add_record(int(tail) .. ':i', table.concat(list))
  end
  if head then add_record(field(tail, 0), first_record()) end
end

-- checkpoint lets readers of old revisions begin at event n of this transaction.
local function checkpoint(key, n)
  if not ordered then return end
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

-- own is the revision being written, as entries have it: 0 until it is stamped.
local function own() return ordered and revision or 0 end

-- later leaves to stamping what has to be done to the index for one event.
local function later(n, flags, old_lease, key)
  if ordered then return end
  if flags == CREATED then bytes = bytes + 2 * #key + KEY_OVERHEAD end
  if flags == DELETED then bytes = bytes - 2 * #key - KEY_OVERHEAD end
  local e = entries[key] or pack(ENTRY_FORMAT, 0, 0, 0, NO_LEASE, tail, n, 0)
  step_n = step_n + 1
  step[step_n] = pack(STEP_FORMAT, tail, n, flags, old_lease, e, #key) .. key
end

local function put(flags, key, value, lease)
  local e, prev = entry(key), '\0'
  leasing = leasing or lease ~= NO_LEASE
  local n
  local sealed = flags >= 8 and 2 or 0
  if e then
    local create, mod, version, old_lease, position, psub = parse(ENTRY_FORMAT, e)
    local rec
    if flags % 2 == 1 or flags % 8 >= 4 then rec = pending_record(position, psub) end
    if flags % 8 >= 4 then prev = '\1' .. item(mod, rec) end
    if flags % 2 == 1 then value, sealed = record_value(rec, key), byte(rec) end
    if flags % 4 >= 2 then lease = old_lease end
    leasing = leasing or old_lease ~= NO_LEASE
    n = begin_event()
    if (version + 1) % CHECKPOINT == 0 then checkpoint(key, n) end
    emit(n, sealed, create, version + 1, lease, position, psub, mod, key, value)
    set_entry(key, pack(ENTRY_FORMAT, create, own(), version + 1, lease, tail, n, REC_HEADER + #key + #value))
    later(n, 0, old_lease, key)
  else
    n = begin_event()
    emit(n, sealed, 0, 1, lease, 0, 0, 0, key, value)
    set_entry(key, pack(ENTRY_FORMAT, own(), own(), 1, lease, tail, n, REC_HEADER + #key + #value))
    later(n, CREATED, NO_LEASE, key)
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
  later(n, DELETED, lease, key)
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

