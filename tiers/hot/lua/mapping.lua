-- mapping: texts beside the shard map, and the end of what is not needed any more. It
-- runs on the sequencer.
--
-- ARGV: 1 mode
--   'text', 2 name, 3 value it must have ('' for none), 4 new value ('' removes it).
--      Reply 'ok', also where it has the new value already; else 'changed'.
--   'remove', 2 name, 3 value it must have, 4 epoch: removes the text if that is the epoch still, and no move
--      is under way. Reply 'ok', also where it is gone already; else 'changed'.
--   'drop', then epochs: versions that no readable revision needs. Reply 'ok'.
--   'forget', 2 shard: one that is gone, and its number with it. Reply 'ok'.

local s, failure = state()
if failure then return failure end
local mode = ARGV[1]
if mode == 'text' then
  local now = call('HGET', MAP, ARGV[2]) or ''
  if now == ARGV[4] then return 'ok' end
  if now ~= ARGV[3] then return 'changed' end
  if ARGV[4] == '' then call('HDEL', MAP, ARGV[2]) else call('HSET', MAP, ARGV[2], ARGV[4]) end
  return 'ok'
end
if mode == 'remove' then
  local now = call('HGET', MAP, ARGV[2])
  if not now then return 'ok' end
  if now ~= ARGV[3] or (call('HGET', ORDER, 'epoch') or '1') ~= ARGV[4] or call('HEXISTS', MAP, 'move') == 1 then return 'changed' end
  call('HDEL', MAP, ARGV[2])
  return 'ok'
end
if mode == 'drop' then
  for i = 2, #ARGV do
    if ARGV[i] ~= call('HGET', ORDER, 'epoch') then call('HDEL', MAP, ARGV[i]) end
  end
  return 'ok'
end
local tag = pack(SHARD_FORMAT, tonumber(ARGV[2]))
call('ZREMRANGEBYLEX', ORDERED, '[' .. tag, '(' .. pack(SHARD_FORMAT, tonumber(ARGV[2]) + 1))
for _, name in ipairs({ 'len', 'last', 'run', 'incarnation', 'entered', 'gate', 'former', 'corrupt' }) do
  call('HDEL', SHARDS, int(tonumber(ARGV[2])) .. ':' .. name)
end
call('HSET', SHARDS, int(tonumber(ARGV[2])) .. ':gone', '1')
return 'ok'
