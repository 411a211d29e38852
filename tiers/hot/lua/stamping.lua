-- Shared by the scripts of a shard other than the home shard: positions get the
-- revisions that the sequencer gave them.

-- What became of stamping: all done; more than one call may do; a plan has to be
-- applied first; cuts before these are needed; ordered positions are not here.
local DONE, MORE, PLAN, GAP, LOST = 0, 1, 2, 3, 4

-- index collects what stamping does to the index, to do it in few commands.
local function index_changes()
  return { set = {}, add = {}, del = {}, hist = {}, attach = {}, detach = {}, settled = {} }
end

local function push(list, value) list[#list + 1] = value end

-- stamp_batch gives the events of one appended batch their revisions; shift is
-- revision minus position. It gives the last position of the batch.
local function stamp_batch(text, shift, to)
  local at, position = 1, nil
  while at <= #text do
    local n, flags, old_lease, e, length
    position, n, flags, old_lease, e, length, at = parse(STEP_FORMAT, text, at)
    local key = sub(text, at, at + length - 1)
    at = at + length
    local create, _, version, lease = parse('>I7I7I7c8', e)
    local r = position + shift
    if flags == DELETED then
      push(to.del, key)
      push(to.hist, 0)
      push(to.hist, hist_member(key, r, position, n))
      lease = NO_LEASE
    else
      push(to.set, key)
      push(to.set, pack('>I7I7', create == 0 and r or create, r) .. sub(e, 15))
      if flags == CREATED then
        push(to.add, 0)
        push(to.add, key)
      end
      if version % CHECKPOINT == 0 then
        push(to.hist, 0)
        push(to.hist, hist_member(key, r, position, n))
      end
    end
    if old_lease ~= lease then
      if old_lease ~= NO_LEASE then push(to.detach, old_lease .. key) end
      if lease ~= NO_LEASE then
        push(to.attach, 0)
        push(to.attach, lease .. key)
      end
    end
    push(to.settled, key)
  end
  return position
end

-- store makes the changes.
local function store(to)
  in_chunks('HSET', ENTRY, to.set, #to.set)
  in_chunks('ZADD', LIVE, to.add, #to.add)
  in_chunks('HDEL', ENTRY, to.del, #to.del)
  in_chunks('ZREM', LIVE, to.del, #to.del)
  in_chunks('ZADD', HIST, to.hist, #to.hist)
  in_chunks('ZREM', LEASED, to.detach, #to.detach)
  in_chunks('ZADD', LEASED, to.attach, #to.attach)
  in_chunks('SREM', PENDING, to.settled, #to.settled)
end

-- stamp applies cuts, which follow each other behind the last position that is to be
-- stamped then, the incarnation that is meant, and space as alarm.lua counts it
-- ('>I7c16I7'), and if all are done, notes
-- that this shard has everything up to the revision horizon, and the compacted
-- revision. It gives the status, the last stamped position, and whether space has
-- changed.
local function stamp(cuts, horizon, compacted)
  local m = call('HMGET', META, 'stamped', 'tail', 'delta')
  local stamped, tail, delta = tonumber(m[1]), tonumber(m[2]), tonumber(m[3])
  local to, batches, status, done = index_changes(), 0, DONE, {}
  local through, meant, space = parse('>I7c16I7', cuts)
  local insisting = false
  if meant ~= NO_INCARNATION and meant ~= incarnation then
    error({ err = 'TIERD_MEANT the caller means another incarnation' })
  end
  for at = 31, #cuts, CUT_SIZE do
    local from, upto, r, plan = parse(CUT_FORMAT, cuts, at)
    if upto > stamped then
      if not insisting then insist() end -- what has a revision has to be shown
      insisting = true
      if from > stamped + 1 then status = GAP break end
      if upto > tail then status = plan == 1 and PLAN or LOST break end
      local shift = r - from
      if shift ~= delta then
        call('ZADD', RUNS, int(stamped + 1 + shift), int(stamped + 1))
        delta = shift
      end
      while stamped < upto and status == DONE do
        local name = int(stamped + 1)
        local text = call('HGET', STEPS, name)
        if batches == 16 then -- enough for one call
          status = MORE
        elseif not text then
          status = LOST
        else
          stamped = stamp_batch(text, shift, to)
          batches = batches + 1
          done[batches] = name
        end
      end
      if status ~= DONE then break end
    end
  end
  if status == DONE and stamped < through then status = GAP end
  if batches > 0 then
    store(to)
    call('HDEL', STEPS, unpack(done))
    call('HSET', META, 'stamped', int(stamped), 'delta', int(delta))
  end
  if status ~= DONE then horizon, compacted = 0, -1 end
  -- Revisions grow with positions: up to that of the last one stamped nothing is missing.
  -- A reader at a lower horizon would take the index for what it was there.
  if batches > 0 then horizon = math.max(horizon, stamped + delta) end
  local o = call('HMGET', ORDER, 'revision', 'compacted', 'space')
  local told = space > tonumber(o[3] or 0)
  if told then
    call('HSET', ORDER, 'space', int(space))
    if space % 2 == 1 then call('HSET', ORDER, 'nospace', '1') else call('HDEL', ORDER, 'nospace') end
  end
  if tonumber(o[1]) < horizon or tonumber(o[2]) < compacted then
    if not insisting then insist() end
    call('HSET', ORDER, 'revision', int(math.max(horizon, tonumber(o[1]))), 'compacted', int(math.max(compacted, tonumber(o[2]))))
  end
  return status, stamped, told
end

-- unstamped is the error for callers who need all of their cuts stamped.
local function unstamped(status, stamped)
  return redis.error_reply('TIERD_STAMP ' .. status .. ' ' .. int(stamped))
end
