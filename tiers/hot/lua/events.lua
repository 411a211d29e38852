-- events: the events of a run of revisions, whole revisions only.
--
-- ARGV: 1 first revision, 2 last revision wanted (0: the current one), 3 bytes
--       after which the page ends, 4 1 if replaced versions are wanted too,
--       5 the compacted revision to go by (a reader that holds history may go
--       below the current one), '' for the current one.
-- Reply: revision, compacted+1, last revision of the page, epoch ('>I8I8I8I8'),
--   then per event: mod revision, sub ('>I7I3'), record length and record, and
--   the replaced version's mod revision, record length and record; length 0 if
--   there is none ('>I4', '>I7I4'). It comes in parts, to be put together by the caller: here
--   that would take as long as all the rest.
-- Revisions that other shards have are passed over.
-- Errors: TIERD_COMPACTED; TIERD_MISSING, a record that should be there is not.
-- Nothing is changed.

local s, failure = state()
if failure then return failure end

local from, to, bytes_max, previous = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local floor = tonumber(ARGV[5]) or s.compacted
if from < floor then return redis.error_reply('TIERD_COMPACTED the revision has been compacted') end
-- A hold that has ended, or was dropped for want of space, keeps nothing.
if ARGV[5] ~= '' and from < tonumber(call('HGET', META, 'swept')) then
  return redis.error_reply('TIERD_COMPACTED what was held has been dropped')
end
if to == 0 or to > s.revision then to = s.revision end
from = math.max(from, 2) -- revision 1 is the empty keyspace: it has no record

local STEP = 100
local out, size, v = { '' }, 0, from

local function missing(r)
  return redis.error_reply('TIERD_MISSING no record of revision ' .. int(r))
end

-- prev is what is behind the record before.
local NONE, last_part, prev = pack('>I7I4', 0, 0), 1, ''
local function emit(r, n, rec)
  out[last_part + 1], out[last_part + 2] = prev .. pack('>I7I3I4', r, n, #rec), rec
  last_part, prev = last_part + 2, NONE
  if previous then
    local _, _, _, _, _, position, psub, pmod = parse(REC_FORMAT, rec)
    -- As etcd: the version before is the state at r-1, gone if that is compacted.
    if position > 0 and r - 1 >= floor then
      local old = call('HGET', REC, field(position, psub))
      if old then prev = pack('>I7I4', pmod, #old) .. old end
    end
  end
  size = size + 14 + #rec + #prev
end

-- emit_rest emits all events of a position but number 0.
local function emit_rest(r, position, list, count)
  local numbers, names = {}, {}
  for j = 1, count do
    local number = list and list[j] or j - 1
    if number > 0 then
      numbers[#numbers + 1] = number
      names[#names + 1] = field(position, number)
    end
  end
  local more = many(REC, names, #names)
  for j = 1, #names do
    if not more[j] then return false end
    emit(r, numbers[j], more[j])
  end
  return true
end

local last = last_stamped()
while v <= to and size < bytes_max do
  local revisions, at, n = stretch(v, to, STEP, last)
  if n == 0 then
    v = to + 1
    break
  end
  local fields = {}
  for i = 1, n do fields[i] = field(at[i], 0) end
  local recs = call('HMGET', REC, unpack(fields))
  for i = 1, n do
    local r, rec = revisions[i], recs[i]
    local list, count = subs(at[i], rec)
    if count == 0 then return missing(r) end
    if rec then emit(r, 0, rec) end
    if (count > 1 or not rec) and not emit_rest(r, at[i], list, count) then return missing(r) end
    v = r + 1
    if size >= bytes_max then break end
  end
  if n < STEP and size < bytes_max then v = to + 1 end
end
out[1] = pack('>I8I8I8I8', s.revision, s.compacted + 1, v - 1, tonumber(call('HGET', ORDER, 'epoch') or 1))
out[last_part + 1] = prev
return out
