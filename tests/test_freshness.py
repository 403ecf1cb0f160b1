"""Lifetimes as timelines: what may be done with a fact at which second."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.cache.base import CacheEntry, Outcome
from agi_lookup.domain.model import CacheState, Facet, Identity, Liveness, LookupAnswer, Tri
from agi_lookup.lookup.freshness import CLOCK_SLACK_S, Lifetime, Lifetimes, entries, outcome_of, state, supersedes
from tests.fakes import ABSENT, ALIVE, DEAD, KNOWN, PARTLY, UNSAID, answer

NOW = 1_700_000_000.0
MINUTE, HOUR, DAY, YEAR = 60.0, 3600.0, 86_400.0, 365 * 86_400.0
LIFETIMES = Lifetimes(jitter=0)
FRESH, STALE, MISS = CacheState.FRESH, CacheState.STALE, CacheState.MISS


def kept(answered: LookupAnswer, lifetimes: Lifetimes = LIFETIMES, spread: float = 0.0) -> dict[Facet, CacheEntry]:
    return {entry.facet: entry for entry in entries(answered, lifetimes, NOW, spread)}


def identity(body: Identity = KNOWN, observed_at: float = NOW) -> CacheEntry:
    return kept(answer(body, None, now=observed_at))[Facet.IDENTITY]


def liveness(body: Liveness = ALIVE, observed_at: float = NOW) -> CacheEntry:
    return kept(answer(None, body, now=observed_at))[Facet.LIVENESS]


TIMELINES = {
    "a known identity: a day fresh, then a week in reserve": (
        identity(),
        [(0, FRESH), (DAY - 1, FRESH), (DAY, STALE), (8 * DAY - 1, STALE), (8 * DAY, MISS)],
    ),
    "an identity that was not told is asked for again after five minutes": (
        identity(PARTLY),
        [(0, FRESH), (5 * MINUTE - 1, FRESH), (5 * MINUTE, MISS)],
    ),
    "reachable: fifteen minutes and never stale": (
        liveness(),
        [(0, FRESH), (15 * MINUTE - 1, FRESH), (15 * MINUTE, MISS)],
    ),
    "not reachable: five minutes": (liveness(ABSENT), [(5 * MINUTE - 1, FRESH), (5 * MINUTE, MISS)]),
    "unknown subscriber: five minutes too": (liveness(DEAD), [(5 * MINUTE - 1, FRESH), (5 * MINUTE, MISS)]),
    "liveness that was not told: one minute": (liveness(UNSAID), [(MINUTE - 1, FRESH), (MINUTE, MISS)]),
    "observed an hour ago: the hour is gone": (
        identity(observed_at=NOW - HOUR),
        [(23 * HOUR - 1, FRESH), (23 * HOUR, STALE)],
    ),
    "C16, the clock jumps a year ahead: nothing is of use": (identity(), [(YEAR, MISS)]),
    "C16, the clock is set back a year: identity stands in as stale": (identity(), [(-YEAR, STALE)]),
    "C16, the clock is set back a year: liveness is not believed": (liveness(), [(-YEAR, MISS)]),
    "C16, the clock is corrected by seconds: nothing happens": (
        liveness(),
        [(-CLOCK_SLACK_S, FRESH), (-CLOCK_SLACK_S - 1, MISS)],
    ),
}


@pytest.mark.parametrize("name", TIMELINES)
def test_timeline(name: str) -> None:
    """C5, C16: each outcome has its lifetime, on any clock."""
    entry, steps = TIMELINES[name]

    assert [state(entry, NOW + after) for after, _ in steps] == [expected for _, expected in steps]


@given(st.floats(-2 * YEAR, 2 * YEAR))
def test_stale_liveness_never_stands_in(after: float) -> None:
    """C4: whatever the clock does, liveness is fresh or of no use."""
    for body in (ALIVE, ABSENT, DEAD, UNSAID):
        assert state(liveness(body), NOW + after) in (FRESH, MISS)


def test_what_was_not_told_never_lives_as_long_as_what_was() -> None:
    """C5."""
    assert identity(PARTLY).fresh_until < identity().fresh_until
    assert identity(PARTLY).stale_until < identity().stale_until
    assert liveness(UNSAID).fresh_until < liveness(ABSENT).fresh_until < liveness(ALIVE).fresh_until


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (KNOWN, Outcome.POSITIVE),
        (replace(KNOWN, ported=Tri.UNKNOWN), Outcome.INCONCLUSIVE),
        (Identity(), Outcome.INCONCLUSIVE),
        (ALIVE, Outcome.POSITIVE),
        (ABSENT, Outcome.NEGATIVE),
        (DEAD, Outcome.NEGATIVE),
        (UNSAID, Outcome.INCONCLUSIVE),
    ],
)
def test_outcome(body: Identity | Liveness, outcome: Outcome) -> None:
    assert outcome_of(body) is outcome


def test_an_answer_without_liveness_leaves_none() -> None:
    assert kept(answer(KNOWN, None, now=NOW)).keys() == {Facet.IDENTITY}


def test_a_source_clock_that_runs_ahead_buys_no_longer_life() -> None:
    assert identity(observed_at=NOW + HOUR) == identity()


@given(st.floats(-1, 1))
def test_jitter_stays_within_its_part(spread: float) -> None:
    """C3: and never moves the reserve's length."""
    entry = kept(answer(KNOWN, None, now=NOW), Lifetimes(jitter=0.1), spread)[Facet.IDENTITY]

    assert 0.9 * DAY - 1e-3 <= entry.fresh_until - NOW <= 1.1 * DAY + 1e-3
    assert entry.stale_until - entry.fresh_until == pytest.approx(7 * DAY)


def test_entries_kept_at_one_time_do_not_end_at_one_time() -> None:
    """C3: 100,000 with the same lifetime; the busiest of 20 slots has at most twice the mean."""
    draw = random.Random(3)
    ends = (
        kept(answer(None, ALIVE, now=NOW), Lifetimes(jitter=0.1), draw.uniform(-1, 1))[Facet.LIVENESS].fresh_until
        for _ in range(100_000)
    )
    slots = Counter(int((end - NOW - 0.9 * 900) / (0.2 * 900 / 20)) for end in ends)

    assert max(slots.values()) <= 2 * 100_000 / 20


def test_an_old_identity_is_held_for_a_while_so_that_it_is_not_bought_for_every_call() -> None:
    """The source says that it observed two days ago, which is past a day's freshness: asking again would bring the same."""
    entry = identity(observed_at=NOW - 2 * DAY)

    assert [state(entry, NOW + s) for s in (0, 5 * MINUTE - 1, 5 * MINUTE)] == [FRESH, FRESH, STALE]
    assert entry.observed_at == NOW - 2 * DAY, "its age is told truly"


def test_an_identity_past_all_use_is_still_held_for_a_while() -> None:
    entry = identity(observed_at=NOW - YEAR)

    assert [state(entry, NOW + s) for s in (0, 5 * MINUTE - 1, 5 * MINUTE)] == [FRESH, FRESH, MISS]


@pytest.mark.parametrize("body", [ALIVE, ABSENT, DEAD])
def test_an_old_liveness_says_nothing_about_now(body: Liveness) -> None:
    """B3: it could block; and it is not asked for again at once."""
    entry = liveness(body, observed_at=NOW - DAY)

    assert entry.body == UNSAID
    assert [state(entry, NOW + s) for s in (0, MINUTE - 1, MINUTE)] == [FRESH, FRESH, MISS]


def test_a_lifetime_of_zero_keeps_nothing() -> None:
    """And is not taken for old news, which is held as unknown."""
    never = Lifetimes(liveness=LIFETIMES.liveness.model_copy(update={"positive": Lifetime(fresh_s=0)}))

    entry = kept(answer(None, ALIVE, now=NOW), never)[Facet.LIVENESS]

    assert (entry.body, state(entry, NOW)) == (ALIVE, MISS)


def earlier(entry: CacheEntry) -> CacheEntry:
    return msgspec.structs.replace(entry, observed_at=entry.observed_at - 5)


@pytest.mark.parametrize(
    ("new", "held", "after", "takes_its_place"),
    [
        (identity(), None, 0, True),
        (identity(PARTLY), None, 0, True),
        (identity(), identity(), 0, True),
        (identity(), identity(PARTLY), 0, True),
        (identity(PARTLY), identity(), 0, False),
        (identity(PARTLY), identity(), 2 * DAY, False),
        (identity(PARTLY), identity(), 9 * DAY, True),
        (identity(PARTLY), identity(PARTLY), 0, True),
        (liveness(ABSENT), liveness(ALIVE), 0, True),
        (liveness(UNSAID), liveness(ABSENT), 0, False),
        (liveness(UNSAID), liveness(ABSENT), 10 * MINUTE, True),
        (earlier(identity()), identity(), 0, False),  # a late answer, after a newer one has come
        (earlier(identity()), identity(), 2 * DAY, True),
        (earlier(liveness(ALIVE)), liveness(ABSENT), 0, False),
        (earlier(identity()), identity(PARTLY), 0, True),
    ],
)
def test_what_says_less_or_is_older_never_hides_what_may_still_stand_in(
    new: CacheEntry, held: CacheEntry | None, after: float, takes_its_place: bool
) -> None:
    assert supersedes(new, held, NOW + after) is takes_its_place


@pytest.mark.parametrize(
    ("fresh_s", "fresh_for"),
    [(None, DAY), (300.0, 300.0), (0.0, 0.0), (40 * DAY, DAY)],
    ids=["none", "short", "0", "long"],
)
def test_a_source_may_shorten_the_life_of_its_answer_and_never_lengthen_it(
    fresh_s: float | None, fresh_for: float
) -> None:
    """A DNS TTL is an instruction. Past it a stale identity may still stand in while it is asked for again."""
    entry = kept(replace(answer(KNOWN, None, now=NOW), fresh_s=fresh_s), Lifetimes(jitter=0))[Facet.IDENTITY]

    assert entry.fresh_until == NOW + fresh_for
    assert entry.stale_until > NOW + DAY
