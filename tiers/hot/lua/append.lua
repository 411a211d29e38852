-- append: decides a batch of transactions on a shard other than the home shard, and
-- gives them positions. They are decided then, and come to be when the sequencer
-- orders the positions.
--
-- ARGV: as commit's, and before the epoch: cuts of this shard, the revision up to
--   which they are complete, the compacted revision.
-- Reply: horizon, 1 if anything was written, last position, last stamped position
--   ('>I8BI8I8c16', with the incarnation), then per transaction: outcome, position ('>BI8') and the results of
--   its operations, in which revisions that are not known yet are 0.
-- Errors: as commit's, and TIERD_STAMP <status> <stamped> if not all the cuts could be
--   stamped.
-- A transaction that touches a key with an unstamped change is AGAIN, as its revision
-- is not known; one that would change nothing is READ.

local failure
local arguments = #ARGV
s, failure = state(ARGV[arguments])
if failure then return failure end
local lane, sequence, key_count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[5])
local refused = in_turn(lane, sequence)
if refused then return refused end
local meta = call('HMGET', META, 'tail', 'bytes', 'lock')
if meta[3] then return busy(meta[3]) end
-- Stamping is not refused when memory is out, and what follows it is not then, either.
if s.nospace or tonumber(ARGV[3]) < 0 then insist() end
call('HSET', META, 'tail', meta[1])
local status, stamped, told = stamp(ARGV[arguments - 3], tonumber(ARGV[arguments - 2]), tonumber(ARGV[arguments - 1]))
if told then s.nospace = call('HGET', ORDER, 'nospace') end
if status ~= DONE then return unstamped(status, stamped) end

ordered, revision, quota = false, math.max(s.revision, tonumber(ARGV[arguments - 2])), tonumber(ARGV[3])
tail, bytes = tonumber(meta[1]), tonumber(meta[2])
local first_position = tail + 1

prefetch(ARGV, 6, 5 + key_count)
if stamped < tail then
  for i = 6, 5 + key_count, CHUNK do
    local last = math.min(i + CHUNK - 1, 5 + key_count)
    local found = call('SMISMEMBER', PENDING, unpack(ARGV, i, last))
    for j = 1, #found do
      if found[j] == 1 then pending[ARGV[i + j - 1]] = true end
    end
  end
else
  pending_all = true
end
local results, outcomes, changed = run(ARGV[4])
if changed then
  in_chunks('HSET', REC, record_list, record_n)
  call('HSET', STEPS, int(first_position), table.concat(step))
  in_chunks('SADD', PENDING, dirty, dirty_n)
  call('HSET', META, 'tail', int(tail), 'bytes', int(bytes))
  call('HSET', CALLS, lane, int(sequence) .. ':' .. int(first_position) .. ':' .. outcomes)
end
return pack('>I8BI8I8c16', revision, changed and 1 or 0, tail, stamped, incarnation) .. results
