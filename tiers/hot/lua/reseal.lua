-- reseal: puts other bytes in the place of records: the same values, sealed in another way,
-- or not any more. No revision, version or event changes.
--
-- ARGV, per record: its name, its length, how it begins, and the record that takes its
--   place. One that is not so any more is left as it is.
-- Reply: records replaced, records that have to wait because they have no revision yet
--   ('>I8I8').

local s, failure = state()
if failure then return failure end
local last, grown, replaced, left = last_stamped(), 0, 0, 0
for i = 1, #ARGV, 4 do
  local name, length, head, new = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3]
  local old = call('HGET', REC, name)
  if old and #old == length and sub(old, 1, #head) == head then
    if tonumber(string.match(name, '^%d+')) > last then
      left = left + 1
    else
      call('HSET', REC, name, new)
      replaced = replaced + 1
      grown = grown + #new - #old
      local key = record_key(new)
      local e = #new ~= #old and call('HGET', ENTRY, key)
      if e and field(parse('>I7I3', e, 30)) == name then
        call('HSET', ENTRY, key, sub(e, 1, 39) .. pack('>I4', #new))
      end
    end
  end
end
if grown ~= 0 then call('HINCRBY', META, 'bytes', int(grown)) end
return pack('>I8I8', replaced, left)
