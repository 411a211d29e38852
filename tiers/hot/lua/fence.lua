-- fence: says that Redis lives the life that these scripts belong to. Sent behind
-- a command that no script guards, on the same connection, it vouches for that one.
--
-- ARGV: 1 the epoch, or '' if any may ask.
--   2 1 if the last stamped position is wanted, too.
-- Reply: revision, compacted+1, that position or 0 ('>I8I8I8').
-- Nothing is changed.

local s, failure = state(ARGV[1] ~= '' and ARGV[1] or nil)
if failure then return failure end
local stamped = ARGV[2] == '1' and last_stamped() or 0
return pack('>I8I8I8', s.revision, s.compacted + 1, stamped)
