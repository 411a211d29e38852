-- lease: a batch of calls on leases that touch no key.
--
-- ARGV: 2 the epoch; 1 program, per call ('>Bc8I8'): kind, lease, number.
-- Kinds: 1 grant (number: time to live in seconds), 2 keep alive, 3 describe,
--   4 describe with keys, 5 list
--   leases (number: where to go on, 0 to begin), 6 list leases that are due (number: most
--   of them), 7 let a lease end now, for good: as it has no time to live, a recovery gives
--   it none.
-- Reply: revision ('>I8'), then per call
--   1..4, 7: status ('>B', 0 done, 1 not found, 2 exists, 3 no space), and if done
--     granted and remaining time to live ('>I8I8', seconds and milliseconds);
--     4 also the number of keys and each after its length ('>I4'), and the number of
--     other shards that may hold keys, and those ('>I4', '>I2');
--   5: where to go on, 0 at the end ('>I8'), number ('>I4'), then lease, granted,
--     remaining each ('>c8I8I8');
--   6: milliseconds until the next one is due, at most a minute ('>I8'), number
--     of due leases ('>I4'), those ('c8').
-- Redis TIME is the only clock.

local s, failure = state(ARGV[2])
if failure then return failure end
local program, now = ARGV[1], now_ms()
local GRANT, KEEP_ALIVE, DESCRIBE, DESCRIBE_KEYS, LIST, DUE_LIST, END = 1, 2, 3, 4, 5, 6, 7
local HORIZON = 60000
local out = { pack('>I8', s.revision) }

if s.nospace then insist() end -- nothing is granted then, and what is there is renewed
local function emit(value) out[#out + 1] = value end

local function renew(lease, ttl)
  call('HSET', LEASES, lease, pack(LEASE_FORMAT, ttl, now + ttl * 1000))
  call('ZADD', DUE, int(now + ttl * 1000), lease)
  return emit('\0' .. pack('>I8I8', ttl, ttl * 1000))
end

local function describe(lease, keys)
  local value = call('HGET', LEASES, lease)
  if not value then return emit('\1') end
  local ends, ttl = lease_end(value, s.recovered, now)
  emit('\0' .. pack('>I8I8', ttl, math.max(0, ends - now)))
  if not keys then return end
  local attached = leased_keys(lease)
  emit(pack('>I4', #attached))
  for i = 1, #attached do emit(pack('>I4', #attached[i]) .. attached[i]) end
  local sharers = call('ZRANGEBYLEX', SHARERS, '[' .. lease, above(lease))
  emit(pack('>I4', #sharers))
  for i = 1, #sharers do emit(sub(sharers[i], 9)) end
end

-- list gives every lease, at once if they are few. There is no order of ids to page by:
-- a page is a step of Redis' scan, which gives each lease that is there from the first
-- page to the last at least once.
local function list(cursor)
  local AT_ONCE, PAGE = 8192, 4096
  local all, next = nil, 0
  if cursor == 0 and call('HLEN', LEASES) <= AT_ONCE then
    all = call('HGETALL', LEASES)
  else
    local step = call('HSCAN', LEASES, int(cursor), 'COUNT', PAGE)
    next, all = tonumber(step[1]), step[2]
  end
  emit(pack('>I8I4', next, #all / 2))
  for i = 1, #all, 2 do
    local ends, ttl = lease_end(all[i + 1], s.recovered, now)
    emit(all[i] .. pack('>I8I8', ttl, math.max(0, ends - now)))
  end
end

-- due gives leases that have ended, and not many more keys than KEYS_MAX with them:
-- whoever asks revokes them in one go.
local function due(most)
  local leases, n, keys, KEYS_MAX = {}, 0, 0, 1024
  local candidates = call('ZRANGEBYSCORE', DUE, '-inf', int(now), 'LIMIT', 0, int(most))
  for i = 1, #candidates do
    local value = call('HGET', LEASES, candidates[i])
    if not value then
      call('ZREM', DUE, candidates[i])
    else
      local ends = lease_end(value, s.recovered, now)
      if ends <= now then
        if n > 0 and keys > KEYS_MAX then break end
        keys = keys + call('ZLEXCOUNT', LEASED, '[' .. candidates[i], above(candidates[i]))
        n = n + 1
        leases[n] = candidates[i]
      else
        call('ZADD', DUE, int(ends), candidates[i])
      end
    end
  end
  local wait, first = HORIZON, call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
  if first[2] then wait = math.max(0, math.min(HORIZON, tonumber(first[2]) - now)) end
  emit(pack('>I8I4', wait, n) .. table.concat(leases))
end

local at = 1
while at <= #program do
  local kind, lease, number
  kind, lease, number, at = parse('>Bc8I8', program, at)
  if kind == GRANT then
    if s.nospace then emit('\3')
    elseif call('HEXISTS', LEASES, lease) == 1 then emit('\2')
    else
      renew(lease, number)
      journal('g', s.revision, pack('>c8I8', lease, number))
    end
  elseif kind == KEEP_ALIVE then
    local value = call('HGET', LEASES, lease)
    -- As etcd: what has ended cannot be renewed, even if it is not revoked yet.
    if not value or lease_end(value, s.recovered, now) <= now then emit('\1')
    else renew(lease, (parse(LEASE_FORMAT, value))) end
  elseif kind == END then
    if call('HEXISTS', LEASES, lease) == 0 then emit('\1')
    else
      call('HSET', LEASES, lease, pack(LEASE_FORMAT, 0, now))
      call('ZADD', DUE, int(now), lease)
      emit('\0' .. pack('>I8I8', 0, 0))
    end
  elseif kind == LIST then list(number)
  elseif kind == DUE_LIST then due(number)
  else describe(lease, kind == DESCRIBE_KEYS) end
end
return table.concat(out)
