"""Timelines: what holds a vendor's requests back, and for how long."""

from __future__ import annotations

import random
from collections import deque
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.domain import errors
from agi_lookup.domain.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderNotCovered,
    ProviderOutcomeUnknown,
    ProviderOutOfCredit,
    ProviderRateLimited,
    ProviderRejected,
    ProviderShut,
    ProviderTimeout,
    ProviderUnavailable,
)
from agi_lookup.domain.model import Number
from agi_lookup.lookup.gates import (
    FAILURES_IN_A_ROW,
    MAX_NETWORKS,
    Breaker,
    Gates,
    NetworkPauses,
    Pause,
    Rate,
    RetryBudget,
)

DOWN = ProviderUnavailable()


def fail(breaker: Breaker, now: float, error: ProviderError = DOWN, times: int = FAILURES_IN_A_ROW) -> None:
    for _ in range(times):
        breaker.failed(breaker.enter(now), error, now)


def shut(now: float = 0.0, error: ProviderError = DOWN) -> Breaker:
    breaker = Breaker()
    fail(breaker, now, error)
    assert breaker.delay_s(now) is None
    return breaker


def test_a_breaker_stays_open_for_business_while_failures_are_few() -> None:
    breaker = Breaker()
    for _ in range(100):
        fail(breaker, 0.0, times=4)
        for _ in range(5):
            breaker.succeeded(breaker.enter(0.0))

    assert (breaker.delay_s(0.0), breaker.why) == (0.0, "")


def test_failures_in_a_row_shut_it_and_it_says_why() -> None:
    breaker = Breaker()
    fail(breaker, 0.0, ProviderTimeout(), times=4)
    assert breaker.delay_s(0.0) == 0.0

    fail(breaker, 0.0, ProviderTimeout(), times=1)

    assert (breaker.delay_s(0.0), breaker.why) == (None, "timeout")


def test_half_of_the_last_twenty_shut_it_however_they_are_mixed() -> None:
    """P14."""
    breaker = Breaker()
    for _ in range(9):
        breaker.succeeded(breaker.enter(0.0))
        fail(breaker, 0.0, times=1)
    assert breaker.delay_s(0.0) == 0.0

    breaker.succeeded(breaker.enter(0.0))
    fail(breaker, 0.0, times=1)

    assert breaker.delay_s(0.0) is None


@pytest.mark.parametrize("error", [ProviderNotCovered(), ProviderRejected(), ProviderRateLimited()])
def test_what_speaks_of_the_number_or_of_us_is_a_sign_of_health(error: ProviderError) -> None:
    breaker = Breaker()
    fail(breaker, 0.0, error, times=100)
    assert breaker.delay_s(0.0) == 0.0

    breaker = shut(0.0)
    breaker.failed(breaker.enter(1.0), error, 1.0)
    assert breaker.delay_s(1.0) == 0.0


def test_one_probe_goes_however_many_ask() -> None:
    breaker = shut(0.0)

    went = 0
    for _ in range(1000):
        if breaker.delay_s(0.5) == 0.0:
            breaker.enter(0.5)
            went += 1

    assert went == 1


def test_a_probe_that_succeeds_opens_it_and_its_past_is_forgotten() -> None:
    breaker = shut(0.0)

    breaker.succeeded(breaker.enter(0.5))
    fail(breaker, 0.5, times=4)

    assert (breaker.delay_s(0.5), breaker.why) == (0.0, "")


def test_the_pause_grows_and_is_capped() -> None:
    breaker = shut(0.0)
    now, pauses = 0.0, []
    for _ in range(8):
        opens = next(now + tenth / 10 for tenth in range(1000) if breaker.delay_s(now + tenth / 10) == 0.0)
        pauses.append(round(opens - now, 1))
        now = opens
        breaker.failed(breaker.enter(now), DOWN, now)

    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]


def test_an_abandoned_probe_hands_the_probe_on() -> None:
    breaker = shut(0.0)

    breaker.abandoned(breaker.enter(0.5), 0.6)

    assert breaker.delay_s(0.6) == 0.0


def test_who_was_under_way_before_it_shut_changes_nothing() -> None:
    breaker = Breaker()
    old = breaker.enter(0.0)
    fail(breaker, 0.0)

    breaker.succeeded(old)
    assert breaker.delay_s(0.1) is None
    breaker.abandoned(old, 0.1)
    assert breaker.delay_s(0.1) is None

    breaker.succeeded(breaker.enter(0.5))
    for _ in range(20):
        breaker.failed(old, DOWN, 0.6)
    assert breaker.delay_s(0.6) == 0.0


def test_a_silent_probe_does_not_keep_the_next_one_back_and_may_still_open() -> None:
    """A time-out of 30 s must not be the price of a probe that went one moment too early."""
    breaker = shut(0.0)

    first = breaker.enter(0.5)
    assert breaker.delay_s(4.4) is None
    second = breaker.enter(4.5)
    breaker.failed(first, DOWN, 4.6)
    assert breaker.delay_s(8.4) is None, "the newer one will tell"
    breaker.succeeded(first)

    assert breaker.delay_s(4.7) == 0.0
    breaker.failed(second, DOWN, 4.8)
    assert breaker.delay_s(4.8) == 0.0


@given(st.floats(0.05, 30.0), st.floats(0.0, 200.0), st.floats(0.01, 0.4), st.booleans())
def test_a_vendor_that_is_back_is_in_use_within_ten_seconds(
    timeout_s: float, outage_s: float, every_s: float, silent: bool
) -> None:
    """G12, P15: whatever the time-out, whether it refuses or says nothing; somebody asks every now and then."""
    breaker, now = Breaker(), 0.0
    under_way: deque[tuple[float, int]] = deque()  # silent requests, and when they time out
    while True:
        while under_way and under_way[0][0] <= now:
            breaker.failed(under_way.popleft()[1], ProviderTimeout(), now)
        if breaker.delay_s(now) == 0.0:
            ticket = breaker.enter(now)
            if now >= outage_s:
                breaker.succeeded(ticket)
                break
            if silent:
                under_way.append((now + timeout_s, ticket))
            else:
                breaker.failed(ticket, DOWN, now)
        now += every_s

    assert now <= outage_s + 10.0


@pytest.mark.parametrize("balance_known", [True, False])
def test_a_refused_key_keeps_it_shut_for_ever_after_one_try(balance_known: bool) -> None:
    """P11: until the config replaces it."""
    breaker = Breaker(balance_known=balance_known)
    old = breaker.enter(0.0)
    fail(breaker, 0.0, ProviderAuthError(), times=1)
    breaker.succeeded(old)
    breaker.credited()

    assert (breaker.delay_s(1e12), breaker.why) == (None, "auth")


def test_an_empty_account_is_tried_once_a_minute_where_nobody_knows_its_balance() -> None:
    """P12."""
    breaker = shut(0.0, ProviderOutOfCredit())
    tried = 0
    for now in range(600):
        if breaker.delay_s(now) == 0.0:
            tried += 1
            breaker.failed(breaker.enter(now), ProviderOutOfCredit(), now)

    assert tried == 9


def test_an_empty_account_stays_shut_until_there_is_credit() -> None:
    """P12."""
    breaker = Breaker(balance_known=True)
    fail(breaker, 0.0, ProviderOutOfCredit(), times=1)
    assert (breaker.delay_s(1e9), breaker.why) == (None, "out_of_credit")

    breaker.credited()
    assert breaker.delay_s(1.0) == 0.0
    ticket = breaker.enter(1.0)
    assert breaker.delay_s(1.0) is None
    breaker.succeeded(ticket)

    assert breaker.delay_s(1.0) == 0.0


def test_a_probe_that_finds_the_key_refused_shuts_for_ever_though_older_probes_are_out() -> None:
    breaker = shut(0.0)
    older, newer = breaker.enter(0.5), breaker.enter(4.5)

    breaker.failed(newer, ProviderAuthError(), 5.0)
    breaker.failed(older, ProviderTimeout(), 6.0)
    breaker.succeeded(older)

    assert (breaker.delay_s(1e9), breaker.why) == (None, "auth")


@pytest.mark.parametrize(
    ("retry_after_s", "pause_s"), [(7.0, 7.0), (3600.0, 3600.0), (1e12, 3600.0), (0.0, 1.0), (None, 1.0)]
)
def test_too_many_requests_pause_for_as_long_as_the_vendor_says_up_to_an_hour(
    retry_after_s: float | None, pause_s: float
) -> None:
    """P13."""
    pause = Pause()
    pause.limited(retry_after_s, 10.0)

    assert pause.delay_s(10.0) == pause_s
    assert pause.delay_s(10.0 + pause_s) == 0.0


def test_an_untold_pause_grows_once_for_all_that_were_under_way_and_not_for_ever() -> None:
    pause, now, pauses = Pause(), 0.0, []
    for _ in range(8):
        for _ in range(10):
            pause.limited(None, now)
        pauses.append(pause.delay_s(now))
        now = pause.until
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]

    pause.succeeded(now)
    pause.limited(None, now)
    assert pause.delay_s(now) == 1.0


def test_networks_pause_apart_and_are_forgotten_when_they_take_numbers_again_or_are_too_many() -> None:
    networks = NetworkPauses()
    networks.limited("slow", None, 0.0)
    assert (networks.delay_s("slow", 0.0), networks.delay_s("other", 0.0)) == (1.0, 0.0)
    networks.succeeded("slow", 0.5)
    assert networks.suspect("slow")
    networks.succeeded("slow", 1.0)
    assert not networks.suspect("slow")

    for number in range(3 * MAX_NETWORKS):
        networks.limited(str(number), 60.0, 0.0)
    assert len(networks) == MAX_NETWORKS
    assert networks.delay_s(str(3 * MAX_NETWORKS - 1), 0.0) == 60.0


@given(st.integers(1, 2000), st.lists(st.floats(0.0, 5.0), max_size=300), st.integers(0, 2**32))
def test_never_one_more_than_the_limit_in_any_minute_and_nearly_all_of_it_when_wanted(
    per_minute: int, gaps: list[float], seed: int
) -> None:
    rate, now, went = Rate(per_minute), 1e6, []
    chance = random.Random(seed)
    for gap in gaps:  # calls come as they please
        now += gap * chance.random()
        if rate.delay_s(now) == 0.0:
            rate.enter(now)
            went.append(now)
    begin = now
    while now < begin + 180.0:  # then more than it can take
        now += max(rate.delay_s(now), 1e-6)
        rate.enter(now)
        went.append(now)

    for index in range(len(went) - per_minute):
        assert went[index + per_minute] - went[index] > 60.0
    sustained = sum(1 for at in went if at > begin + 60.0) / 2
    assert sustained >= 0.95 * per_minute - 1


def test_a_limit_is_not_burnt_in_the_first_second() -> None:
    rate, went = Rate(360), [1000.0]
    rate.enter(1000.0)
    while len(went) < 360:
        went.append(went[-1] + rate.delay_s(went[-1]))
        rate.enter(went[-1])

    assert sum(1 for at in went if at < 1001.0) < 20
    assert max(later - sooner for sooner, later in pairwise(went)) < 0.2


def test_the_rate_says_when_one_further_back_may_go() -> None:
    rate, now = Rate(60), 1000.0
    told = [now + rate.delay_s(now, behind) for behind in range(50)]
    for at in told:
        now = max(now, at)
        assert rate.delay_s(now) < 1e-6
        rate.enter(now)


def test_so_many_at_once() -> None:
    gates = Gates(max_concurrency=2)
    gates.enter(0.0)
    assert gates.delay_s(0.0) == 0.0
    ticket = gates.enter(0.0)
    assert gates.delay_s(0.0) == inf
    gates.abandoned(ticket, 0.0)
    assert gates.delay_s(0.0) == 0.0


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.booleans()), min_size=1, max_size=400))
def test_retries_are_at_most_a_fifth_of_the_last_ten_seconds(steps: list[tuple[float, bool]]) -> None:
    """P14, G6."""
    budget, now = RetryBudget(), 50.0
    sent: list[float] = []
    retries: list[float] = []
    for gap, wants in steps:
        now += gap if gap > 1.0 else gap / 100
        budget.sent(now)
        sent.append(now)
        if wants and budget.allows(now):
            budget.sent(now)
            sent.append(now)
            retries.append(now)
            assert sum(1 for at in retries if at > now - 10.0) <= 0.2 * sum(1 for at in sent if at > now - 10.0)


def test_traffic_of_eleven_seconds_ago_earns_no_retry() -> None:
    budget = RetryBudget()
    for _ in range(100):
        budget.sent(0.0)
    budget.sent(10.5)

    assert not budget.allows(10.5)


def test_a_steady_fifth_of_retries_is_allowed() -> None:
    budget, retried = RetryBudget(), 0
    for step in range(20_000):
        budget.sent(step / 100)
        if budget.allows(step / 100):
            budget.sent(step / 100)
            retried += 1

    assert 0.17 < retried / (20_000 + retried) <= 0.2


def test_nothing_that_may_have_been_charged_is_ever_repeatable() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ProviderError)]

    assert not [kind for kind in kinds if kind.repeatable and (kind.maybe_charged or kind.alarm)]
    assert not ProviderOutcomeUnknown.repeatable


NEAR, FAR = Number("+447700900001"), Number("+93700000001")


def test_gates_name_what_keeps_everybody_out() -> None:
    gates = Gates(max_concurrency=1, max_per_minute=1)
    assert (gates.delay_s(0.0), gates.why(0.0)) == (0.0, "")

    ticket = gates.enter(0.0)
    assert gates.delay_s(0.0) == inf
    gates.failed(ticket, ProviderRateLimited(retry_after_s=90.0), 1.0)
    assert (gates.delay_s(1.0), gates.why(1.0)) == (90.0, "rate_limited")
    assert isinstance(gates.refusal(NEAR, 1.0, 90.0), ProviderRateLimited)
    assert gates.refusal(NEAR, 1.0, 91.0) is None

    gates.failed(gates.enter(91.0), ProviderAuthError(), 91.0)
    refusal = gates.refusal(NEAR, 91.0, 1e9)
    assert (gates.delay_s(91.0), gates.why(91.0)) == (None, "auth")
    assert isinstance(refusal, ProviderShut)
    assert refusal.why == "auth"


def test_a_network_that_is_held_back_holds_nobody_else_back() -> None:
    gates = Gates(max_concurrency=9, network_of=lambda number: number.e164[:3])

    gates.failed(gates.enter(0.0), ProviderRateLimited(scope="network"), 0.0, [FAR])

    assert (gates.delay_s(0.0), gates.why(0.0)) == (0.0, "")
    assert (gates.delay_s(0.0, FAR), gates.delay_s(0.0, NEAR)) == (1.0, 0.0)
    assert (gates.suspect(FAR), gates.suspect(NEAR)) == ("+93", "")
    gates.succeeded(gates.enter(0.5), 0.5, [NEAR])
    assert (gates.delay_s(0.5, FAR), gates.delay_s(0.5, NEAR)) == (0.5, 0.0)
    gates.succeeded(gates.enter(1.0), 1.0, [FAR])
    assert gates.suspect(FAR) == ""
