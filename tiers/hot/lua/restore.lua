-- restore: fills a place that holds no keyspace with one that was elsewhere, as it was.
-- It runs without a salt, on the home shard; nobody can open the keyspace before its end.
--
-- ARGV: 1 mode
--   'begin', 2 id of what is restored, 3 floor, 4 milliseconds after which a member
--      that was silent counts as gone. Reply: 'ok', items and calls made before; or
--      'other' and the id that is being restored; or 'exists' if there is a keyspace
--      that is not empty, or is being served.
--   'load', 2 id, 3 number of the call: 1, 2, 3, ..., 4 items, each
--      ('>BI3I7I7I7c8I4') kind (bit 0: deletion, 1: from the floor on, 2: first of its
--      revision), number within its revision, create revision, mod revision, version,
--      lease, key length; then the record of each, complete but for what says which
--      version it replaced. (Long strings are what this costs most: a record that
--      replaced nothing is stored as it is.) Reply: 'ok', items so far. A call that was made
--      before changes nothing.
--   'text', 2 id, 3 name, 4 a text to keep beside the shard map under that name if there is none, ''
--      for nothing. Reply: 'ok', the text that is there, ''.
--   'leases', 2 id, 3 leases, each ('>c8I8') id, time to live in seconds. Reply: 'ok'.
--   'auth', 2 id, 3 auth data, all of them, as plan.lua's change. Reply: 'ok'.
--   'end', 2 id, 3 calls made, 4 revision, 5 compacted revision, 6 cluster id (16 hex
--      digits). Reply: 'ok'.
--   'discard', 2 milliseconds after which a member that was silent counts as gone: removes what was brought,
--      also after the end if it was a scratch keyspace (the text 'scratch') and nobody serves it.
--      Reply: 'ok', or 'exists'.
-- Errors: TIERD_RESTORE: this is not what is being restored, or a call is missing.
--
-- Below the floor only the versions are known that were alive there: each takes a position
-- that has no revision of its own, and its entry names the one it had. From the floor on all are.

local ITEM_FORMAT = '>BI3I7I7I7c8I4'
local DELETION, RECENT, FIRST = 1, 2, 4
-- No distance of a revision from its position: the next revision begins a run.
local NO_DELTA = '-9007199254740991'
local mode, id = ARGV[1], ARGV[2]
local o = call('HMGET', ORDER, 'incarnation', 'revision', 'restoring', 'loads', 'items')

local function remove()
  for i = 1, #KEYS do call('UNLINK', KEYS[i]) end
end

-- served says that a member was heard of.
local function served(good)
  local all, now = call('HGETALL', MEMBERS), now_ms()
  for i = 2, #all, 2 do
    local _, beat = parse('>I8I8', all[i])
    if beat >= now - good then return true end
  end
  return false
end

-- unused says that the keyspace was made, but never written to, and is not served.
local function unused(good)
  if o[2] ~= '1' or call('EXISTS', LEASES, SHARDS, LIVE, KEYS[26]) > 0 then return false end
  -- That its values were to be sealed, and an epoch that began with that, is nothing to keep.
  for _, name in ipairs(call('HKEYS', MAP)) do
    if not find(name, '^%d+$') and not find(name, '^sealing') then return false end
  end
  return not served(good)
end

if mode == 'begin' then
  if o[3] then
    if o[3] ~= id then return { 'other', o[3] } end
    return { 'ok', o[5], o[4] }
  end
  if o[1] then
    if not unused(tonumber(ARGV[4])) then return { 'exists' } end
    remove()
  end
  local floor = math.max(1, tonumber(ARGV[3]))
  call('HSET', ORDER, 'restoring', id, 'loads', '0', 'items', '0')
  call('HSET', META, 'tail', '0', 'bytes', '0', 'delta', NO_DELTA, 'swept', int(floor), 'cleared', int(math.max(1, floor - 1)))
  return { 'ok', '0', '0' }
end
if mode == 'discard' then
  local scratch = o[1] and call('HGET', MAP, 'scratch') and call('EXISTS', SHARDS) == 0 and not served(tonumber(ARGV[2]))
  if not scratch and (o[1] or not o[3]) then return { 'exists' } end
  remove()
  return { 'ok' }
end
if o[3] ~= id then
  return redis.error_reply('TIERD_RESTORE this is not what is being restored here: ' .. (o[3] or 'nothing is'))
end

if mode == 'text' then
  if ARGV[4] ~= '' then call('HSETNX', MAP, ARGV[3], ARGV[4]) end
  return { 'ok', call('HGET', MAP, ARGV[3]) or '' }
end
if mode == 'leases' then
  local now, leases, due = now_ms(), {}, {}
  for at = 1, #ARGV[3], 16 do
    local lease, ttl = parse('>c8I8', ARGV[3], at)
    leases[#leases + 1], leases[#leases + 2] = lease, pack(LEASE_FORMAT, ttl, now + ttl * 1000)
    due[#due + 1], due[#due + 2] = int(now + ttl * 1000), lease
  end
  in_chunks('HSET', LEASES, leases, #leases)
  in_chunks('ZADD', DUE, due, #due)
  return { 'ok' }
end

if mode == 'auth' then
  call('DEL', KEYS[26])
  change_auth(ARGV[3])
  return { 'ok' }
end

local number, loads = tonumber(ARGV[3]), tonumber(o[4])

if mode == 'end' then
  if number ~= loads then
    return redis.error_reply('TIERD_RESTORE of ' .. int(number) .. ' calls, ' .. int(loads) .. ' have been made')
  end
  -- Recovery looks for the last record; one that a later version replaced is not there.
  local last = tonumber(call('HGET', META, 'tail'))
  while last > 0 and call('HEXISTS', REC, int(last)) == 0 do last = last - 1 end
  call('HSET', META, 'tail', int(last))
  if last == 0 then call('ZADD', RUNS, int(tonumber(ARGV[4]) + 1), '1') end
  -- Without a run id there is no life of Redis that this belongs to: recovery gives it one.
  call('HSET', ORDER, 'incarnation', NO_INCARNATION, 'revision', ARGV[4], 'compacted', ARGV[5], 'compaction', '', 'term', '0',
    'cluster', ARGV[6], 'recovered', int(now_ms()))
  if last == 0 then call('HSET', META, 'delta', int(tonumber(ARGV[4]))) end
  call('HDEL', ORDER, 'restoring', 'loads', 'items')
  return { 'ok' }
end

if number <= loads then return { 'ok', o[5] } end
if number ~= loads + 1 then
  return redis.error_reply('TIERD_RESTORE call ' .. int(number) .. ' comes after ' .. int(loads))
end

local m = call('HMGET', META, 'tail', 'bytes', 'delta')
tail, bytes, delta = tonumber(m[1]), tonumber(m[2]), tonumber(m[3])
leasing = true
local ITEM_SIZE, program = 37, ARGV[4]
local count, keys = #program / ITEM_SIZE, {}
for i = 1, count do
  keys[i] = sub(ARGV[4 + i], REC_HEADER + 1, REC_HEADER + parse('>I4', program, i * ITEM_SIZE - 3))
end
prefetch(keys, 1, count)

local gone = {}

-- alive takes a version from below the floor, or what says that there is none.
local function alive(key, deletion, n, create, mod, version, lease, rec)
  local e = entry(key)
  if e then
    local _, _, _, _, position, old, length = parse(ENTRY_FORMAT, e)
    local name = field(position, old)
    gone[#gone + 1] = name
    bytes = bytes - length - #name - RECORD_OVERHEAD
  end
  if deletion then
    if e then set_entry(key, false) end
    return
  end
  tail = tail + 1
  add_record(field(tail, n), rec)
  set_entry(key, pack(ENTRY_FORMAT, create, mod, version, lease, tail, n, #rec))
end

-- change takes one of the changes from the floor on.
local function change(key, deletion, n, create, mod, version, lease, rec)
  local e = entry(key)
  if e then
    local _, replaced, _, _, position, old = parse(ENTRY_FORMAT, e)
    rec = sub(rec, 1, 26) .. pack('>I7I3I7', position, old, replaced) .. sub(rec, 44)
  end
  add_record(field(tail, n), rec)
  set_entry(key, not deletion and pack(ENTRY_FORMAT, create, mod, version, lease, tail, n, #rec))
  if deletion or version % CHECKPOINT == 0 then
    hist_list[hist_n + 1], hist_list[hist_n + 2] = 0, hist_member(key, mod, tail, n)
    hist_n = hist_n + 2
  end
end

for i = 1, count do
  local kind, n, create, mod, version, lease = parse(ITEM_FORMAT, program, (i - 1) * ITEM_SIZE + 1)
  local deletion = kind % 2 == DELETION
  if kind % 4 >= RECENT then
    if kind >= FIRST then
      tail = tail + 1
      if mod - tail ~= delta then
        delta = mod - tail
        call('ZADD', RUNS, int(mod), int(tail))
      end
    end
    change(keys[i], deletion, n, create, mod, version, lease, ARGV[4 + i])
  else
    alive(keys[i], deletion, n, create, mod, version, lease, ARGV[4 + i])
  end
end
flush()
in_chunks('HDEL', REC, gone, #gone)
local total = int(tonumber(o[5]) + count)
call('HSET', META, 'tail', int(tail), 'bytes', int(bytes), 'delta', int(delta))
call('HSET', ORDER, 'loads', int(number), 'items', total)
return { 'ok', total }
