"""What an instance holds of a limit that all share. Pure: `now` is monotonic seconds; amounts are whole (millionths, requests).

The server keeps what each instance holds of each limit; its script (`SCRIPT`) lends no more than nobody holds. An instance uses no
more than it holds, and gives nothing back that it has used: of a day's cap what it spent, of a burst what it spent in the window,
of connections those that are open, of a rate the highest that it went by in the last minute. With n instances and a limit L:

- **Server there: no overshoot.** The sum of what is held never passes L. Calls may go without a lookup while the rest of L is in
  others' hands: less than a second, as the idle give back.
- **Server gone for all:** each goes on with what it holds of a day's cap and `alone_share` of what nobody held when it last looked.
  With the default share, 1/n, the overshoot is at most what was lent since then, `RENEW_S` or less before. Rates, bursts and
  connections: L/n each, and not less than one connection and one request a minute.
- **k instances cut off, the others not:** at most k x `alone_share` x L above L; of a day's cap, of what nobody held by then.
- **Server lost its data:** each tells again what it holds within `RENEW_S`, and remembers what others held: at most what was lent
  since it last looked.
- **Twice the same name:** each may use what one holds, until one of them has noticed (`peers.EVERY_S`) and takes another name.

An instance that is gone for good keeps what it holds: of a day's cap until midnight, of the rest until nothing of it still counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RENEW_S: Final = 1.0
ALONE_AFTER_S: Final = 3.0
"""Without a word from the server. Shorter than `ALIVE_S` by more than two tries."""
ALIVE_S: Final = 10.0
"""An instance that has not renewed for so long does not count as one that wants its part."""
GIVEN_BACK_S: Final = 3.0
"""By then the idle, who renew every second, have given back what others need: what nobody gives back is used up."""

SCRIPT: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local name, floor, wanted, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local known, alive, hold = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local rows = redis.call('HGETALL', KEYS[1])
local others, asked, count, here = 0, 0, 1, false
for i = 1, #rows, 2 do
  local held, want, at = string.match(rows[i + 1], '^(%d+) (%d+) (%d+)$')
  held, want, at = tonumber(held), tonumber(want), tonumber(at)
  if rows[i] == name then
    here = true
  elseif hold > 0 and now - at > hold then
    redis.call('HDEL', KEYS[1], rows[i])
  else
    others = others + held
    if now - at <= alive then
      count, asked = count + 1, asked + want
    else
      asked = asked + held
    end
  end
end
if not here and known > others then others = known end
local held = math.max(floor, math.min(wanted, most - others))
redis.call('HSET', KEYS[1], name, string.format('%.0f %.0f %.0f', held, wanted, now))
redis.call('PEXPIRE', KEYS[1], ARGV[8])
return {held, others, asked, count}
"""
"""Atomic, and the same however often it is sent: it is told sums, not changes. Its clock is the server's alone.

A row is what is held, what is wanted, and when it was renewed. `known`: what others held when this instance last heard, in case the
server forgot. `hold` ms after its last renewal a row is gone, 0: with its key.
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a limit stands with this instance: what of it is used, and what more is needed at once."""

    most: int  # the limit
    used: int  # which cannot be given back
    needed: int = 0  # beside `used`
    kept_s: float = 0.0  # how long what is used counts; 0: until the limit's key is another (a day's cap)


class Lease:
    """Of one limit. `count`: instances that hold something of it and are alive, with this one.

    `in_vain_since`: from then on, whatever was needed was not granted (monotonic seconds).
    """

    def __init__(self, most: int, *, least: int = 0, even: bool = False) -> None:
        """`least` may be used whatever the others do: who may open no connection at all is of no use. `even`: see `wants`."""
        self.most = most
        self.held = 0
        self.others = 0
        self.count = 1
        self.in_vain_since: float | None = None
        self.used_up = False
        self._asked = 0  # by others
        self._least = least
        self._even = even
        self._wanted = 0
        self._used = 0
        self._at: float | None = None

    def is_current(self, now: float) -> bool:
        return self._at is not None and now - self._at <= ALONE_AFTER_S

    def wants(self, standing: Standing, instances: int) -> int:
        """What to ask for: an equal part, used or not (`even`); or what is used, and as much as was used
        since the last time, or a part of what nobody uses.

        Where all want more than there is, an equal part too.
        """
        count = max(instances, self.count)
        fair = max(self._least, standing.most // count)
        if self._even:
            self._wanted = fair
            return fair
        unused = max(0, standing.most - self.others - standing.used)
        grown, self._used = standing.used - self._used, standing.used
        wanted = standing.used + max(standing.needed, grown, unused // (2 * count))
        if standing.kept_s and self._asked + wanted > standing.most:
            wanted = max(min(wanted, fair), min(wanted, standing.most - self._asked))
        self._wanted = min(wanted, standing.most)
        return self._wanted

    def granted(self, standing: Standing, held: int, others: int, asked: int, count: int, now: float) -> None:
        in_vain = held < standing.used + standing.needed
        if standing.most != self.most or (standing.needed and not in_vain):
            self.in_vain_since, self.used_up = None, False
        if in_vain:
            self.in_vain_since = now if self.in_vain_since is None else self.in_vain_since
            self.used_up = now - self.in_vain_since >= GIVEN_BACK_S
        self.most = standing.most
        self.held, self.others, self._asked, self.count, self._at = held, others, asked, count, now

    def usable(self, now: float, share: float, *, for_a_day: bool = False) -> int:
        """What may be used in all. `share`: of one who is alone."""
        if self.is_current(now):
            return min(self.held, self._wanted) if not for_a_day else self.held
        if for_a_day:
            return min(self.most, self.held + int(share * max(0, self.most - self.held - self.others)))
        return max(self._least, int(share * self.most))
