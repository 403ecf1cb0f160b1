"""What holds requests to one vendor back. Pure: `now` is monotonic seconds, always of the same clock.

Every gate answers one question, `delay_s`: 0 go now, more: wait so long (`inf`: until a request comes back), None: not at all.
Who goes says so (`enter`), and later exactly one of `succeeded`, `failed`, `abandoned`. Asking reserves nothing, and nothing can
happen between a question and its `enter`: so no gate has ever to give back because another one refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Final

from agi_lookup.domain.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderOutOfCredit,
    ProviderRateLimited,
    ProviderShut,
    ProviderSilent,
)
from agi_lookup.domain.model import Number
from agi_lookup.lookup.silence import Silence

FAILURES_IN_A_ROW: Final = 5
RECENT: Final = 20
"""Requests of which half may fail."""
FIRST_SHUT_S: Final = 0.5
MAX_SHUT_S: Final = 5.0
"""Between probes; half of the ten seconds within which a vendor that is back must be in use again."""
SILENT_PROBE_S: Final = 4.0
"""A probe without a reply no longer keeps the next one back: time-outs can be longer than the outage."""
CREDIT_PROBE_S: Final = 60.0
MAX_PAUSE_S: Final = 3600.0
FIRST_PAUSE_S: Final = 1.0
MAX_UNTOLD_PAUSE_S: Final = 30.0
"""When a vendor says "too many" and not for how long."""
MAX_NETWORKS: Final = 1000
RATE_WINDOW_S: Final = 60.5
"""A minute as the vendor counts it, and what the way to it may shift a request by."""
RETRY_SHARE: Final = 0.2
RETRY_WINDOW_S: Final = 10

_RECENT_MASK: Final = (1 << RECENT) - 1
_ROW_MASK: Final = (1 << FAILURES_IN_A_ROW) - 1


class Breaker:
    """Shut after failures, for a growing pause; then one request goes to see, and opens it or not.

    A refused key keeps it shut until the config (and with it the breaker) is replaced, an empty account until `credited`, or, where
    nobody can tell (`balance_known`), a probe a minute. A ticket is older than the last change when it does not count any more.
    """

    def __init__(self, *, balance_known: bool = False) -> None:
        self.why = ""  # the code of the error that shut it
        self._credit_s = inf if balance_known else CREDIT_PROBE_S
        self._recent = 0  # the last results, one bit each, 1 for a failure
        self.ticket = 0  # of who goes now
        self._since = 0  # the first ticket that counts
        self._shut_s = FIRST_SHUT_S
        self._probed_at = 0.0
        self._probe_at = 0.0  # when the next probe may go

    def delay_s(self, now: float) -> float | None:
        return 0.0 if not self.why or now >= self._probe_at else None

    def shut_s(self, now: float) -> float:
        """Until a probe may go; `inf`: none will by itself."""
        return max(0.0, self._probe_at - now) if self.why else 0.0

    def enter(self, now: float) -> int:
        """A ticket, to report the result with."""
        if self.why:
            self.ticket += 1
            self._probed_at = now
            self._probe_at = now + max(SILENT_PROBE_S, self._shut_s)
        return self.ticket

    def succeeded(self, ticket: int) -> None:
        if ticket < self._since:
            return
        if self.why:
            self.why = ""
            self._count_from_here()
        self._recent = (self._recent << 1) & _RECENT_MASK

    def failed(self, ticket: int, error: ProviderError, now: float) -> None:
        """An error that speaks of the number or of us only is a sign of health."""
        if not error.unhealthy:
            self.succeeded(ticket)
        elif ticket < self._since or (self.why and ticket != self.ticket):
            return  # a newer probe will tell
        else:
            self._recent = (self._recent << 1 | 1) & _RECENT_MASK
            if self.why or self._too_many() or self._lasting_s(error):
                self._shut(error, now)

    def abandoned(self, ticket: int, now: float) -> None:
        """Nothing came of it, good or bad: the next may probe in its place."""
        if self.why and ticket == self.ticket:
            self._probe_at = now

    def credited(self) -> None:
        """The account has credit again: the next request goes to see."""
        if self.why == ProviderOutOfCredit.code:
            self._probe_at = -inf

    def _too_many(self) -> bool:
        return self._recent & _ROW_MASK == _ROW_MASK or self._recent.bit_count() * 2 >= RECENT

    def _lasting_s(self, error: ProviderError) -> float:
        if isinstance(error, ProviderAuthError):
            return inf
        return self._credit_s if isinstance(error, ProviderOutOfCredit) else 0.0

    def _shut(self, error: ProviderError, now: float) -> None:
        """The pause after a probe counts from when it was sent: a time-out has been a pause already."""
        lasting_s = self._lasting_s(error)
        if not self.why:
            self._shut_s, self._probed_at = FIRST_SHUT_S, now
        elif not lasting_s:
            self._shut_s = min(2 * self._shut_s, MAX_SHUT_S)
        if lasting_s or not self.why:
            self._count_from_here()
        self.why = error.code
        self._probe_at = max(now, self._probed_at + (lasting_s or self._shut_s))

    def _count_from_here(self) -> None:
        self._recent = 0
        self.ticket += 1
        self._since = self.ticket


class Pause:
    """Until when "too many requests" holds. The vendor's own word counts, up to an hour; without one it grows, 1 s to 30 s."""

    def __init__(self) -> None:
        self.until = 0.0
        self._next_s = FIRST_PAUSE_S

    def delay_s(self, now: float) -> float:
        return self.until - now if self.until > now else 0.0

    def limited(self, retry_after_s: float | None, now: float) -> None:
        """Requests that were under way together make one pause, not a longer one each."""
        if retry_after_s:
            self.until = max(self.until, now + min(retry_after_s, MAX_PAUSE_S))
        elif now >= self.until:
            self.until = now + self._next_s
            self._next_s = min(2 * self._next_s, MAX_UNTOLD_PAUSE_S)

    def succeeded(self, now: float) -> None:
        if now >= self.until:
            self._next_s = FIRST_PAUSE_S


class NetworkPauses:
    """A pause for each destination network that the vendor holds back; the others go on. Remembers the last thousand."""

    def __init__(self) -> None:
        self._pauses: dict[str, Pause] = {}

    def __len__(self) -> int:
        return len(self._pauses)

    def delay_s(self, network: str, now: float) -> float:
        pause = self._pauses.get(network)
        return pause.delay_s(now) if pause else 0.0

    def suspect(self, network: str) -> bool:
        """Was it held back, and has taken nothing since?"""
        return network in self._pauses

    def limited(self, network: str, retry_after_s: float | None, now: float) -> None:
        pause = self._pauses.pop(network, None) or Pause()
        pause.limited(retry_after_s, now)
        self._pauses[network] = pause
        if len(self._pauses) > MAX_NETWORKS:
            del self._pauses[next(iter(self._pauses))]

    def succeeded(self, network: str, now: float) -> None:
        pause = self._pauses.get(network)
        if pause and now >= pause.until:
            del self._pauses[network]


class Rate:
    """At most `per_minute` requests in any minute: a thirtieth of them at once, the rest spread evenly.

    A limit that may be used up in a second leaves the calls of the next 59 s without. Spread, it makes nobody wait long, and
    numbers that wait share requests; the price is 4 % of the limit, and that a burst waits, all but its head. One figure is kept
    (generic cell rate algorithm, ITU-T I.371): when the next request is due if all were evenly spread.
    """

    def __init__(self, per_minute: int) -> None:
        self._due = 0.0
        self.pace(per_minute)

    def pace(self, per_minute: int) -> None:
        """From now on. What went before counts as it did."""
        head = 1 + per_minute // 30
        self.per_minute = per_minute
        self._gap_s = RATE_WINDOW_S / (per_minute - head + 1)
        self._ahead_s = (head - 1) * self._gap_s
        self.spare = min(1, head - 1)  # of those that may go at once, what can be left to somebody else

    def delay_s(self, now: float, behind: int = 0) -> float:
        """Until the next may go, or the one that `behind` others go before."""
        return max(0.0, max(self._due, now) + behind * self._gap_s - self._ahead_s - now)

    def enter(self, now: float) -> None:
        self._due = max(self._due, now) + self._gap_s


class RetryBudget:
    """Retries are at most a fifth of what was sent in the last ten seconds, counted by the second and never in our favour."""

    def __init__(self) -> None:
        self._second = 0
        self._slot = 0
        self._sent = [0] * (RETRY_WINDOW_S + 1)
        self._retries = [0] * (RETRY_WINDOW_S + 1)

    def sent(self, now: float) -> None:
        if int(now) != self._second:
            self._turn_to(int(now))
        self._sent[self._slot] += 1

    def allows(self, now: float) -> bool:
        """May one more be sent again? Then it counts as done."""
        self._turn_to(int(now))
        oldest = self._sent[(self._slot + 1) % len(self._sent)]  # perhaps older than ten seconds already
        if sum(self._retries) + 1 > RETRY_SHARE * (sum(self._sent) - oldest + 1):
            return False
        self._retries[self._slot] += 1
        return True

    def _turn_to(self, second: int) -> None:
        for passed in range(max(self._second, second - len(self._sent)) + 1, second + 1):
            self._slot = passed % len(self._sent)
            self._sent[self._slot] = self._retries[self._slot] = 0
        self._second = second


def number_range(number: Number) -> str:
    """The network as the first digits tell it, where nobody knows better."""
    return number.e164[:7]


class Gates:
    """All of one vendor's. Outlives reloads that leave its options alone.

    `room_for_calls`: who has time (`patient`) leaves a connection or more, and a request of the rate, to calls that may come.
    """

    def __init__(
        self,
        *,
        max_concurrency: int,
        max_per_minute: int | None = None,
        balance_known: bool = False,
        room_for_calls: bool = False,
        network_of: Callable[[Number], str] = number_range,
    ) -> None:
        self._breaker = Breaker(balance_known=balance_known)
        self._silence = Silence()
        self._pause = Pause()
        self._networks = NetworkPauses()
        self.rate = Rate(max_per_minute) if max_per_minute else None
        self._room_for_calls = room_for_calls
        self.lend(max_concurrency, max_per_minute)
        self._retries = RetryBudget()
        self._network_of = network_of
        self._limited = max_per_minute is not None  # is there a rate, a pause or a network to look at?
        self.under_way = 0  # requests
        self.last_error: tuple[str, float] | None = None  # of a request as a whole: its word, and when

    def lend(self, max_concurrency: int, max_per_minute: int | None) -> None:
        """From now on. Of limits that several instances share, the part that is this one's: none at all perhaps."""
        if self.rate is not None and max_per_minute:
            self.rate.pace(max_per_minute)
        self.max_concurrency = 0 if max_per_minute == 0 else max_concurrency
        left = max(1, max_concurrency // 4) if self._room_for_calls else 0
        self._patient_concurrency = min(self.max_concurrency, max(1, max_concurrency - left))
        self._patient_behind = self.rate.spare if self.rate is not None and self._room_for_calls else 0

    def why(self, now: float) -> str:
        """The stable word for what keeps everybody out; empty when open."""
        if self._breaker.why:
            return self._breaker.why
        if self._silence.shut:
            return ProviderSilent.code
        return ProviderRateLimited.code if self._pause.delay_s(now) else ""

    def shut_s(self, now: float) -> float:
        """For how long `why` holds, or until a probe may go; `inf`: no probe will by itself."""
        if self._breaker.why:
            return self._breaker.shut_s(now)
        return self._silence.shut_s(now) if self._silence.shut else self._pause.delay_s(now)

    def delay_s(self, now: float, number: Number | None = None, *, patient: bool = False) -> float | None:
        """For the number, or for anybody."""
        if self._breaker.why and self._breaker.delay_s(now) is None:
            return None
        if self._silence.holds(now):
            return None
        if self.under_way >= (self._patient_concurrency if patient else self.max_concurrency):
            return inf
        return self._limit_s(now, number, self._patient_behind if patient else 0) if self._limited else 0.0

    def network_delay_s(self, now: float, number: Number) -> float:
        """That of the number's network alone."""
        return self._networks.delay_s(self._network_of(number), now) if self._networks else 0.0

    def _limit_s(self, now: float, number: Number | None, behind: int = 0) -> float:
        """By what the vendor has published or said."""
        delay_s = self._pause.delay_s(now)
        if self.rate is not None:
            delay_s = max(delay_s, self.rate.delay_s(now, behind))
        return delay_s if number is None else max(delay_s, self.network_delay_s(now, number))

    def suspect(self, number: Number) -> str:
        """Its network where that was held back and has taken nothing since, else empty.

        In a batch of several networks nobody can say whose fault it was: so suspects go with their own kind only.
        """
        network = self._network_of(number) if self._networks else ""
        return network if self._networks.suspect(network) else ""

    def refusal(self, number: Number, now: float, until: float, behind: int = 0) -> ProviderError | None:
        """Why it is of no use to wait until then, for one that `behind` other requests go before; None: it may be."""
        if self._breaker.delay_s(now) is None:
            return ProviderShut(self._breaker.why)
        if self._silence.holds(now):
            return ProviderShut(ProviderSilent.code)
        return ProviderRateLimited("not in time") if now + self._limit_s(now, number, behind) > until else None

    def enter(self, now: float) -> int:
        """Take part, after a delay of 0; the ticket goes with the result."""
        self.under_way += 1
        self._retries.sent(now)
        self._silence.enter(now)
        if self.rate is not None:
            self.rate.enter(now)
        return self._breaker.enter(now)

    def succeeded(self, ticket: int, now: float, numbers: Iterable[Number] = ()) -> None:
        """`numbers` are those that the vendor took."""
        self.under_way -= 1
        self._breaker.succeeded(ticket)
        if self._limited:
            self._pause.succeeded(now)
            for number in numbers:
                self._networks.succeeded(self._network_of(number), now)
            self._limited = self.rate is not None or bool(self._networks) or self._pause.until > now

    def failed(self, ticket: int, error: ProviderError, now: float, numbers: Iterable[Number] = ()) -> None:
        """The request as a whole. `numbers` are those that an error of their network's speaks of."""
        self.under_way -= 1
        self.last_error = (error.code, now)
        self._breaker.failed(ticket, error, now)
        if isinstance(error, ProviderRateLimited):
            self.limited(error, now, numbers)

    def limited(self, error: ProviderRateLimited, now: float, numbers: Iterable[Number] = ()) -> None:
        """ "Too many requests", for all or for some numbers of a request that went through."""
        self._limited = True
        if error.scope == "provider":
            self._pause.limited(error.retry_after_s, now)
        for network in {self._network_of(number) for number in numbers} if error.scope == "network" else ():
            self._networks.limited(network, error.retry_after_s, now)

    def abandoned(self, ticket: int, now: float) -> None:
        """Never sent, or stopped by us."""
        self.under_way -= 1
        self._breaker.abandoned(ticket, now)

    def waited_in_vain(self, now: float) -> bool:
        """For a webhook. Are those missing, not just one?"""
        return self._silence.waited_in_vain(now)

    def answered(self) -> None:
        """At once, by a vendor that else reports by webhook."""
        self._silence.answered()

    def heard(self) -> None:
        """A webhook came."""
        self._silence.heard()

    def credited(self) -> None:
        """The account has credit again."""
        self._breaker.credited()

    def allows_retry(self, now: float) -> bool:
        """May one more request be sent again? Then it counts as done."""
        return self._retries.allows(now)
