"""The Lua scripts of the shared counters: each runs whole or not at all, on Redis's own clock.

Their arguments are one JSON array, which costs a client far less to send than many arguments do. A request
waits while RESERVE runs, and others while SETTLE does, so both read and write each hash in one call. Redis
writes Lua's numbers with seventeen digits, so whole ones arrive exact; larger ones as 1e+17, which HINCRBY
would refuse to read, and a lease that can't be given up would fail every script from then on.
Keys, all in one hash slot by the braces in the prefix:

- `P:c:<counter>:<window>`  hash `used`, `held`: a calendar window's sum, or what is under way
- `P:m:<counter>`           hash second -> amount, with `total` and `first`: the last sixty seconds
- `P:r:<reservation>`       hash of its holds, so that they can be given up without asking its owner
- `P:leases`                sorted set reservation -> when its lease ends, in milliseconds

A lease that has ended is given up by whichever script runs next, before it looks at any sum.
"""

from __future__ import annotations

from typing import Final

from byline.budgets.redis_commands import Script

_COMMON: Final = """
local A = cjson.decode(ARGV[1])
local P = A[1]
local call = redis.call
local time = call('TIME')
local second = tonumber(time[1])
local now_ms = second * 1000 + math.floor(tonumber(time[2]) / 1000)

local function correct_minute(key, at, amount)
  local found = call('HMGET', key, at, 'total')
  if amount ~= 0 and found[1] then
    call('HSET', key, at, tonumber(found[1]) + amount, 'total', tonumber(found[2] or '0') + amount)
  end
end

local function drop_hold(key, amount)
  local found = call('HMGET', key, 'used', 'held')
  local left = math.max(tonumber(found[2] or '0') - amount, 0)
  if found[1] or left > 0 then
    call('HSET', key, 'held', left)
  elseif found[2] then
    call('DEL', key)
  end
end

local function give_up(id)
  local holds = call('HGETALL', P .. ':r:' .. id)
  local at
  for i = 1, #holds, 2 do
    if holds[i] == 'second' then at = holds[i + 1] end
  end
  for i = 1, #holds, 2 do
    local amount, kind = tonumber(holds[i + 1]), string.sub(holds[i], 1, 2)
    if kind == 'm:' then
      correct_minute(P .. ':' .. holds[i], at, -amount)
    elseif kind == 'c:' then
      drop_hold(P .. ':' .. holds[i], amount)
    end
  end
  call('DEL', P .. ':r:' .. id)
  call('ZREM', P .. ':leases', id)
end

for _, id in ipairs(call('ZRANGEBYSCORE', P .. ':leases', '-inf', now_ms)) do
  give_up(id)
end
"""

_RESERVE: Final = (
    _COMMON
    + """
local id, lease_ms, n = A[2], A[3], A[4]
local reservation = P .. ':r:' .. id
local repeated = call('EXISTS', reservation) == 1
local keys, sums, firsts, now_held = {}, {}, {}, {}

local function minute_sum(i, key)
  local found = call('HMGET', key, 'first', 'total', second)
  local first, total = tonumber(found[1]), tonumber(found[2] or '0')
  now_held[i] = found[3]
  if not first then
    first = second
  elseif second - first > 120 then
    call('DEL', key)
    first, total, now_held[i] = second, 0, nil
  end
  local began = first
  while first <= second - 60 do
    local amount = call('HGET', key, first)
    if amount then
      total = total - tonumber(amount)
      call('HDEL', key, first)
    end
    first = first + 1
  end
  if first ~= began then call('HSET', key, 'first', first, 'total', total) end
  firsts[i] = first
  return total
end

local function calendar_sum(i, key)
  local found = call('HMGET', key, 'used', 'held')
  now_held[i] = found[2]
  firsts[i] = not found[1] and not found[2]
  return tonumber(found[1] or '0') + tonumber(found[2] or '0')
end

local function wait_for_room(key, used, amount, limit)
  local left = used
  for s = second - 59, second do
    left = left - tonumber(call('HGET', key, s) or '0')
    if left + amount <= limit then return math.max((s + 60) * 1000 - now_ms, 1) end
  end
  return 60000
end

for i = 1, n do
  local a = 4 + (i - 1) * 6
  local counter, amount, limit = A[a + 1], A[a + 4], A[a + 5]
  local minute = A[a + 2] == 'minute'
  keys[i] = minute and ('m:' .. counter) or ('c:' .. counter .. ':' .. A[a + 3])
  local key = P .. ':' .. keys[i]
  local used = minute and minute_sum(i, key) or calendar_sum(i, key)
  sums[i] = repeated and used - amount or used
  if not repeated and limit >= 0 and used + amount > limit then
    return {i, used, minute and wait_for_room(key, used, amount, limit) or 0}
  end
end

if not repeated then
  local holds = {'second', second}
  for i = 1, n do
    local a = 4 + (i - 1) * 6
    local amount, key = A[a + 4], P .. ':' .. keys[i]
    local held = tonumber(now_held[i] or '0') + amount
    if A[a + 2] == 'minute' then
      call('HSET', key, 'first', firsts[i], 'total', sums[i] + amount, second, held)
      if not now_held[i] then call('PEXPIRE', key, 180000) end
    else
      call('HSET', key, 'held', held)
      if firsts[i] and A[a + 6] ~= 0 then call('PEXPIREAT', key, A[a + 6]) end
    end
    holds[#holds + 1] = keys[i]
    holds[#holds + 1] = amount
  end
  call('HSET', reservation, unpack(holds))
end
call('ZADD', P .. ':leases', now_ms + lease_ms, id)
return {0, unpack(sums)}
"""
)

_SETTLE: Final = (
    _COMMON
    + """
local id, only_if_held, n = A[2], A[3] == 1, A[4]
local reservation = P .. ':r:' .. id
local at = call('HGET', reservation, 'second')
if only_if_held and not at then return 0 end

local function settle_calendar(key, amount, actual, forget_at_ms)
  if forget_at_ms == 0 or forget_at_ms <= now_ms then
    if at then drop_hold(key, amount) end
    return
  end
  local found = call('HMGET', key, 'used', 'held')
  local used = tonumber(found[1] or '0') + actual
  if at then
    local left = math.max(tonumber(found[2] or '0') - amount, 0)
    call('HSET', key, 'used', used, 'held', left)
  else
    call('HSET', key, 'used', used)
  end
  if not found[1] and not found[2] then call('PEXPIREAT', key, forget_at_ms) end
end

for i = 1, n do
  local a = 4 + (i - 1) * 6
  local amount, actual = A[a + 4], A[a + 5]
  if A[a + 2] ~= 'minute' then
    settle_calendar(P .. ':c:' .. A[a + 1] .. ':' .. A[a + 3], amount, actual, A[a + 6])
  elseif at then
    correct_minute(P .. ':m:' .. A[a + 1], at, actual - amount)
  end
end
if at then
  call('DEL', reservation)
  call('ZREM', P .. ':leases', id)
end
return 1
"""
)

_RENEW: Final = (
    _COMMON
    + """
for i = 3, #A do
  call('ZADD', P .. ':leases', 'XX', now_ms + A[2], A[i])
end
return 1
"""
)

_SEED: Final = (
    _COMMON
    + """
for i = 2, #A, 4 do
  local key = P .. ':c:' .. A[i] .. ':' .. A[i + 1]
  if call('EXISTS', key) == 0 then
    call('HSET', key, 'used', A[i + 2])
    call('PEXPIREAT', key, A[i + 3])
  end
end
return 1
"""
)


RESERVE: Final = Script(_RESERVE)
"""Arguments: prefix, reservation, lease in ms, number of holds; per hold: counter, period, window, amount, limit
(-1 where it must not refuse), when its sum may be forgotten in ms (0 never). Returns {0, sums before...} or
{number of the hold that has no room, its sum, wait in ms}. No two holds are of one sum."""

SETTLE: Final = Script(_SETTLE)
"""Arguments: prefix, reservation, whether a reservation that is gone means settled already, number of holds; per
hold: counter, period, window, amount held, amount used, when its sum may be forgotten in ms (0 never)."""

RENEW: Final = Script(_RENEW)
"""Arguments: prefix, lease in ms, reservations."""

SEED: Final = Script(_SEED)
"""Arguments: prefix; then counter, window, used, when it may be forgotten in ms. A sum that is there stays."""

TIDY: Final = Script(_COMMON + "return 1\n")
"""Only gives up what has expired."""
