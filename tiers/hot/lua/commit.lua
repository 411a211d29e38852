-- commit: decides and orders a batch of transactions on the home shard.
--
-- ARGV: 1 lane, 2 sequence number of the call in its lane, 3 quota in bytes (below 0: nothing may be put, and the rest is done though memory is out),
--       4 program, 5 number of keys; then the keys, whose entries are prefetched;
--       then any other strings (values, range bounds); last the epoch.
-- Reply: revision after the batch, 1 if anything was written ('>I8B'), then per
--   transaction: outcome, revision ('>BI8') and the results of its operations.
-- Errors: TIERD_INCARNATION, TIERD_CORRUPT, TIERD_STALE, TIERD_BUSY, TIERD_REFUSED
--   (lane closed or call out of sequence). Nothing has changed then.

local failure
s, failure = state(ARGV[#ARGV])
if failure then return failure end
local lane, sequence, key_count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[5])
local refused = in_turn(lane, sequence)
if refused then return refused end

local meta = call('HMGET', META, 'tail', 'bytes', 'delta', 'lock')
if meta[4] then return busy(meta[4]) end
ordered, revision, quota = true, s.revision, tonumber(ARGV[3])
if s.nospace or quota < 0 then insist() end -- nothing is put then
tail, bytes, delta = tonumber(meta[1]), tonumber(meta[2]), tonumber(meta[3])
local first_revision, first_position = revision + 1, tail + 1

prefetch(ARGV, 6, 5 + key_count)
local results, outcomes, changed = run(ARGV[4])
if changed then
  flush()
  call('HSET', ORDER, 'revision', int(revision))
  call('HSET', META, 'tail', int(tail), 'bytes', int(bytes), 'delta', int(delta))
  if revision >= first_revision then
    call('XADD', CUTS, 'MAXLEN', '~', 1000, '*', 's', 0, 'f', int(first_position), 't', int(tail), 'r', int(first_revision))
  end
  call('HSET', CALLS, lane, int(sequence) .. ':' .. int(first_revision) .. ':' .. outcomes)
end
return pack('>I8B', revision, changed and 1 or 0) .. results
