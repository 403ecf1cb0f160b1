"""How good a trunk is known to be: by enough calls, cautiously, and not for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.routing.options import QualityOptions, Thresholds
from agi_lookup.routing.quality import ALL, WORST, Quality, rating, wilson
from tests.routing.routes import NOW, result

KEY = "23415"
OPTIONS = QualityOptions(half_life_s=3600, min_samples=20)
BAD = {"dialstatus": "CONGESTION", "sip_code": 503}
DEAD_NUMBER = {"dialstatus": "CONGESTION", "sip_code": 404}
BUSY = {"dialstatus": "BUSY", "sip_code": 486}


def learned(
    calls: dict[str, tuple[int, dict[str, Any]]] | None = None, quality: Quality | None = None, now: float = NOW
) -> Quality:
    quality = Quality(OPTIONS) if quality is None else quality
    for count, said in (calls or {}).values():
        for _ in range(count):
            quality.observe(result("T1", **said), KEY, now)
    return quality


def test_wilsons_interval_is_the_published_one() -> None:
    """Newcombe, Statistics in Medicine 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29, at 95 %."""
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }

    for (hits, tries), ends in published.items():
        assert wilson(hits, tries, z=1.959964) == pytest.approx(ends, abs=0.00005)


def test_nothing_known_is_held_against_nobody() -> None:
    assert Quality(OPTIONS).score("T1", KEY, NOW) == 1
    assert Quality(OPTIONS).figures("T1", KEY, NOW) == (0, None, None, None, None, None)


def test_few_calls_conclude_nothing_and_one_more_does() -> None:
    assert learned({"bad": (19, BAD)}).score("T1", KEY, NOW) == 1
    assert learned({"bad": (20, BAD)}).score("T1", KEY, NOW) == WORST**2  # by ASR and NER


def test_each_call_counts_at_once() -> None:
    quality, scores = Quality(OPTIONS), []
    for _ in range(21):
        scores.append(quality.score("T1", KEY, NOW))
        learned({"bad": (1, BAD)}, quality)

    assert scores == [1] * 20 + [WORST**2]


def test_a_trunk_may_need_fewer_or_more() -> None:
    assert learned({"bad": (5, BAD)}, Quality(OPTIONS, {"T1": 5})).score("T1", KEY, NOW) < 1
    assert learned({"bad": (20, BAD)}, Quality(OPTIONS, {"T1": 30})).score("T1", KEY, NOW) == 1


def test_good_calls_make_a_good_score() -> None:
    assert learned({"good": (100, {})}).score("T1", KEY, NOW) == 1


def test_busy_numbers_are_no_fault_of_the_network() -> None:
    busy = learned({"good": (50, {}), "busy": (50, BUSY)}).figures("T1", KEY, NOW)
    failing = learned({"good": (50, {}), "bad": (50, BAD)}).figures("T1", KEY, NOW)

    assert busy.asr == failing.asr
    assert busy.ner is not None
    assert failing.ner is not None
    assert (busy.ner > 0.95, failing.ner > 0.5) == (True, False)


def test_a_404_lowers_the_answer_ratio_and_says_nothing_of_the_network() -> None:
    figures = learned({"good": (50, {}), "dead": (50, DEAD_NUMBER)}).figures("T1", KEY, NOW)

    assert figures.samples == 100
    assert figures.asr is not None
    assert figures.asr < 0.5
    assert figures.ner is not None
    assert figures.ner > 0.9


def test_a_caller_who_gave_up_at_once_is_not_counted() -> None:
    assert len(learned({"left": (50, {"dialstatus": "CANCEL"})})) == 0


@pytest.mark.parametrize("said", [{"billsec": 2}, {"billsec": 0}], ids=["short", "no time"])
def test_false_answers_raise_no_score(said: dict[str, Any]) -> None:
    figures = learned({"false": (50, said)}).figures("T1", KEY, NOW)

    assert figures.suspect == 1
    assert (figures.asr, figures.ner) == (0, None)
    assert learned({"false": (50, said)}).score("T1", KEY, NOW) == WORST**2  # by ASR and ACD


def test_an_answer_without_a_ring_is_suspect() -> None:
    quality = Quality(OPTIONS)
    silent = result()
    for _ in range(30):
        quality.observe(type(silent)(silent.number, "T1", "ANSWER", billsec=90), KEY, NOW)

    assert quality.figures("T1", KEY, NOW).suspect == 1


def test_slow_and_short_routes_score_less() -> None:
    slow = learned({"slow": (50, {"pdd_ms": 10_000})})
    short = learned({"short": (50, {"billsec": 10})})

    assert slow.figures("T1", KEY, NOW).pdd_ms == 10_000
    assert slow.score("T1", KEY, NOW) == pytest.approx(0.75)  # half way between warn and crit
    assert short.figures("T1", KEY, NOW).acd_s == 10
    assert short.score("T1", KEY, NOW) == pytest.approx(0.6)


def test_a_destination_with_few_calls_borrows_from_all_of_the_trunk() -> None:
    quality = learned({"bad": (40, BAD)})
    quality.observe(result("T1"), "20801", NOW)

    assert quality.score("T1", "20801", NOW) == quality.score("T1", "26201", NOW) == quality.score("T1", ALL, NOW) < 1
    assert quality.score("T2", KEY, NOW) == 1


def test_what_was_learned_counts_half_after_a_half_life_and_at_last_nothing() -> None:
    quality = learned({"bad": (40, BAD)})

    assert quality.figures("T1", KEY, NOW + 3600).samples == pytest.approx(20)
    scores = [quality.score("T1", KEY, NOW + hours * 3600) for hours in (0, 0.9, 1.1, 10, 10_000)]
    assert scores == [WORST**2, WORST**2, 1, 1, 1]
    assert quality.figures("T1", KEY, NOW + 600 * 3600).asr is None  # 600 half-lives are not zero, and count as none


def test_a_trunk_that_got_well_is_soon_known_to_be() -> None:
    quality = learned({"bad": (100, BAD)})
    later = NOW + 4 * 3600
    learned({"good": (100, {})}, quality, later)

    assert quality.score("T1", KEY, later) > 0.9


def test_a_clock_that_was_set_back_makes_nothing_grow() -> None:
    quality = learned({"bad": (40, BAD)})

    assert quality.figures("T1", KEY, NOW - 86_400).samples == 40
    learned({"bad": (1, BAD)}, quality, NOW - 86_400)
    assert quality.figures("T1", KEY, NOW).samples == 41


def test_a_trunk_fails_when_that_is_beyond_doubt() -> None:
    few, half, bad = (learned({"bad": (bad, BAD), "good": (good, {})}) for bad, good in ((19, 0), (50, 50), (90, 10)))

    assert [quality.fails("T1", 0.3, NOW) for quality in (few, half, bad, Quality(OPTIONS))] == [
        False,
        False,
        True,
        False,
    ]
    bad.forget("T1")
    assert not bad.fails("T1", 0.3, NOW)


def test_memory_is_bounded_and_forgets_what_was_used_least() -> None:
    quality = Quality(QualityOptions(max_remembered=100))
    for key in range(1000):
        quality.observe(result("T1"), str(key), NOW)

    assert len(quality) == 100
    assert quality.figures("T1", "999", NOW).samples == 1
    assert quality.figures("T1", "0", NOW).samples == 0
    assert quality.figures("T1", ALL, NOW).samples == 1000


def test_a_snapshot_brings_back_what_was_known() -> None:
    quality = learned({"bad": (40, BAD), "good": (20, {})})
    restored = Quality(OPTIONS)
    restored.restore(json.loads(json.dumps(quality.snapshot())))

    assert restored.snapshot() == quality.snapshot()
    assert restored.score("T1", KEY, NOW) == quality.score("T1", KEY, NOW)


def test_a_snapshot_of_more_than_may_be_remembered_is_cut_to_what_was_used_last() -> None:
    quality, small = Quality(OPTIONS), Quality(QualityOptions(max_remembered=100))
    for key in range(200):
        quality.observe(result("T1"), str(key), NOW)
    small.restore(quality.snapshot())

    assert len(small) == 100
    assert small.figures("T1", "199", NOW).samples == 1


@pytest.mark.parametrize(
    "rows",
    [None, "rows", [["T1"]], [["T1", KEY, NOW, [1.0] * 8]], [["T1", KEY, NOW, [-1.0] * 9]],
     [["T1", KEY, float("nan"), [1.0] * 9]], [["T1", KEY, NOW, [float("inf")] * 9]]],
)  # fmt: skip
def test_what_is_no_snapshot_is_refused_and_changes_nothing(rows: Any) -> None:
    quality = learned({"bad": (40, BAD)})
    before = quality.snapshot()

    with pytest.raises(ValueError, match="no snapshot of trunk quality"):
        quality.restore(rows)
    assert quality.snapshot() == before


def test_a_rating_falls_in_proportion_from_warn_to_crit_whichever_is_higher() -> None:
    for warn, crit in ((0.4, 0.2), (5000, 15_000)):
        steps = [rating(crit + (warn - crit) * part, Thresholds(warn=warn, crit=crit)) for part in (-1, 0, 0.5, 1, 2)]
        assert steps == pytest.approx([WORST, WORST, (1 + WORST) / 2, 1, 1])


@settings(deadline=None)
@given(hits=st.floats(0, 1000), misses=st.floats(0, 1000), more=st.floats(0.1, 100))
def test_a_hit_more_never_lowers_what_is_thought_of_a_route(hits: float, misses: float, more: float) -> None:
    lower, upper = wilson(hits, hits + misses)

    assert 0 <= lower <= upper <= 1
    assert wilson(hits + more, hits + misses + more)[0] >= lower - 1e-12
    assert wilson(hits, hits + misses + more)[1] <= upper + 1e-12


@settings(deadline=None)
@given(st.lists(st.sampled_from(["good", "bad", "busy", "dead", "short"]), min_size=20, max_size=120))
def test_a_score_is_never_out_of_bounds(calls: list[str]) -> None:
    said: dict[str, dict[str, Any]] = {
        "good": {},
        "bad": BAD,
        "busy": BUSY,
        "dead": DEAD_NUMBER,
        "short": {"billsec": 1},
    }
    quality = Quality(OPTIONS)
    scores = []
    for place, call in enumerate(calls):
        quality.observe(result("T1", **said[call]), KEY, NOW + place)
        scores.append(quality.score("T1", KEY, NOW + place))

    assert all(WORST**4 <= score <= 1 for score in scores)
    assert all(score == 1 for score in scores[:19])
