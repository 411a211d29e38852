-- stamp: gives positions their revisions.
--
-- ARGV: 1 cuts of this shard, one after the other, 2 the revision up to which they are
--   complete, 3 the compacted revision, 4 the epoch, or '' if any may ask.
-- Reply: status, last stamped position, tail, horizon ('>BI8I8I8').

local s, failure = state(ARGV[4] ~= '' and ARGV[4] or nil)
if failure then return failure end
local status, stamped = stamp(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))
local horizon = call('HGET', ORDER, 'revision')
return pack('>BI8I8I8', status, stamped, tonumber(call('HGET', META, 'tail')), tonumber(horizon))
