-- fence: says that Redis lives the life that these scripts belong to. Sent behind
-- a command that no script guards, on the same connection, it vouches for that one.
--
-- Reply: revision, compacted+1 ('>I8I8').
-- Nothing is changed.

local s, failure = state()
if failure then return failure end
return pack('>I8I8', s.revision, s.compacted + 1)
