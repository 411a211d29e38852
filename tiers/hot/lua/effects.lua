-- Shared by plan and apply: a shard's part of a plan, which says what becomes of each
-- key. It was evaluated while the shard was locked, so nothing is left to decide.
--
-- Per event: number within the transaction, kind (0 put, 1 delete, 2 put of a sealed
-- value), lease, key length, value length ('>I3Bc8I4I4'); then key and value.
local EFFECT_FORMAT = '>I3Bc8I4I4'

-- carry_out writes the effects at the next position.
local function carry_out(text)
  local at, list, keys = 1, {}, {}
  numbered = {}
  while at <= #text do
    local n, kind, lease, key_length, value_length
    n, kind, lease, key_length, value_length, at = parse(EFFECT_FORMAT, text, at)
    local key = sub(text, at, at + key_length - 1)
    local value = sub(text, at + key_length, at + key_length + value_length - 1)
    at = at + key_length + value_length
    numbered[#numbered + 1], keys[#keys + 1] = n, key
    list[#list + 1] = { kind, lease, key, value }
  end
  prefetch(keys, 1, #keys)
  for i = 1, #list do
    if list[i][1] == 1 then
      delete(list[i][3], false)
    else
      put(4 * list[i][1], list[i][3], list[i][4], list[i][2])
    end
  end
  end_events()
  flush()
end
