"""The order in which a queue's jobs wait: urgent ones first, and of each kind by turns of whom they are for.

Self-clocked fair queueing: a job is marked with the mark of the same person's job before it, plus one, but
with no less than what was taken from the queue last, plus one; jobs wait in the order of their marks. So
who has a thousand jobs waiting stands behind themselves: another's job waits for at most one of theirs at
each of its steps, and of any two people who both wait, over any time, one is served at most two jobs more.
All of it lies beside the queue in its Redis, and each change is one script, so that any number of servers
keep one order, and a restart keeps it, too. It is forgotten whenever the queue is empty.

Source: Golestani, A Self-Clocked Fair Queueing Scheme for Broadband Applications, INFOCOM 1994.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Place = Literal["turn", "front", "back"]
"""Where a job goes among those of its kind: by turns, before them all (it had its turn), behind them all."""

_COMMON = """
-- KEYS 1 queue  2 job → mark  3 'at<kind>' → mark of what was taken last, '<kind><person>' → mark of their
--      last job, 'count' → jobs marked
-- Kind 0 is urgent; marks of kind 1 begin behind all of those. No two are the same, so that marks and queue
-- have one order; computed ones are written in full.
local call, OTHERS = redis.call, 2^30
local function full(number) return string.format('%.17g', number) end
local function taken(kind)
  return tonumber(call('HGET', KEYS[3], 'at' .. kind) or kind * OTHERS + 2^20)
end
local function take(mark)
  local kind = tonumber(mark) < OTHERS and 0 or 1
  if tonumber(mark) > taken(kind) then call('HSET', KEYS[3], 'at' .. kind, mark) end
end
-- Before all of a kind.
local function foremost(kind)
  local lowest = call('ZRANGEBYSCORE', KEYS[2], kind == 0 and '-inf' or full(OTHERS), '+inf', 'WITHSCORES',
    'LIMIT', 0, 1)
  return math.min(tonumber(lowest[2] or taken(kind)), taken(kind)) - 2^-10
end
local function drop(job)
  local mark = call('ZSCORE', KEYS[2], job)
  if mark then
    call('ZREM', KEYS[2], job)
    take(mark)
  end
end
-- Forgets what stood before the first job that waits: it was taken.
local function tidy()
  local first = call('LINDEX', KEYS[1], 0)
  if not first then
    call('DEL', KEYS[2], KEYS[3])
    return nil
  end
  local mark = call('ZSCORE', KEYS[2], first)
  if mark then
    local last = {
      call('ZREVRANGEBYSCORE', KEYS[2], '(' .. full(math.min(tonumber(mark), OTHERS)), '-inf',
        'WITHSCORES', 'LIMIT', 0, 1),
      call('ZREVRANGEBYSCORE', KEYS[2], '(' .. mark, full(OTHERS), 'WITHSCORES', 'LIMIT', 0, 1),
    }
    for _, found in ipairs(last) do
      if found[2] then take(found[2]) end
    end
    call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. mark)
  end
  return first
end
"""

_PLACE = (
    _COMMON
    + """
-- A job that was appended to the queue goes where it belongs; 0 if it was taken meanwhile.
-- ARGV 1 job  2 kind  3 person  4 place  5 what urgent jobs' ids begin with
local job, kind, person, place = ARGV[1], tonumber(ARGV[2]), ARGV[2] .. ARGV[3], ARGV[4]
if call('LREM', KEYS[1], -1, job) == 0 then return 0 end
drop(job)
local first = tidy()
local mark
if place == 'front' then
  mark = foremost(kind)
elseif place == 'back' then
  local top = kind == 0 and '(' .. full(OTHERS) or '+inf'
  local last = call('ZREVRANGEBYSCORE', KEYS[2], top, kind == 0 and '-inf' or full(OTHERS),
    'WITHSCORES', 'LIMIT', 0, 1)
  mark = math.max(tonumber(last[2] or 0), taken(kind)) + 1
else
  -- What came first is first of those that would have the same. Grains do not add up: two sums may be equal.
  local grain = call('HINCRBY', KEYS[3], 'count', 1) % 65536 / 2^20
  mark = math.floor(math.max(tonumber(call('HGET', KEYS[3], person) or 0), taken(kind))) + 1 + grain
  call('HSET', KEYS[3], person, full(mark))
end
local placed = false
while not placed do
  local before = call('ZREVRANGEBYSCORE', KEYS[2], full(mark), '-inf', 'LIMIT', 0, 1)[1]
  if not before then break end
  placed = call('LINSERT', KEYS[1], 'AFTER', before, job) > 0
  if not placed then drop(before) end
end
if not placed then
  -- Urgent jobs that another release queued have no marks.
  local behind = kind == 1 and first and string.sub(first, 1, #ARGV[5]) == ARGV[5]
  call(behind and 'RPUSH' or 'LPUSH', KEYS[1], job)
end
call('ZADD', KEYS[2], full(mark), job)
return 1
"""
)

_LET_THROUGH = (
    _COMMON
    + """
-- The first job that is not urgent goes before the urgent ones; 0 if none waits behind any.
-- ARGV 1 what urgent jobs' ids begin with
local first = tidy()
if not first or string.sub(first, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
while true do
  local job = call('ZRANGEBYSCORE', KEYS[2], full(OTHERS), '+inf', 'LIMIT', 0, 1)[1]
  if not job then return 0 end
  local waits = call('LREM', KEYS[1], 1, job) > 0
  drop(job)
  if waits then
    call('LPUSH', KEYS[1], job)
    call('ZADD', KEYS[2], full(foremost(0)), job)
    return 1
  end
end
"""
)

_COUNT = (
    _COMMON
    + """
-- How many jobs wait, and how many of them are urgent.
tidy()
return {call('LLEN', KEYS[1]), call('ZCOUNT', KEYS[2], '-inf', '(' .. full(OTHERS))}
"""
)


@dataclass(frozen=True)
class Waiting:
    """How many jobs wait in a queue; somebody waits for the urgent ones."""

    jobs: int
    urgent: int


class FairLine:
    """The order of one queue. Every method blocks its thread and raises `redis.RedisError`.

    Args:
        redis: The queues' Redis.
        key: Of the queue's list of job ids.
        urgent: What the ids of urgent jobs begin with.
    """

    def __init__(self, redis: Any, key: str, *, urgent: str) -> None:
        self._redis = redis
        self._urgent = urgent
        self._keys = [key, f"{key}:marks", f"{key}:turns"]
        self._place = redis.register_script(_PLACE)
        self._let_through = redis.register_script(_LET_THROUGH)
        self._count = redis.register_script(_COUNT)

    def place(self, job_id: str, person: str, where: Place = "turn") -> bool:
        """Bring a job that stands at the queue's end to its place; False if it was taken meanwhile."""
        kind = "0" if job_id.startswith(self._urgent) else "1"
        return bool(self._place(keys=self._keys, args=[job_id, kind, person, where, self._urgent]))

    def let_through(self) -> bool:
        """Put the first job that is not urgent before the urgent ones; False where none waits behind any."""
        return bool(self._let_through(keys=self._keys, args=[self._urgent]))

    def urgent_waits(self) -> bool:
        """Whether the next job is an urgent one."""
        first = self._redis.lindex(self._keys[0], 0)
        return first is not None and first.decode().startswith(self._urgent)

    def count(self) -> Waiting:
        """What waits now."""
        return Waiting(*self._count(keys=self._keys, args=[]))

    def forget(self, pipeline: Any, job_ids: Iterable[str]) -> None:
        """Add to a pipeline what removes jobs' places; the queue's own list is the caller's."""
        pipeline.zrem(self._keys[1], *job_ids)
