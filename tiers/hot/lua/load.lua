-- load: fills a new shard with keys that a move brings, as they were.
--
-- ARGV: 1 token of the move, 2 items, each ('>BI7I7I7c8I3I4I4') kind (0 put, 1 delete,
--   2 put of a sealed value),
--   create revision, mod revision, version, lease, number of the event in its
--   transaction, key length, value length; then key and value; 3 leases whose keys
--   this shard may hold from now on, 4 revision up to
--   which everything has been brought,
--   5 number of the call: 1, 2, 3, ...; a call that was made before changes nothing.
-- Reply: tail ('>I8'). Twice is as good as once.
-- Errors: TIERD_TICKET: the shard is filled by another move, or not any more.
-- Each item takes a position that has no revision of its own: the entry names the
-- one that the key had, and the number of its event, which hashes and snapshots tell.

local s, failure = state()
if failure then return failure end
local ITEM_FORMAT = '>BI7I7I7c8I3I4I4'
local m = call('HMGET', META, 'tail', 'bytes', 'filling', 'loads')
local tail, bytes = tonumber(m[1]), tonumber(m[2])
local number, last = tonumber(ARGV[5]), tonumber(m[4] or 0)
if not m[3] then
  if tail > 0 or number ~= 1 then return redis.error_reply('TIERD_TICKET the shard is in use, or has lost what it was filled with') end
  call('HSET', META, 'filling', ARGV[1])
elseif m[3] ~= ARGV[1] then
  return redis.error_reply('TIERD_TICKET the shard is filled by another move')
end
if number <= last then return pack('>I8', tail) end
if number ~= last + 1 then return redis.error_reply('TIERD_TICKET the shard has lost what it was filled with') end
local items, keys, at = {}, {}, 1
while at <= #ARGV[2] do
  local kind, create, mod, version, lease, n, key_length, value_length
  kind, create, mod, version, lease, n, key_length, value_length, at = parse(ITEM_FORMAT, ARGV[2], at)
  local key = sub(ARGV[2], at, at + key_length - 1)
  local value = sub(ARGV[2], at + key_length, at + key_length + value_length - 1)
  at = at + key_length + value_length
  keys[#keys + 1] = key
  items[#items + 1] = { kind, create, mod, version, lease, n, value }
end
local found, now = many(ENTRY, keys, #keys), {}
for i = 1, #keys do
  if now[keys[i]] == nil then now[keys[i]] = found[i] end
end
for i = 1, #items do
  local kind, create, mod, version, lease, n, value = unpack(items[i])
  local key = keys[i]
  local old = now[key]
  if old then
    local name = field(parse('>I7I3', old, 30))
    local old_lease = sub(old, 22, 29)
    bytes = bytes - call('HSTRLEN', REC, name) - #name - RECORD_OVERHEAD
    call('HDEL', REC, name)
    if old_lease ~= NO_LEASE then call('ZREM', LEASED, old_lease .. key) end
  end
  if kind ~= 1 then
    tail = tail + 1
    local rec = pack(REC_FORMAT, kind, 1, create, version, lease, 0, 0, 0, #key) .. key .. value
    local e, name = pack(ENTRY_FORMAT, create, mod, version, lease, tail, n, #rec), field(tail, n)
    call('HSET', REC, name, rec)
    call('HSET', ENTRY, key, e)
    bytes = bytes + #rec + #name + RECORD_OVERHEAD
    if not old then
      call('ZADD', LIVE, 0, key)
      bytes = bytes + 2 * #key + 300
    end
    if lease ~= NO_LEASE then call('ZADD', LEASED, 0, lease .. key) end
    now[key] = e
  elseif old then
    call('HDEL', ENTRY, key)
    call('ZREM', LIVE, key)
    bytes = bytes - 2 * #key - 300
    now[key] = false
  end
end
for i = 1, #ARGV[3], 8 do call('HSET', LEASES, sub(ARGV[3], i, i + 7), '') end
call('HSET', META, 'tail', int(tail), 'stamped', int(tail), 'bytes', int(bytes), 'loads', int(number), 'through', int(tonumber(ARGV[4])))
call('HSET', ORDER, 'revision', int(math.max(s.revision, tonumber(ARGV[4]))))
return pack('>I8', tail)
