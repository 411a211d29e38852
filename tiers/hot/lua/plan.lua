-- plan: decides a transaction over several shards, or a change of the shard map: the
-- commit point of both. It runs on the sequencer, for the holder of the ticket, which
-- has locked all shards concerned and evaluated the transaction on what they hold.
--
-- ARGV: 1 token, 2 epoch it was evaluated in, 3 participants ('>I2c16I7B'): shard,
--   incarnation, tail, kind (0 takes part with nothing to write, 1 with a part of the
--   plan, 2 a new shard that begins with this tail); 4 effects on the home shard, as
--   apply's; 5 leases that must be there, each with a shard that may hold its keys
--   from now on (0: the home shard) ('>c8I2'); 6 a lease to end, or ''; 7 '1' if only
--   when it is due; 8 the parts, for whoever carries the plan out; 9 the new shard
--   map, or ''; 10 1 if the home shard gives keys away; 11 1 if the transaction puts
--   anything; 12 quota in bytes; 13 1 if it takes a revision; 14
--   the text of the move that it ends, or ''; 15 a change of auth data, or '': per field
--   ('>I4BI4'), length of its name, 1 if it is set and 0 if it is removed, length of its
--   value, then name and value; 16 1 if the map given is the current one, which it always is with a change
--   of auth data: it takes that one's place under the next epoch, and what was routed, and
--   permitted, before is refused from then on.
-- Reply: outcome (1 done, 3 a lease is not there, 5 no space, 6 something has changed,
--   7 the lease is not due), revision ('>BI8'). A token that was decided before is
--   answered as then.
-- Errors: TIERD_TICKET: the token does not hold the ticket (any more).
-- Once decided, the plan needs the ticket no more; its locks stay until it is carried out.
-- A plan is its revision, when it was decided (milliseconds), ('>I8I8') and the parts.

local failure
local s
s, failure = state()
if failure then return failure end
local OK, LEASE_NOT_FOUND, NO_SPACE, CHANGED, NOT_DUE = 1, 3, 5, 6, 7
local token, now = ARGV[1], now_ms()
local decided = call('HGET', PLANS, token)
if decided then
  if sub(decided, 1, 5) == 'done:' then return pack('>BI8', OK, tonumber(string.match(decided, '^done:(%d+)'))) end
  return pack('>BI8', OK, (parse('>I8', decided)))
end
if call('HGET', ORDER, 'ticket') ~= token then
  return redis.error_reply('TIERD_TICKET the ticket has been given to someone else')
end
local epoch = tonumber(call('HGET', ORDER, 'epoch') or 1)
if epoch ~= tonumber(ARGV[2]) then return pack('>BI8', CHANGED, s.revision) end
local meta = call('HMGET', META, 'tail', 'bytes', 'delta', 'lock')
ordered, revision = true, s.revision
tail, bytes, delta = tonumber(meta[1]), tonumber(meta[2]), tonumber(meta[3])
if ARGV[4] ~= '' and meta[4] ~= token then return pack('>BI8', CHANGED, s.revision) end
if ARGV[11] == '1' and (s.nospace or bytes > tonumber(ARGV[12])) then return pack('>BI8', NO_SPACE, s.revision) end
for at = 1, #ARGV[5], 10 do
  if call('HEXISTS', LEASES, sub(ARGV[5], at, at + 7)) == 0 then return pack('>BI8', LEASE_NOT_FOUND, s.revision) end
end
local ended = ARGV[6]
if ended ~= '' then
  local value = call('HGET', LEASES, ended)
  if not value then return pack('>BI8', LEASE_NOT_FOUND, s.revision) end
  if ARGV[7] == '1' and lease_end(value, s.recovered, now) > now then return pack('>BI8', NOT_DUE, s.revision) end
end
if ARGV[14] ~= '' and call('HGET', MAP, 'move') ~= ARGV[14] then return pack('>BI8', CHANGED, s.revision) end
local participants = {}
for at = 1, #ARGV[3], 26 do
  local shard, life, position, kind = parse('>I2c16I7B', ARGV[3], at)
  local name = int(shard)
  local known = call('HMGET', SHARDS, name .. ':len', name .. ':incarnation')
  if known[2] ~= life then return pack('>BI8', CHANGED, s.revision) end
  participants[#participants + 1] = { shard, name, tonumber(known[1] or 0), position, kind }
end

-- From here on nothing is refused.
if s.nospace then insist() end -- it only deletes
local function cut(shard, name, from, upto, r, planned)
  call('ZADD', ORDERED, 0, pack(SHARD_FORMAT, shard) .. pack(CUT_FORMAT, from, upto, r, planned))
  call('XADD', CUTS, 'MAXLEN', '~', 1000, '*', 's', name, 'f', int(from), 't', int(upto), 'r', int(r))
  call('HSET', SHARDS, name .. ':len', int(upto), name .. ':last', int(r + upto - from))
end
call('HSET', PLANS, token, '')
for i = 1, #participants do
  local shard, name, len, position, kind = unpack(participants[i])
  if kind == 2 then
    call('HSET', SHARDS, name .. ':len', int(position), name .. ':last', int(revision), name .. ':entered', '1')
  else
    if ARGV[9] ~= '' then call('HSET', SHARDS, name .. ':gate', int(epoch + 1)) end
  end
  if kind ~= 2 and position > len then
    cut(shard, name, len + 1, position, revision + 1, 0)
    revision = revision + position - len
  end
end
local own = revision
if ARGV[13] == '1' then
  own = revision + 1
  for i = 1, #participants do
    local shard, name, _, position, kind = unpack(participants[i])
    if kind == 1 then cut(shard, name, position + 1, position + 1, own, 1) end
  end
  if ARGV[4] ~= '' then
    carry_out(ARGV[4])
    call('HSET', META, 'tail', int(tail), 'bytes', int(bytes), 'delta', int(delta))
    if events > 0 then call('XADD', CUTS, 'MAXLEN', '~', 1000, '*', 's', 0, 'f', int(tail), 't', int(tail), 'r', int(own)) end
  end
  revision = own
end
call('HSET', ORDER, 'revision', int(revision))
for at = 1, #ARGV[5], 10 do
  local lease, shard = parse('>c8I2', ARGV[5], at)
  if shard > 0 then call('ZADD', SHARERS, 0, lease .. pack(SHARD_FORMAT, shard)) end
end
if ended ~= '' then
  journal('e', revision, ended .. sub(call('HGET', LEASES, ended), 1, 8))
  call('HDEL', LEASES, ended)
  call('ZREM', DUE, ended)
  call('ZREMRANGEBYLEX', SHARERS, '[' .. ended, above(ended))
  -- What is left are keys that were given away: another lease of that number has none of them.
  call('ZREMRANGEBYLEX', LEASED, '[' .. ended, above(ended))
end
if ARGV[9] ~= '' then
  local since = int(revision)
  if ARGV[16] == '1' then
    since = string.match(call('HGET', MAP, int(epoch)) or '0:', '^%d+')
    call('HDEL', MAP, int(epoch))
  end
  if ARGV[15] ~= '' then
    change_auth(ARGV[15])
    journal('a', revision, ARGV[15])
  end
  epoch = epoch + 1
  call('HSET', MAP, int(epoch), since .. ':' .. ARGV[9])
  call('HSET', ORDER, 'epoch', int(epoch))
  if ARGV[14] ~= '' then call('HDEL', MAP, 'move') end
  if ARGV[10] == '1' then call('HSET', ORDER, 'gate', int(epoch)) end
end
if meta[4] == token then call('HDEL', META, 'lock') end
call('HSET', PLANS, token, pack('>I8I8', own, now) .. ARGV[8])
call('HDEL', ORDER, 'ticket', 'ticketed')
return pack('>BI8', OK, own)
