-- leased: the keys of a lease that this shard holds.
--
-- ARGV: 1 lease (8 bytes).
-- Reply: number of keys ('>I4'), each after its length ('>I4').

local s, failure = state()
if failure then return failure end
local keys = leased_keys(ARGV[1])
for i = 1, #keys do keys[i] = pack('>I4', #keys[i]) .. keys[i] end
return pack('>I4', #keys) .. table.concat(keys)
