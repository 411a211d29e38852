-- read: a batch of reads at the current revision or at one given.
--
-- ARGV: 1 bytes after which the reply is full, 2 program, then strings.
-- Program, per read ('>BBBHHHI8I4'): kind, flags (1: keys only, 2: count the
--   whole span too, where r is the current revision), span kind, string, string,
--   string with the HIST member to go on after (or an empty one), revision (0:
--   the current one), most keys in the page.
-- Kinds: 1 get one key, 2 a page of a range, 3 a page of a count.
-- Reply: revision, compacted+1 ('>I8I8'), then per read its status ('>B',
--   0 done, 1 compacted, 2 future, 3 not read: the reply is full), and if done
--   get: 0, or 1 and the item;
--   page: total count, number of versions ('>I8I4'), these by key: items if keys
--     only, else references; then where the next page begins: a key and a HIST
--     member, each after its length ('>I4'); an empty key means that the span is
--     exhausted;
--   count: keys counted ('>I8'), then where to go on, likewise.
-- Items: mod revision, record length, record ('>I7I4').
-- References (see lib.lua) name the records, which are then read without a script:
-- that would copy each of them twice.
-- Nothing is changed.

local s, failure = state()
if failure then return failure end

local GET, PAGE, COUNT = 1, 2, 3
local SCAN = 1000
local bytes_max, program = tonumber(ARGV[1]), ARGV[2]
local out, out_n, out_bytes = {}, 0, 0

local function emit(value)
  out_n, out_bytes = out_n + 1, out_bytes + #value
  out[out_n] = value
end

-- bare builds an item without a value from an entry.
local function bare(key, e)
  local create, mod, version, lease = parse(ENTRY_FORMAT, e)
  return item(mod, pack(REC_FORMAT, 0, 1, create, version, lease, 0, 0, 0, #key) .. key)
end

-- without_value cuts the value off a record.
local function without_value(rec)
  return sub(rec, 1, REC_HEADER + #record_key(rec))
end

local function get(key, keys_only)
  local e = call('HGET', ENTRY, key)
  if not e then return emit('\0') end
  if keys_only then return emit('\1' .. bare(key, e)) end
  local _, mod, _, _, position, n = parse(ENTRY_FORMAT, e)
  emit('\1' .. item(mod, call('HGET', REC, field(position, n))))
end

-- live_scan gives one scan of the span's live keys: those that existed at r.
local function live_scan(min, max, r, most)
  local keys = call('ZRANGEBYLEX', LIVE, min, max, 'LIMIT', 0, most)
  local found = many(ENTRY, keys, #keys)
  local kept, n = {}, 0
  for i = 1, #keys do
    local _, mod = parse('>I7I7', found[i])
    if mod <= r then
      n = n + 1
      kept[n] = { key = keys[i], entry = found[i] }
    end
  end
  return kept, n, #keys == most and keys[#keys] or nil
end

-- old_scan gives one scan of HIST: the versions that were the state at r.
local function old_scan(hmin, hmax, r, most)
  local members = call('ZRANGEBYLEX', HIST, hmin, hmax, 'LIMIT', 0, most)
  local kept, n = {}, 0
  for i = 1, #members do
    local mod, ends, position, sequence = parse(HIST_FORMAT, sub(members[i], -HIST_TAIL))
    if mod <= r and r < ends then
      n = n + 1
      kept[n] = { key = unescape(members[i]), mod = mod, position = position, sub = sequence }
    end
  end
  return kept, n, #members == most and members[#members] or nil
end

-- below counts the elements of a list, sorted by key, that lie below key.
local function below(list, n, key)
  local low, high = 0, n
  while low < high do
    local middle = math.floor((low + high + 1) / 2)
    if less(list[middle].key, key) then low = middle else high = middle - 1 end
  end
  return low
end

-- scan gives what existed at r in a first stretch of the span: live keys, old
-- versions, and where the next stretch begins (a key, and a member of HIST if
-- the stretch ended among the versions of that key).
local function scan(kind, a, b, r, cursor, live_most, old_most)
  local min, max = lex_bounds(kind, a, b)
  local live, live_n, last = live_scan(min, max, r, live_most)
  local next_key = last and last .. '\0'
  if r == s.revision then return live, live_n, {}, 0, next_key, '' end
  local hmin, hmax = lex_bounds(kind, a, b, escape)
  if cursor ~= '' then hmin = '(' .. cursor end
  if last then hmax = '(' .. escape(next_key) end
  local old, old_n, member = old_scan(hmin, hmax, r, old_most)
  if member then
    next_key = unescape(member)
    live_n = below(live, live_n, next_key)
  end
  return live, live_n, old, old_n, next_key, member or ''
end

-- merge puts both lists into one, by key. No key is in both.
local function merge(live, live_n, old, old_n)
  if old_n == 0 then return live, live_n end
  local out, i, j = {}, 1, 1
  for n = 1, live_n + old_n do
    if j > old_n or (i <= live_n and less(live[i].key, old[j].key)) then
      out[n], i = live[i], i + 1
    else
      out[n], j = old[j], j + 1
    end
  end
  return out, live_n + old_n
end

local function reference(one)
  if one.entry then return live_reference(one.entry) end
  return old_reference(one.mod, one.position, one.sub)
end

-- bare_old is bare for a replaced version.
local function bare_old(one)
  return item(one.mod, without_value(call('HGET', REC, field(one.position, one.sub))))
end

local function page(flags, kind, a, b, r, limit, cursor)
  local keys_only, total = flags % 2 == 1, 0
  if flags >= 2 and r == s.revision then
    local min, max = lex_bounds(kind, a, b)
    total = call('ZLEXCOUNT', LIVE, min, max)
  end
  local live, live_n, old, old_n, next_key, member = scan(kind, a, b, r, cursor, math.min(limit, SCAN), SCAN)
  local list, n = merge(live, live_n, old, old_n)
  if n > limit then
    n, next_key, member = limit, list[limit].key .. '\0', ''
  end
  emit(pack('>I8I4', total, n))
  for i = 1, n do
    if not keys_only then
      emit(reference(list[i]))
    elseif list[i].entry then
      emit(bare(list[i].key, list[i].entry))
    else
      emit(bare_old(list[i]))
    end
  end
  next_key = next_key or ''
  emit(pack('>I4', #next_key) .. next_key .. pack('>I4', #member) .. member)
end

local function count(kind, a, b, r, cursor)
  if r == s.revision and cursor == '' then
    local min, max = lex_bounds(kind, a, b)
    return emit(pack('>I8I4I4', call('ZLEXCOUNT', LIVE, min, max), 0, 0))
  end
  local _, live_n, _, old_n, next_key, member = scan(kind, a, b, r, cursor, CHUNK, CHUNK)
  next_key = next_key or ''
  emit(pack('>I8I4', live_n + old_n, #next_key) .. next_key .. pack('>I4', #member) .. member)
end

emit(pack('>I8I8', s.revision, s.compacted + 1))
local at, size = 1, #program
while at <= size do
  local what, flags, kind, a, b, c, r, limit
  what, flags, kind, a, b, c, r, limit, at = parse('>BBBHHHI8I4', program, at)
  if r == 0 then r = s.revision end
  if out_bytes > bytes_max then
    emit('\3')
  elseif r < s.compacted then
    emit('\1')
  elseif r > s.revision then
    emit('\2')
  else
    emit('\0')
    if what == GET then
      get(ARGV[a], flags % 2 == 1)
    elseif what == PAGE then
      page(flags, kind, ARGV[a], ARGV[b], r, limit, ARGV[c])
    else
      count(kind, ARGV[a], ARGV[b], r, ARGV[c])
    end
  end
end
return table.concat(out)
