-- compact: makes revisions below one unreadable, and drops what no revision
-- from there on needs, a bounded stretch at a time.
--
-- ARGV: 1 revision ('' to drop only), 2 most revisions to walk in this call, 3 the
--   caller's id of this compaction: while it is the last one, the same call again
--   is answered as done; 4 on a shard other than the home shard, how far may be
--   dropped, which the home shard's reply says; 5 1 if what the archive has not is to be
--   dropped all the same, for want of space; 6 the epoch, or '' if any may ask.
-- Reply: current revision, compacted+1, 1 if nothing is left to drop, how far may be
--   dropped +1 ('>I8I8BI8').
-- Errors: TIERD_COMPACTED, TIERD_FUTURE; nothing has changed then.
-- What the state at a held revision needs is kept until the hold ends.

local s, failure = state(ARGV[6] ~= '' and ARGV[6] or nil)
if failure then return failure end
local target, most = tonumber(ARGV[1]), tonumber(ARGV[2])
insist() -- it makes room
if target then
  local again = target == s.compacted and call('HGET', ORDER, 'compaction') == ARGV[3]
  if target <= s.compacted and not again then
    return redis.error_reply('TIERD_COMPACTED the revision has been compacted')
  end
  if target > s.revision then return redis.error_reply('TIERD_FUTURE the revision does not exist yet') end
  call('HSET', ORDER, 'compacted', int(target), 'compaction', ARGV[3])
  if not again then journal('c', s.revision, pack('>I8', target)) end
  s.compacted = target
end

local now, limit = now_ms(), s.compacted
if ARGV[4] ~= '' then limit = math.min(limit, tonumber(ARGV[4])) end
local held = call('HGETALL', HOLDS)
for i = 1, #held, 2 do
  local floor, ends = string.match(held[i + 1], '^(%-?%d+):(%d+)$')
  if tonumber(ends) < now then
    call('HDEL', HOLDS, held[i])
  elseif held[i] ~= 'archive' or ARGV[5] ~= '1' then
    limit = math.min(limit, tonumber(floor))
  end
end

-- swept: replaced versions are dropped up to this revision. cleared: deletions
-- are. A deletion at the compacted revision itself stays until the next one, so
-- that a watch from exactly there sees it, and so does a version that its own
-- transaction replaced.
local m = call('HMGET', META, 'swept', 'cleared', 'bytes')
local swept, cleared, bytes = tonumber(m[1]), tonumber(m[2]), tonumber(m[3])
local upto = math.min(limit, cleared + most)

local function drop(r, position, n, fields, members)
  local name = field(position, n)
  local rec = call('HGET', REC, name)
  if not rec then return end
  local flags, _, _, _, _, ppos, psub, pmod = parse(REC_FORMAT, rec)
  local own = ppos == position
  if ppos > 0 and ((own and r < limit) or (not own and r > swept)) then
    local old = field(ppos, psub)
    fields[#fields + 1], members[#members + 1] = old, hist_member(record_key(rec), pmod, ppos, psub)
    bytes = bytes - call('HSTRLEN', REC, old) - #old - RECORD_OVERHEAD
  end
  if flags % 2 == 1 and r < limit then
    fields[#fields + 1], members[#members + 1] = name, hist_member(record_key(rec), r, position, n)
    bytes = bytes - #rec - #name - RECORD_OVERHEAD
  end
end

local v, last = cleared + 1, last_stamped()
while v <= upto do
  local revisions, at, n = stretch(v, upto, 100, last)
  for i = 1, n do
    local r, position, fields, members = revisions[i], at[i], {}, {}
    local list, count = subs(position, call('HGET', REC, field(position, 0)))
    for j = 1, count do drop(r, position, list and list[j] or j - 1, fields, members) end
    if list and r < limit then fields[#fields + 1] = int(position) .. ':i' end
    in_chunks('HDEL', REC, fields, #fields)
    in_chunks('ZREM', HIST, members, #members)
  end
  v = n == 100 and revisions[n] + 1 or upto + 1
end
swept = math.max(swept, upto)
cleared = math.max(cleared, math.min(upto, limit - 1))
call('HSET', META, 'swept', int(swept), 'cleared', int(cleared), 'bytes', int(bytes))
-- What lies before the run that the limit is in is asked for no more.
local run = call('ZREVRANGEBYSCORE', RUNS, int(cleared), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
if run[2] then call('ZREMRANGEBYSCORE', RUNS, '-inf', '(' .. run[2]) end
return pack('>I8I8BI8', s.revision, s.compacted + 1, (swept >= limit and cleared >= limit - 1) and 1 or 0, limit + 1)
