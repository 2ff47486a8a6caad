"""The Lua scripts of the shared counters: each runs whole or not at all, on Redis's own clock.

Their arguments are one JSON array, which costs a client far less to send than many arguments do. Keys, all
in one hash slot by the braces in the prefix:

- `P:c:<counter>:<window>`  hash `used`, `held`: a calendar window's sum, or what is under way
- `P:m:<counter>`           hash second -> amount, with `total` and `first`: the last sixty seconds
- `P:r:<reservation>`       hash of its holds, so that they can be given up without asking its owner
- `P:leases`                sorted set reservation -> when its lease ends, in milliseconds

A lease that has ended is given up by whichever script runs next, before it looks at any sum.
"""

from __future__ import annotations

from typing import Final

_COMMON: Final = """
local A = cjson.decode(ARGV[1])
local P = A[1]
local time = redis.call('TIME')
local second = tonumber(time[1])
local now_ms = second * 1000 + math.floor(tonumber(time[2]) / 1000)

local function add(key, field, amount)
  return redis.call('HINCRBY', key, field, string.format('%.0f', amount))
end

local function correct_minute(key, at, amount)
  if redis.call('HEXISTS', key, at) == 1 then
    add(key, at, amount)
    add(key, 'total', amount)
  end
end

local function drop_hold(key, amount)
  if redis.call('EXISTS', key) == 1 and add(key, 'held', -amount) <= 0
      and redis.call('HEXISTS', key, 'used') == 0 then
    redis.call('DEL', key)
  end
end

local function give_up(id)
  local holds = redis.call('HGETALL', P .. ':r:' .. id)
  local at = redis.call('HGET', P .. ':r:' .. id, 'second')
  for i = 1, #holds, 2 do
    local amount = tonumber(holds[i + 1])
    if string.sub(holds[i], 1, 2) == 'm:' then
      correct_minute(P .. ':' .. holds[i], at, -amount)
    elseif string.sub(holds[i], 1, 2) == 'c:' then
      drop_hold(P .. ':' .. holds[i], amount)
    end
  end
  redis.call('DEL', P .. ':r:' .. id)
  redis.call('ZREM', P .. ':leases', id)
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':leases', '-inf', now_ms)) do
  give_up(id)
end

local function minute_total(key)
  local first = tonumber(redis.call('HGET', key, 'first'))
  if not first then return 0 end
  if second - first > 120 then
    redis.call('DEL', key)
    return 0
  end
  while first <= second - 60 do
    local amount = redis.call('HGET', key, tostring(first))
    if amount then
      add(key, 'total', -tonumber(amount))
      redis.call('HDEL', key, tostring(first))
    end
    first = first + 1
  end
  redis.call('HSET', key, 'first', first)
  return tonumber(redis.call('HGET', key, 'total') or '0')
end

local function sum_of(key)
  local found = redis.call('HMGET', key, 'used', 'held')
  return tonumber(found[1] or '0') + tonumber(found[2] or '0')
end
"""

RESERVE: Final = (
    _COMMON
    + """
local id, lease_ms, n = A[2], A[3], A[4]
local repeated = redis.call('EXISTS', P .. ':r:' .. id) == 1
local before = {}
local keys = {}
for i = 1, n do
  local a = 4 + (i - 1) * 6
  local counter, window, limit, amount = A[a + 1], A[a + 3], tonumber(A[a + 5]), tonumber(A[a + 4])
  local minute = A[a + 2] == 'minute'
  keys[i] = minute and ('m:' .. counter) or ('c:' .. counter .. ':' .. window)
  local key = P .. ':' .. keys[i]
  local used = minute and minute_total(key) or sum_of(key)
  before[i] = used
  if not repeated and limit >= 0 and used + amount > limit then
    local wait_ms = 0
    if minute then
      local left = used
      wait_ms = 60000
      for s = second - 59, second do
        left = left - tonumber(redis.call('HGET', key, tostring(s)) or '0')
        if left + amount <= limit then
          wait_ms = math.max((s + 60) * 1000 - now_ms, 1)
          break
        end
      end
    end
    return {i, used, wait_ms}
  end
end
if not repeated then
  for i = 1, n do
    local a = 4 + (i - 1) * 6
    local amount, key = tonumber(A[a + 4]), P .. ':' .. keys[i]
    if A[a + 2] == 'minute' then
      redis.call('HSETNX', key, 'first', second)
      add(key, tostring(second), amount)
      add(key, 'total', amount)
      redis.call('PEXPIRE', key, 180000)
    else
      add(key, 'held', amount)
      if A[a + 6] ~= 0 then redis.call('PEXPIREAT', key, A[a + 6]) end
    end
    redis.call('HINCRBY', P .. ':r:' .. id, keys[i], A[a + 4])
  end
  redis.call('HSET', P .. ':r:' .. id, 'second', second)
end
redis.call('ZADD', P .. ':leases', now_ms + lease_ms, id)
return {0, unpack(before)}
"""
)
"""Arguments: prefix, reservation, lease in ms, number of holds; per hold: counter, period, window, amount, limit
(-1 where it must not refuse), when its sum may be forgotten in ms (0 never). Returns {0, sums before...} or
{number of the hold that has no room, its sum, wait in ms}."""

SETTLE: Final = (
    _COMMON
    + """
local id, only_if_held, n = A[2], A[3] == 1, A[4]
local held = redis.call('EXISTS', P .. ':r:' .. id) == 1
if only_if_held and not held then return 0 end
local at = redis.call('HGET', P .. ':r:' .. id, 'second')
for i = 1, n do
  local a = 4 + (i - 1) * 6
  local counter, window = A[a + 1], A[a + 3]
  local amount, actual = tonumber(A[a + 4]), tonumber(A[a + 5])
  if A[a + 2] == 'minute' then
    if held then correct_minute(P .. ':m:' .. counter, at, actual - amount) end
  else
    local key = P .. ':c:' .. counter .. ':' .. window
    if A[a + 6] ~= 0 and tonumber(A[a + 6]) > now_ms then
      add(key, 'used', actual)
      redis.call('PEXPIREAT', key, A[a + 6])
    end
    if held then drop_hold(key, amount) end
  end
end
redis.call('DEL', P .. ':r:' .. id)
redis.call('ZREM', P .. ':leases', id)
return 1
"""
)
"""Arguments: prefix, reservation, whether a reservation that is gone means settled already, number of holds; per
hold: counter, period, window, amount held, amount used, when its sum may be forgotten in ms (0 never)."""

RENEW: Final = (
    _COMMON
    + """
for i = 3, #A do
  redis.call('ZADD', P .. ':leases', 'XX', now_ms + tonumber(A[2]), A[i])
end
return 1
"""
)
"""Arguments: prefix, lease in ms, reservations."""

SEED: Final = (
    _COMMON
    + """
for i = 2, #A, 4 do
  local key = P .. ':c:' .. A[i] .. ':' .. A[i + 1]
  if redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, 'used', A[i + 2])
    redis.call('PEXPIREAT', key, A[i + 3])
  end
end
return 1
"""
)
"""Arguments: prefix; then counter, window, used, when it may be forgotten in ms. A sum that is there stays."""

TIDY: Final = _COMMON + "return 1\n"
"""Only gives up what has expired."""
