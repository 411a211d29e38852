-- recover: takes this Redis into service, the first time or after a restart.
-- It runs without a salt: until it has answered 'ready', no other script can run.
--
-- ARGV: 1 member id (8 bytes), 2 highest revision this frontend has seen, 3 the
--   term in which it saw it (0: none), 4 the incarnation to take if one is needed
--   (16 hex digits), 5 the cluster id to take if the keyspace is new (16 hex
--   digits), 6 milliseconds between heartbeats after which a member counts as
--   gone, 7 milliseconds to wait for witnesses, 8 0 if a keyspace that does not exist
--   is not to be made, 9 highest revision that any other shard knows of, as read
--   before this call; '' if it was not looked for.
-- Reply: 'ready', incarnation, term, cluster id, revision, and the reason why the
--   keyspace is corrupt or ''; or 'wait'; or 'none' if it does not exist; or 'shards'
--   if their revision is wanted; or 'restoring' while a restore has not come to its end.
--
-- A new life of Redis is told by its run id. Each frontend that was alive before
-- is a witness: none may have seen more than Redis still has. Recovery waits for
-- all of them, for a bounded time; one that comes later is compared with the
-- revision at which the next term began. The other shards are witnesses, too: they
-- have been told of revisions.

local id, seen, seen_term = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local run = string.match(call('INFO', 'server'), 'run_id:(%x+)') or 'unknown'
local now = now_ms()
local CORRUPT_ALARM = '\2'
-- No frontend sleeps through that many recoveries.
local TERMS_KEPT = 1000

-- Not refused when memory is out, unless this Redis never held the keyspace.
if redis.pcall('PEXPIREAT', TOUCHED, '4102444800000') ~= 1 then redis.pcall('SETNX', TOUCHED, '1') end
local o = call('HMGET', ORDER, 'incarnation', 'revision', 'term', 'corrupt', 'run', 'cluster', 'recovering', 'started')

local function ready(answer, term, cluster, revision, reason)
  return { 'ready', answer, int(term), cluster, int(revision), reason or '' }
end

-- create makes an empty keyspace: revision 1, nothing in it.
local function create()
  call('HSET', ORDER, 'incarnation', ARGV[4], 'revision', '1', 'compacted', '-1', 'term', '1', 'cluster', ARGV[5],
    'run', run, 'recovered', int(now), 'base:1', '1')
  call('HSET', META, 'tail', '0', 'bytes', '0', 'delta', '1', 'swept', '1', 'cleared', '1')
  call('ZADD', RUNS, 2, '1')
  o[1], o[2], o[3], o[6] = ARGV[4], '1', '1', ARGV[5]
end

local function lost(reason)
  if not o[1] then create() end
  call('HSET', ORDER, 'witnessed', int(math.max(seen, tonumber(ARGV[9]) or 0)))
  call('HSET', ORDER, 'corrupt', reason)
  call('HSETNX', ALARMS, id .. CORRUPT_ALARM, int(now))
  return ready(o[1], tonumber(o[3]), o[6], tonumber(o[2]), reason)
end

if o[4] then
  -- A frontend that comes later may have seen more.
  if seen > tonumber(call('HGET', ORDER, 'witnessed') or 0) then call('HSET', ORDER, 'witnessed', int(seen)) end
  return ready(o[1], tonumber(o[3]), o[6], tonumber(o[2]), o[4])
end
if not o[1] then
  if call('HEXISTS', ORDER, 'restoring') == 1 then return { 'restoring' } end
  if seen_term > 0 then
    return lost('the keyspace is gone from Redis, but a live frontend has seen revision ' .. int(seen))
  end
  if ARGV[8] == '0' then return { 'none' } end
  create()
  return ready(o[1], 1, o[6], 1)
end

local revision, term = tonumber(o[2]), tonumber(o[3])

-- What this frontend saw must still be there.
local have
if seen_term > term then
  have = 0
elseif seen_term == term then
  have = revision
elseif seen_term > 0 then
  have = tonumber(call('HGET', ORDER, 'base:' .. int(seen_term + 1))) or 0
end
if have and seen > have then
  return lost('a live frontend has seen revision ' .. int(seen) .. ', Redis came back with revision ' .. int(have))
end
local m = call('HMGET', META, 'tail', 'delta', 'cleared')
local tail = m[1]
-- The first event of the last position may be another shard's; and once the keyspace is
-- compacted behind it, a deletion is dropped, and so is a key that was given away.
local function there()
  if tail == '0' or call('HEXISTS', REC, tail) == 1 or call('HEXISTS', REC, tail .. ':i') == 1 then return true end
  return tonumber(tail) + tonumber(m[2]) <= tonumber(m[3])
end
if not tail or not there() then
  return lost('the last record, position ' .. (tail or 'unknown') .. ', is missing')
end

if o[5] == run then return ready(o[1], term, o[6], revision) end
if ARGV[9] == '' then return { 'shards' } end
if tonumber(ARGV[9]) > revision then
  return lost('a shard or the archive knows of revision ' .. ARGV[9] .. ', Redis came back with revision ' .. int(revision))
end

if o[7] ~= run then
  call('HSET', ORDER, 'recovering', run, 'started', int(now))
  o[8] = int(now)
end
call('HSET', ORDER, 'witness:' .. id, run)

local all, newest = call('HGETALL', MEMBERS), 0
for i = 2, #all, 2 do
  local _, beat = parse('>I8I8', all[i])
  newest = math.max(newest, beat)
end
local missing = false
for i = 1, #all, 2 do
  local _, beat = parse('>I8I8', all[i + 1])
  local name = 'witness:' .. all[i]
  if beat >= newest - tonumber(ARGV[6]) and call('HGET', ORDER, name) ~= run then missing = true end
end
if missing and now - tonumber(o[8]) < tonumber(ARGV[7]) then return { 'wait' } end
local known = call('HKEYS', ORDER)
for i = 1, #known do
  if sub(known[i], 1, 8) == 'witness:' then call('HDEL', ORDER, known[i]) end
end
term = term + 1
call('HSET', ORDER, 'incarnation', ARGV[4], 'term', int(term), 'run', run, 'recovered', int(now), 'base:' .. int(term), int(revision))
call('HDEL', ORDER, 'recovering', 'started', 'base:' .. int(term - TERMS_KEPT))
return ready(ARGV[4], term, o[6], revision)
