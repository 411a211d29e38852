-- member: registers a frontend, or only looks, and answers the keyspace's status.
--
-- ARGV: 1 mode (1 heartbeat, 2 leave, 0 look), 2 member id (8 bytes), 3 what the
--   other frontends are told of it, 4 milliseconds a heartbeat is good for,
--   5 milliseconds after which a silent member is forgotten.
-- Reply: revision, compacted+1, term, live keys, bytes, leases ('>I8' each), then
--   number of live members ('>I4') and each: id, registered and last seen
--   (milliseconds), payload after its length ('>c8I8I8I4'), then number of alarms
--   and each ('>I4', 'c8B'), then the reason why the keyspace is corrupt after
--   its length ('>I4').
-- Works on a corrupt keyspace too, but changes nothing there.

local s, failure = state(nil, true)
if failure then return failure end
local mode, id, payload, good, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local now = now_ms()
local MARK_PAUSE, ARCHIVE = 400, KEYS[24]

-- forget removes a member that has left, or was silent for so long that none of its
-- calls can still be on their way, and with it the outcomes of its calls.
local function forget(member)
  call('HDEL', MEMBERS, member)
  local lanes = call('HKEYS', CALLS)
  for i = 1, #lanes do
    if sub(lanes[i], 1, 8) == member then call('HDEL', CALLS, lanes[i]) end
  end
end

if s.corrupt then mode = '0' end
if mode == '1' then insist() end -- a frontend is alive though memory is out
if mode == '1' then
  local known, registered = call('HGET', MEMBERS, id), now
  if known then
    local first, seen = parse('>I8I8', known)
    if seen >= now - good then registered = first end
  end
  call('HSET', MEMBERS, id, pack('>I8I8', registered, now) .. payload)
  -- The archive tells by this which revision there was at a time.
  local marked = call('HMGET', ARCHIVE, 'marked', 'marked-at')
  if marked[1] ~= int(s.revision) and now >= tonumber(marked[2] or 0) + MARK_PAUSE then
    journal('m', s.revision, '')
    if call('EXISTS', ARCHIVE) == 1 then call('HSET', ARCHIVE, 'marked', int(s.revision), 'marked-at', int(now)) end
  end
elseif mode == '2' then
  forget(id)
end

local out, n = {}, 0
local all = call('HGETALL', MEMBERS)
for i = 1, #all, 2 do
  local registered, seen = parse('>I8I8', all[i + 1])
  if seen >= now - good then
    n = n + 1
    out[n] = pack('>c8I8I8I4', all[i], registered, seen, #all[i + 1] - 16) .. sub(all[i + 1], 17)
  elseif mode == '1' and seen < now - keep then
    forget(all[i])
  end
end
local alarms = call('HKEYS', ALARMS)
local reason = s.corrupt or ''
return pack('>I8I8I8I8I8I8I4', s.revision, s.compacted + 1, tonumber(call('HGET', ORDER, 'term')), call('ZCARD', LIVE),
    math.max(0, tonumber(call("HGET", META, "bytes"))), call('HLEN', LEASES), n)
  .. table.concat(out) .. pack('>I4', #alarms) .. table.concat(alarms) .. pack('>I4', #reason) .. reason
