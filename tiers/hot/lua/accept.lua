-- accept: takes a keyspace that has lost acknowledged writes back into service, after
-- its operator has accepted the loss. It runs without a salt, on the sequencer.
--
-- ARGV: 1 revision to go on from, which no client may have seen; then pairs of shards
--   and their last stamped positions.
-- Reply: 'ok'.
-- Everything before that revision counts as compacted: a client that has seen what is
-- lost cannot go on from there, and reads everything anew.

call('HSET', ORDER, 'revision', ARGV[1], 'compacted', ARGV[1], 'compaction', '', 'base:' .. call('HGET', ORDER, 'term'), ARGV[1])
call('HDEL', ORDER, 'corrupt', 'witnessed')
-- The archive does not go on from what it has: it begins again with what is there. Its
-- writer is told by losing the role.
local ARCHIVE = KEYS[24]
if call('EXISTS', ARCHIVE) == 1 then
  call('HDEL', ARCHIVE, 'token', 'revision', 'chain')
  call('HDEL', HOLDS, 'archive')
end
-- Where the sequencer has lost its end, shards may have stamped more than it knows of.
for i = 2, #ARGV, 2 do
  local name = ARGV[i] .. ':len'
  if tonumber(call('HGET', SHARDS, name) or 0) < tonumber(ARGV[i + 1]) then call('HSET', SHARDS, name, ARGV[i + 1]) end
end
-- What it has adopted of shards may be forgotten with it: each is entered anew. Those that
-- have lost something themselves are refused until they have been given it up.
local fields, left = call('HKEYS', SHARDS), false
for i = 1, #fields do
  local what = string.match(fields[i], ':(%a+)$')
  if what == 'corrupt' then left = true end
  if what == 'run' or what == 'former' then call('HDEL', SHARDS, fields[i]) end
  if what == 'incarnation' then call('HSET', SHARDS, fields[i], NO_INCARNATION) end
end
if not left then
  local alarms = call('HKEYS', ALARMS)
  for i = 1, #alarms do
    if byte(alarms[i], 9) == 2 then call('HDEL', ALARMS, alarms[i]) end
  end
end
-- A watcher that waits for cuts is woken.
call('XADD', CUTS, 'MAXLEN', '~', 1000, '*', 's', 0, 'f', '0', 't', '0', 'r', ARGV[1])
return 'ok'
