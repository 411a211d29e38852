-- Shared by commit and append: how a program of transactions is decided.
--
-- Program, per transaction: flags (1: has puts), conditions, operations of the
--   then-branch, of the else-branch ('>BHHH'); then conditions ('>BBHHI8': target,
--   comparison or span kind, string, string, operand); then operations
--   ('>BBHHc8': kind, flags, string, string, lease). It refers to strings by their
--   index in ARGV.
-- Everything is checked first; writing starts in flush() at the end, except that
-- on the home shard a transaction over a range flushes what the batch did before it.

-- Outcomes of a transaction. AGAIN: it touches what has no revision yet; make it again
-- when that has one. READ: it would change nothing, and is to be answered by a read.
-- ELSEWHERE: the lease's keys lie on other shards too. 12: it deletes too many keys. 11: it compares a sealed value, which
-- only the caller can.
local THEN, ELSE, LEASE_NOT_FOUND, KEY_NOT_FOUND, NO_SPACE, CHANGED, NOT_DUE = 1, 2, 3, 4, 5, 6, 7
local AGAIN, READ, ELSEWHERE = 8, 9, 10
-- Kinds of operations.
local PUT, DELETE, GET, DELETE_RANGE, REVOKE = 1, 2, 3, 4, 5
-- Comparison targets.
local VERSION, CREATE, MOD, VALUE, LEASE, UNCHANGED = 0, 1, 2, 3, 4, 9

-- s is the shard's state, nospace and quota the limits of the batch.
local s, quota
-- claimed are the keys that earlier transactions of the batch have written, pending
-- those that wait for a stamp, pending_all whether all of these were read.
local claimed, pending, pending_all = {}, {}, false

-- unsettled says that a key has a change without a revision.
local function unsettled(key) return claimed[key] or pending[key] end

-- unsettled_within says so of any key in a span.
local function unsettled_within(kind, a, b)
  if ordered then return false end
  if not pending_all then
    local all = call('SMEMBERS', PENDING)
    for i = 1, #all do pending[all[i]] = true end
    pending_all = true
  end
  for key in pairs(pending) do
    if pending[key] and within(key, kind, a, b) then return true end
  end
  for key in pairs(claimed) do
    if within(key, kind, a, b) then return true end
  end
  return false
end

-- unchanged says whether no event after revision r touched the span. What a shard was
-- filled with is without its events.
local function unchanged(kind, a, b, r)
  local most = 10000 -- how far back it looks before it gives up, in revisions
  if revision - r > most then return false end
  if not ordered and r < tonumber(call('HGET', META, 'through') or 0) then return false end
  if ordered then flush() end
  local STEP, v = 200, r + 1
  while v <= revision do
    local at_revision, at, n = stretch(v, revision, STEP, ordered and tail or last_stamped())
    if n == 0 then return true end
    local names = {}
    for i = 1, n do names[i] = field(at[i], 0) end
    local recs = call('HMGET', REC, unpack(names))
    for i = 1, n do
      if recs[i] and within(record_key(recs[i]), kind, a, b) then return false end
      local list, count = subs(at[i], recs[i])
      if count == 0 then return false end
      for j = 1, count do
        local number = list and list[j] or j - 1
        if number > 0 and within(record_key(call('HGET', REC, field(at[i], number))), kind, a, b) then return false end
      end
    end
    v = at_revision[n] + 1
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
    if unsettled_within(op, ARGV[a], ARGV[b]) then return false, AGAIN end
    if unchanged(op, ARGV[a], ARGV[b], operand) then return true end
    return false, CHANGED
  end
  if unsettled(ARGV[a]) then return false, AGAIN end
  local e = entry(ARGV[a])
  if target == VALUE then
    if not e then return false end
    local _, _, _, _, position, n = parse(ENTRY_FORMAT, e)
    local rec = record(position, n)
    if byte(rec) >= 2 then return false, 11 end
    local same = record_value(rec, ARGV[a]) == ARGV[b]
    return same == (op == 0)
  end
  if target == LEASE then
    local lease = e and sub(e, 22, 29) or NO_LEASE
    return (lease == ARGV[b]) == (op == 0)
  end
  local create, mod, version = 0, 0, 0
  if e then create, mod, version = parse('>I7I7I7', e) end
  if target == 10 then -- it was read at this revision
    if mod + 1 == operand then return true end
    return false, CHANGED
  end
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

-- too_many counts the keys that an operation deletes, and refuses it: for good where its
-- transaction alone deletes more than most (0: no limit), and till the next call where those before
-- it in the batch have deleted many. So no call keeps Redis busy for long.
local function too_many(kind, flags, a, b, lease)
  local TOO_MANY, BATCH_MAX, count, most = 12, 2048, nil, nil
  if kind == REVOKE then
    most = tonumber(ARGV[b])
    count = call('ZLEXCOUNT', LEASED, '[' .. lease, above(lease))
    if flags >= 2 then count = math.min(count, most) end
  else
    most = parse('>I8', lease)
    count = call('ZLEXCOUNT', LIVE, lex_bounds(flags % 4, ARGV[a], ARGV[b]))
  end
  s.deleting = s.deleting + count
  if most > 0 and s.deleting > most then return TOO_MANY end
  if s.deleted > 0 and s.deleted + s.deleting > BATCH_MAX then return AGAIN end
end

-- check says why an operation cannot be done, before anything is.
local function check(kind, flags, a, b, lease)
  local key = ARGV[a]
  if kind <= GET and unsettled(key) then return AGAIN end
  if kind == DELETE_RANGE and unsettled_within(flags % 4, key, ARGV[b]) then return AGAIN end
  if kind == PUT then
    if lease ~= NO_LEASE and not lease_exists(lease) then return LEASE_NOT_FOUND end
    if flags % 4 ~= 0 and not entry(key) then return KEY_NOT_FOUND end
  elseif kind == REVOKE then
    if not lease_exists(lease) then return LEASE_NOT_FOUND end
    local now = now_ms()
    if #call('ZRANGEBYLEX', SHARERS, '[' .. lease, above(lease), 'LIMIT', 0, 1) > 0 then return ELSEWHERE end
    if flags % 2 == 1 and lease_end(call('HGET', LEASES, lease), s.recovered, now) > now then return NOT_DUE end
  end
  if kind >= DELETE_RANGE then return too_many(kind, flags, a, b, lease) end
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
  if flags >= 2 then -- a part of the keys only
    local part = call('ZRANGEBYLEX', LEASED, '[' .. lease, above(lease), 'LIMIT', 0, tonumber(ARGV[b]))
    for i = 1, #part do part[i] = sub(part[i], 9) end
    return delete_all(part, false)
  end
  local keys = leased_keys(lease)
  revoked = true
  dropped = dropped + 1
  gone_leases[dropped] = lease
  lease_known[lease] = false
  local deleted = delete_all(keys, false)
  gone_at[dropped] = revision
  return deleted
end

local COND_SIZE, OP_SIZE = 14, 14
local program, at

local function transaction()
  s.deleted, s.deleting = (s.deleted or 0) + (s.deleting or 0), 0
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
    refusal = check(kind, op_flags, a, b, lease)
    if refusal then return refusal end
    if ordered and kind >= DELETE_RANGE then flush() end
    local result = execute(kind, op_flags, a, b, lease)
    end_events()
    return outcome, result
  end
  local ranged = false
  for i = 0, count - 1 do
    local kind, op_flags, a, b, lease = parse('>BBHHc8', program, from + i * OP_SIZE)
    refusal = check(kind, op_flags, a, b, lease)
    if refusal then return refusal end
    ranged = ranged or kind >= DELETE_RANGE
  end
  if ranged and ordered then flush() end
  local results = {}
  for i = 0, count - 1 do
    local kind, op_flags, a, b, lease = parse('>BBHHc8', program, from + i * OP_SIZE)
    results[i + 1] = execute(kind, op_flags, a, b, lease)
  end
  end_events()
  return outcome, table.concat(results)
end

-- settle ends a transaction on a shard that does not know its revision: what it wrote
-- is claimed, and one that wrote nothing is left to a read.
local function settle(known, outcome)
  if outcome > ELSE then return outcome end
  if events == 0 then return READ end
  for i = known + 1, dirty_n do claimed[dirty[i]] = true end
  return outcome
end

-- run decides a program and gives its results, the outcomes in short, and whether
-- anything was changed. A result's number is its revision, or its position where
-- that is not known yet.
local function run(text)
  program, at = text, 1
  local size, changed = #program, false
  local out, out_n, outcomes, n = {}, 0, {}, 0
  while at <= size do
    events, wrote_revision, head, revoked = 0, nil, nil, false
    local known = dirty_n
    local outcome, results = transaction()
    if not ordered then
      outcome = settle(known, outcome)
      if outcome > ELSE then results = '' end
      if wrote_revision then wrote_revision = tail end
    end
    out[out_n + 1], out[out_n + 2] = pack('>BI8', outcome, wrote_revision or revision), results or ''
    out_n, n = out_n + 2, n + 1
    outcomes[n] = wrote_revision and '1' or (revoked and '2' or '0')
    changed = changed or wrote_revision or revoked
  end
  return table.concat(out), table.concat(outcomes), changed
end

-- in_turn refuses a call of a lane that is closed, or comes late or twice.
local function in_turn(lane, sequence)
  local last = call('HGET', CALLS, lane)
  local last_sequence = last and tonumber(string.match(last, '^(%d+)')) or 0
  if last ~= 'closed' and sequence == last_sequence + 1 then return nil end
  return redis.error_reply('TIERD_REFUSED the lane is closed or the call is out of sequence')
end

-- busy refuses a call while a transaction over several shards, or a move, holds this
-- one.
local function busy(lock)
  return redis.error_reply('TIERD_BUSY ' .. lock)
end
