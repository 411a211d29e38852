-- What plan and restore share.

-- change_auth sets and removes fields of the auth data, as plan.lua is told, and counts
-- their versions.
local function change_auth(change)
  local AUTH, at = KEYS[26], 1
  while at <= #change do
    local name_length, set, value_length
    name_length, set, value_length, at = parse('>I4BI4', change, at)
    local name = sub(change, at, at + name_length - 1)
    at = at + name_length + value_length
    if set == 1 then call('HSET', AUTH, name, sub(change, at - value_length, at - 1)) else call('HDEL', AUTH, name) end
  end
  call('HINCRBY', ORDER, 'auth', 1)
end
