-- enter: takes a shard other than the home shard into service, the first time or
-- after a restart or failover of its Redis. It runs without a salt.
--
-- ARGV: 1 life of Redis as the sequencer adopted it ('' to ask for it), 2 the
--   incarnation it was given, 3 last ordered position, 4 1 if the shard had a life
--   before, 5 cluster id, 6 1 if what is missing has been given up, 7 gate, or ''.
-- Reply: life (its run id and the id of its replication history, which a promotion
--   changes); then 'ready', tail, horizon, reason why it is corrupt or ''; or
--   'run' if this is another life; or 'missing', tail, the incarnation that it had
--   ('' if it holds nothing): ordered positions after that tail are not here; or 'foreign': another keyspace of the same name has this place.

local run = (string.match(call('INFO', 'server'), 'run_id:(%x+)') or 'unknown') .. ':'
  .. (string.match(call('INFO', 'replication'), 'master_replid:(%x+)') or 'unknown')
if ARGV[1] == '' then return { run } end
if ARGV[1] ~= run then return { run, 'run' } end
-- Not refused when memory is out, unless this Redis never held the keyspace.
if redis.pcall('PEXPIREAT', TOUCHED, '4102444800000') ~= 1 then redis.pcall('SETNX', TOUCHED, '1') end
local o = call('HMGET', ORDER, 'incarnation', 'revision', 'cluster', 'corrupt')
if not o[1] then
  if ARGV[4] == '1' then return { run, 'missing', '0', '' } end
  call('HSET', ORDER, 'incarnation', ARGV[2], 'revision', '1', 'compacted', '-1', 'cluster', ARGV[5], 'recovered', int(now_ms()))
  -- No distance of a revision from its position is this one: the first cut begins a run,
  -- also where as many keys were loaded as there were revisions.
  call('HSET', META, 'tail', '0', 'stamped', '0', 'bytes', '0', 'delta', '-9007199254740991', 'swept', '1', 'cleared', '1')
  o[2] = '1'
elseif o[3] ~= ARGV[5] then
  return { run, 'foreign' }
end
local m = call('HMGET', META, 'tail', 'stamped')
if tonumber(m[1]) < tonumber(ARGV[3]) and ARGV[6] ~= '1' then return { run, 'missing', m[1], o[1] } end
if o[1] ~= ARGV[2] then
  call('HSET', ORDER, 'incarnation', ARGV[2], 'recovered', int(now_ms()))
end
if ARGV[7] ~= '' and tonumber(call('HGET', ORDER, 'gate') or 0) < tonumber(ARGV[7]) then call('HSET', ORDER, 'gate', ARGV[7]) end
return { run, 'ready', m[1], o[2], o[4] or '' }
