-- adopt: gives a new life of a shard's Redis its incarnation. It runs on the
-- sequencer; from then on it orders nothing that an earlier life appended.
--
-- ARGV: 1 shard, 2 run id of its Redis, 3 incarnation to take if one is needed
--   (16 hex digits).
-- Reply: incarnation, last ordered position, whether the shard had a life before,
--   cluster id.

local s, failure = state()
if failure then return failure end
local name = int(tonumber(ARGV[1]))
local known = call('HMGET', SHARDS, name .. ':run', name .. ':incarnation', name .. ':len')
local cluster = call('HGET', ORDER, 'cluster')
local len = known[3] or '0'
if known[1] == ARGV[2] then return { known[2], len, call('HGET', SHARDS, name .. ':entered') or '0', cluster } end
call('HSET', SHARDS, name .. ':run', ARGV[2], name .. ':incarnation', ARGV[3])
return { ARGV[3], len, call('HGET', SHARDS, name .. ':entered') or '0', cluster }
