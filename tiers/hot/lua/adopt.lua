-- adopt: gives a new life of a shard's Redis its incarnation. It runs on the
-- sequencer; from then on it orders nothing that an earlier life appended.
--
-- ARGV: 1 shard, 2 the life of its Redis (run id and replication id, as enter names
--   it), 3 incarnation to take if one is needed (16 hex digits).
-- Reply: incarnation, last ordered position, whether the shard had a life before,
--   cluster id, gate ('' for none), what it was found to have lost ('' for nothing).
-- Errors: TIERD_GONE: the shard has been removed for good. TIERD_FORMER: that life has been replaced by another: a primary that was
--   away and does not know that a replica was promoted.

local s, failure = state()
if failure then return failure end
local name = int(tonumber(ARGV[1]))
if call('HEXISTS', SHARDS, name .. ':gone') == 1 then return redis.error_reply('TIERD_GONE the shard has been removed') end
local known = call('HMGET', SHARDS, name .. ':run', name .. ':incarnation', name .. ':len', name .. ':entered', name .. ':gate', name .. ':former', name .. ':corrupt')
local cluster = call('HGET', ORDER, 'cluster')
if known[1] == ARGV[2] then return { known[2], known[3] or '0', known[4] or '0', cluster, known[5] or '', known[7] or '' } end
local former = known[6] or ''
if find(former, ARGV[2], 1, true) then
  return redis.error_reply('TIERD_FORMER another life of this Redis has taken its place')
end
-- The last ones are enough: a life that old has been told of by its Sentinels.
local FORMER_BYTES = 4000
if known[1] then call('HSET', SHARDS, name .. ':former', sub(known[1] .. ' ' .. former, 1, FORMER_BYTES)) end
call('HSET', SHARDS, name .. ':run', ARGV[2], name .. ':incarnation', ARGV[3])
return { ARGV[3], known[3] or '0', known[4] or '0', cluster, known[5] or '', known[7] or '' }
