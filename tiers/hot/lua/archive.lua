-- archive: the role of writing the archive, and what its holder has to know.
--
-- ARGV: 1 mode
--   'claim', 2 token (16 hex digits), 3 milliseconds that a sign of life is good for. Reply: current revision,
--      1 if the role is this token's, else 0 ('>I8B'), and then: epoch, milliseconds when the
--      role was first taken, last block, its revision (0: there is no archive), its end in milliseconds, last
--      entry of the journal that it has ('>I8' each), chain (32 bytes; '' if there is none).
--   'keep', 2 token: a sign of life. Reply: revision ('>I8').
--   'read', 2 token, 3 number of the last entry of the journal that is known, 4 most entries. A sign of life.
--      Reply: revision, compacted+1, milliseconds now, last entry's number, 1 if entries are lost ('>I8I8I8I8B'), then each entry: number,
--      length ('>I8I4'), as lib.lua's journal writes it.
--   'advance', 2 token, 3 last block, 4 its revision, 5 its end, 6 last entry of the journal, 7 chain, 8 revision: notes how far
--      the archive has come, and lets go of what it has; the changes after that revision are kept. Reply: revision, compacted+1 ('>I8I8').
--   'release', 2 token: gives the role up. Reply: revision ('>I8').
--   'look'. Reply: revision ('>I8'), and as 'claim' from the epoch on; nothing more if there is no archive.
-- Errors: TIERD_FENCED: the token does not have the role (any more).
-- The hold named archive lasts for ever: compaction drops nothing that the archive has not.

local s, failure = state()
if failure then return failure end
local mode, token, now = ARGV[1], ARGV[2], now_ms()
local FOR_EVER = '9007199254740991'
local ARCHIVE, JOURNAL = KEYS[24], KEYS[25]
local a = call('HMGET', ARCHIVE, 'token', 'beat', 'epoch', 'began', 'block', 'revision', 'to', 'journal', 'chain')

local function progress()
  a = call('HMGET', ARCHIVE, 'token', 'beat', 'epoch', 'began', 'block', 'revision', 'to', 'journal', 'chain')
  return pack('>I8I8I8I8I8I8', tonumber(a[3]), tonumber(a[4]), tonumber(a[5] or 0), tonumber(a[6] or 0), tonumber(a[7] or 0),
    tonumber(a[8] or 0)) .. (a[9] or '')
end

if mode == 'look' then return pack('>I8', s.revision) .. (a[3] and progress() or '') end
if mode == 'claim' then
  if a[1] and a[1] ~= token and tonumber(a[2]) >= now - tonumber(ARGV[3]) then return pack('>I8B', s.revision, 0) .. progress() end
  if a[1] ~= token then
    call('HSET', ARCHIVE, 'token', token)
    call('HINCRBY', ARCHIVE, 'epoch', 1)
    call('HSETNX', ARCHIVE, 'began', int(now))
  end
  call('HSET', ARCHIVE, 'beat', int(now))
  return pack('>I8B', s.revision, 1) .. progress()
end
if a[1] ~= token then return redis.error_reply('TIERD_FENCED the archive has another writer') end

if mode == 'keep' then
  call('HSET', ARCHIVE, 'beat', int(now))
  return pack('>I8', s.revision)
end
if mode == 'read' then
  call('HSET', ARCHIVE, 'beat', int(now))
  local after, entries = tonumber(ARGV[3]), tonumber(call('HGET', ARCHIVE, 'entries') or 0)
  local found = call('XRANGE', JOURNAL, '(' .. int(after) .. '-0', '+', 'COUNT', ARGV[4])
  local first = found[1] and tonumber(string.match(found[1][1], '^%d+'))
  local lost = entries > after and first ~= after + 1
  local out = { pack('>I8I8I8I8B', s.revision, s.compacted + 1, now, entries, lost and 1 or 0) }
  for i = 1, #found do
    out[i + 1] = pack('>I8I4', tonumber(string.match(found[i][1], '^%d+')), #found[i][2][2]) .. found[i][2][2]
  end
  return table.concat(out)
end
if mode == 'advance' then
  call('HSET', ARCHIVE, 'beat', int(now), 'block', ARGV[3], 'revision', ARGV[4], 'to', ARGV[5], 'journal', ARGV[6], 'chain', ARGV[7])
  call('HSET', HOLDS, 'archive', ARGV[8] .. ':' .. FOR_EVER)
  call('XTRIM', JOURNAL, 'MINID', int(tonumber(ARGV[6]) + 1) .. '-0')
  return pack('>I8I8', s.revision, s.compacted + 1)
end
call('HDEL', ARCHIVE, 'token', 'beat')
return pack('>I8', s.revision)
