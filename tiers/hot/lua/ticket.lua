-- ticket: the one ticket that a transaction over several shards, or a change of the
-- shard map, needs. It runs on the sequencer.
--
-- ARGV: 1 mode, 2 token (16 hex digits, used once)
--   'take', 3 '1' to lock the home shard too. Reply 'ok', or 'busy <token>' where
--      another holds it.
--   'settle', 3 milliseconds: what became of a token, and the end of one that has not
--      got its plan by now. Reply 'plan <plan>', to be carried out; 'done <revision>';
--      'young' where it may still get one; or 'aborted': it never will.
--   'finish': its plan has been carried out. Reply 'ok'.
--   'open', 3 milliseconds: Reply the tokens that are older, one after the other.
-- Twice is as good as once.

local s, failure = state()
if failure then return failure end
local mode, token, now = ARGV[1], ARGV[2], now_ms()
-- How long it is remembered what became of a token, in milliseconds.
local REMEMBERED = 600000
if s.nospace then insist() end -- nothing is put then
local held = call('HMGET', ORDER, 'ticket', 'ticketed')

local function release()
  if held[1] == token then call('HDEL', ORDER, 'ticket', 'ticketed') end
  if call('HGET', META, 'lock') == token then call('HDEL', META, 'lock') end
end

if mode == 'take' then
  if held[1] and held[1] ~= token then return 'busy ' .. held[1] end
  if ARGV[3] == '1' then
    local lock = call('HGET', META, 'lock')
    if lock and lock ~= token then return 'busy ' .. lock end
    call('HSET', META, 'lock', token)
  end
  if not held[1] then call('HSET', ORDER, 'ticket', token, 'ticketed', int(now)) end
  return 'ok'
end
if mode == 'settle' then
  local plan = call('HGET', PLANS, token)
  if plan and sub(plan, 1, 5) == 'done:' then return 'done ' .. string.match(plan, '^done:(%d+)') end
  if plan then return 'plan ' .. plan end
  if held[1] == token and now - tonumber(held[2]) < tonumber(ARGV[3]) then return 'young' end
  release()
  return 'aborted'
end
if mode == 'finish' then
  local plan = call('HGET', PLANS, token)
  if plan and sub(plan, 1, 5) ~= 'done:' then
    call('HSET', PLANS, token, 'done:' .. int((parse('>I8', plan))) .. ':' .. int(now))
  end
  release()
  return 'ok'
end
local open, plans = {}, call('HGETALL', PLANS)
for i = 1, #plans, 2 do
  local finished = string.match(plans[i + 1], '^done:%d+:(%d+)$')
  if not finished then
    local _, committed = parse('>I8I8', plans[i + 1])
    if now - committed >= tonumber(ARGV[3]) then open[#open + 1] = plans[i] end
  elseif now - tonumber(finished) > REMEMBERED then
    call('HDEL', PLANS, plans[i])
  end
end
if held[1] and now - tonumber(held[2]) >= tonumber(ARGV[3]) then open[#open + 1] = held[1] end
return table.concat(open)
