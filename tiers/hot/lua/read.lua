-- read: a page of a range at the current revision or at one given, or of a count.
--
-- ARGV: 1 mode ('page' or 'count'), 2 revision (0: the current one), 3 the
--   compacted revision to go by (a reader that holds history may go below the
--   current one), '' for the current one, 4 span kind, 5 and 6 its bounds, 7 the
--   HIST member to go on after, or '', 8 most keys in a page, 9 flags (1: keys
--   too, 2: count the whole span too, where it is read at the current revision),
--   10 the epoch.
-- Reply: revision, compacted+1, status (0 done, 1 compacted, 2 future)
--   ('>I8I8B'), and if done
--   page: total count, number of versions ('>I8I4'), their entries by key, each
--     after its key ('>I4', key) if keys are wanted;
--   count: keys counted ('>I8');
--   then where the next page begins: a key and a HIST member, each after its
--   length ('>I4'); an empty key means that the span is exhausted.
-- Entries say where the records lie; those are then read without a script, which
-- would copy each of them twice.
-- Nothing is changed.

local s, failure = state(ARGV[10])
if failure then return failure end

-- Bounds of one call: keys or members looked at, and bytes of records read on
-- the way from later versions to older ones.
local SCAN, WALK_BYTES = 1000, 1048576
local mode, r, floor = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]) or s.compacted
local kind, a, b, cursor, most, flags = tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local counting, keys_too = mode == 'count', flags % 2 == 1
if r == 0 then r = s.revision end

local function header(status)
  return pack('>I8I8B', s.revision, s.compacted + 1, status)
end

if r < floor then return header(1) end
if r > s.revision then return header(2) end

local function text(value) return pack('>I4', #value) .. value end

local function reply(total, n, entries, next_key, member)
  local numbers = counting and pack('>I8', n) or pack('>I8I4', total, n)
  return header(0) .. numbers .. (counting and '' or table.concat(entries)) .. text(next_key) .. text(member)
end

local min, max = lex_bounds(kind, a, b)

-- current reads the span as it is now.
local function current()
  if counting then return reply(0, call('ZLEXCOUNT', LIVE, min, max), nil, '', '') end
  local total = flags >= 2 and call('ZLEXCOUNT', LIVE, min, max) or 0
  local limit = math.min(most, SCAN)
  local keys = call('ZRANGEBYLEX', LIVE, min, max, 'LIMIT', 0, limit)
  local found = many(ENTRY, keys, #keys)
  if keys_too then
    for i = 1, #keys do found[i] = text(keys[i]) .. found[i] end
  end
  return reply(total, #keys, found, #keys == limit and keys[limit] .. '\0' or '', '')
end

-- heads lists, in order, the keys of a stretch of HIST that changed after r, with
-- the first event after r that HIST has of each; then the last member looked at,
-- if there are more.
local function heads(hmin, hmax)
  local members = call('ZRANGEBYLEX', HIST, hmin, hmax, 'LIMIT', 0, SCAN)
  local keys, head = {}, {}
  for i = 1, #members do
    local mod, position, n = parse(HIST_FORMAT, sub(members[i], -HIST_TAIL))
    if mod > r then
      local key = unescape(members[i])
      if not head[key] then
        keys[#keys + 1], head[key] = key, { position, n }
      end
    end
  end
  return keys, head, members[SCAN]
end

local walked = 0

-- version_at walks back from an event after r to the version that was the state
-- at r, and gives its entry; nil if there was none.
local function version_at(position, n)
  while true do
    local rec = call('HGET', REC, field(position, n))
    if not rec then error({ err = 'TIERD_MISSING no record at position ' .. field(position, n) }) end
    walked = walked + #rec
    local _, _, _, _, _, before, before_n, mod = parse(REC_FORMAT, rec)
    if before == 0 then return nil end
    position, n = before, before_n
    if mod <= r then
      rec = call('HGET', REC, field(position, n))
      if not rec then error({ err = 'TIERD_MISSING no record at position ' .. field(position, n) }) end
      walked = walked + #rec
      local _, _, create, version, lease = parse(REC_FORMAT, rec)
      if create == 0 then create = mod end
      return pack(ENTRY_FORMAT, create, mod, version, lease, position, n, #rec)
    end
  end
end

-- entry_at gives the entry of a key as it was at r.
local function entry_at(head, e)
  if head then return version_at(head[1], head[2]) end
  local create, mod = parse('>I7I7', e)
  if mod <= r then return e end
  if create <= r then return version_at(parse('>I7I3', e, 30)) end
end

-- below counts the keys of a sorted list that lie below one.
local function below(list, key)
  local low, high = 0, #list
  while low < high do
    local middle = math.floor((low + high + 1) / 2)
    if less(list[middle], key) then low = middle else high = middle - 1 end
  end
  return low
end

-- earlier reads a stretch of the span as it was at r: keys alive now and keys
-- that HIST knows, merged.
local function earlier()
  local live = call('ZRANGEBYLEX', LIVE, min, max, 'LIMIT', 0, SCAN)
  local found = many(ENTRY, live, #live)
  local next_key, member = #live == SCAN and live[SCAN] .. '\0' or '', ''
  local hmin, hmax = lex_bounds(kind, a, b, escape)
  if cursor ~= '' then hmin = '(' .. cursor end
  if next_key ~= '' then hmax = '(' .. escape(next_key) end
  local old, head, last = heads(hmin, hmax)
  if last then
    next_key = unescape(last)
    if head[next_key] then next_key = next_key .. '\0' else member = last end
  end
  local live_n, old_n = #live, #old
  if next_key ~= '' then live_n, old_n = below(live, next_key), below(old, next_key) end
  local out, n, i, j = {}, 0, 1, 1
  while i <= live_n or j <= old_n do
    local key, e = live[i], found[i]
    if i > live_n or (j <= old_n and less(old[j], key)) then key, e = old[j], nil end
    if n == most or walked > WALK_BYTES then
      next_key, member = key, ''
      break
    end
    if e then i = i + 1 end
    if key == old[j] then j = j + 1 end
    local at_r = entry_at(head[key], e)
    if at_r then
      n = n + 1
      out[n] = keys_too and text(key) .. at_r or at_r
    end
  end
  return reply(0, n, out, next_key, member)
end

if r == s.revision and cursor == '' then return current() end
return earlier()
