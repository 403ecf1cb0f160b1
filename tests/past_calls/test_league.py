"""The league of providers: exact figures from logs written by hand, and figures that add up in any order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.calls import standings
from agi_lookup.calls.league import By, Figures, Heard, League, Score, judge, merge, new
from agi_lookup.calls.records import LoggedResult, LookupRecord
from agi_lookup.calls.standings import FEW, Spent, lines, quantile, ranked, rows
from agi_lookup.cli.league import SORTS
from agi_lookup.domain.model import NumberType, Tri
from tests.past_calls.logged import NOW

MINUTE = 60.0
ANSWERED = ("ANSWER", 16)
NO_SUCH_NUMBER = ("CHANUNAVAIL", 1)
LOST = ("CHANUNAVAIL", 34)
SILENT = ("NOANSWER", 18)


def lookup(provider: str = "npl", at: float = NOW, **said: Any) -> LookupRecord:
    """An answer that knows all."""
    known: dict[str, Any] = {
        "result": "answer",
        "ms": 200,
        "in_time": True,
        "country": "GB",
        "type": NumberType.MOBILE,
        "has_network": True,
        "network": "23415",
        "reachable": Tri.YES,
        "valid": Tri.YES,
    }
    return LookupRecord(at=at, number="aa", provider=provider, **(known | said))


def dead(**said: Any) -> LookupRecord:
    return lookup(**{"reachable": Tri.NO, "valid": Tri.NO, "has_network": False, "network": "", **said})


def absent(**said: Any) -> LookupRecord:
    return lookup(**{"reachable": Tri.NO, **said})


def failed(word: str, **said: Any) -> LookupRecord:
    nothing = {"has_network": False, "network": "", "reachable": Tri.UNKNOWN, "valid": Tri.UNKNOWN, "in_time": False}
    return lookup(**{"result": word, **nothing, **said})


def call(*went: tuple[str, int] | tuple[str, int, str], at: float = NOW, cached: Iterable[str] = ()) -> Heard:
    results = tuple(
        LoggedResult(at + 10, trunk[0] if trunk else "one", dialstatus, cause) for dialstatus, cause, *trunk in went
    )
    return Heard(at, "GB", NumberType.MOBILE, frozenset(cached), results)


def figures(lookups: list[LookupRecord], calls: list[Heard], provider: str = "npl") -> Figures:
    return judge(lookups, calls, _itself)[provider, ""]


def _itself(trunk: str) -> str:
    return trunk


def test_what_was_asked_is_told_apart() -> None:
    found = figures(
        [
            lookup(ms=100, cost=Decimal("0.005"), currency="EUR"),
            lookup(ms=900, in_time=False, cost=Decimal("0.0071"), currency="EUR"),
            lookup(reachable=Tri.UNKNOWN, valid=Tri.UNKNOWN, cost=Decimal(1), currency="credits"),
            lookup(has_network=False, network="", reachable=Tri.UNKNOWN, valid=Tri.UNKNOWN, cost=Decimal("NaN")),
            failed("not_covered"),
            failed("timeout", ms=9000),
            failed("shut"),
            failed("over_budget"),
        ],
        [call(cached=["npl", "other"]), call(cached=["npl"])],
    )

    assert (found.asked, found.held_back, found.answers, found.in_time, found.useful) == (6, 2, 4, 3, 3)
    assert (found.networks, found.livenesses, found.cached) == (3, 2, 2)
    assert found.words == {"not_covered": 1, "timeout": 1}
    assert found.cost == {"EUR": 12_100_000, "credits": 10**9}
    assert (quantile(found.ms, 0.5), quantile(found.ms, 0.95)) == (200, 9000)


@pytest.mark.parametrize(
    ("said", "went", "judged", "wrong"),
    [
        ("dead", [ANSWERED], 1, 1),
        ("dead", [NO_SUCH_NUMBER, ANSWERED], 1, 1),  # the next route reached somebody
        ("dead", [NO_SUCH_NUMBER], 1, 0),
        ("dead", [SILENT], 1, 0),
        ("dead", [LOST], 0, 0),
        ("dead", [], 0, 0),
        ("absent", [ANSWERED], 1, 1),
        ("absent", [SILENT], 1, 0),
        ("reachable", [ANSWERED], 1, 0),
        ("reachable", [("BUSY", 17)], 1, 0),
        ("reachable", [NO_SUCH_NUMBER], 0, 0),  # one vendor may have no route
        ("reachable", [NO_SUCH_NUMBER, ("CHANUNAVAIL", 28, "two")], 1, 1),
        ("reachable", [NO_SUCH_NUMBER, ("CHANUNAVAIL", 28, "two"), ANSWERED], 1, 0),
        ("reachable", [SILENT], 0, 0),
    ],
)
def test_a_word_is_judged_by_what_became_of_the_calls(said: str, went: list[Any], judged: int, wrong: int) -> None:
    """P19."""
    word = {"dead": dead, "absent": absent, "reachable": lookup}[said]()

    found = figures([word], [call(*went, at=NOW + 5)])

    scores = {name: getattr(found, name) for name in ("dead", "absent", "reachable")}
    assert scores.pop(said) == Score(judged, wrong)
    assert set(map(repr, scores.values())) == {repr(Score())}


def test_two_trunks_of_one_vendor_are_one_opinion() -> None:
    refused = [call(NO_SUCH_NUMBER, ("CHANUNAVAIL", 1, "two"))]

    assert judge([lookup()], refused, lambda _trunk: "acme")["npl", ""].reachable == Score()
    assert judge([lookup()], refused, _itself)["npl", ""].reachable == Score(1, 1)


@pytest.mark.parametrize(("after", "judged"), [(-31, 0), (-30, 1), (0, 1), (3600, 1), (3601, 0)], ids=str)
def test_a_word_speaks_of_the_calls_of_an_hour_and_of_one_that_did_not_wait(after: int, judged: int) -> None:
    """P20."""
    assert figures([dead()], [call(ANSWERED, at=NOW + after)]).dead == Score(judged, judged)


def test_only_a_providers_last_word_before_a_call_is_judged_and_once() -> None:
    words = [dead(), lookup(at=NOW + 10 * MINUTE), dead(at=NOW + 20 * MINUTE)]
    calls = [call(ANSWERED, at=NOW + 15 * MINUTE), call(SILENT, at=NOW + 16 * MINUTE)]

    found = figures(words, calls)

    assert (found.reachable, found.dead) == (Score(1, 0), Score())


def test_each_provider_answers_for_its_own_word() -> None:
    """One said dead, one said alive; the call was answered."""
    league = judge(
        [dead(provider="liar"), lookup(provider="honest", at=NOW + 1)], [call(ANSWERED, at=NOW + 2)], _itself
    )

    assert league["liar", ""].dead == Score(1, 1)
    assert league["honest", ""].reachable == Score(1, 0)


@pytest.mark.parametrize(
    ("said", "scores"),
    [
        ([("a", "1")], {"a": Score()}),
        ([("a", "1"), ("b", "1")], {"a": Score(1, 0), "b": Score(1, 0)}),
        ([("a", "1"), ("b", "2")], {"a": Score(1, 1), "b": Score(1, 1)}),
        ([("a", "1"), ("a", "1")], {"a": Score(1, 0)}),  # the last one has nobody to compare with
        ([("a", "1"), ("a", "2")], {"a": Score(1, 1)}),
        ([("a", "1"), ("b", "2"), ("c", "1"), ("a", "1")], {"a": Score(2, 1), "b": Score(1, 1), "c": Score(1, 1)}),
        ([("a", "1"), ("b", ""), ("a", "1")], {"a": Score(1, 0), "b": Score()}),
    ],
)
def test_networks_are_compared_with_the_next_that_was_told(said: Any, scores: dict[str, Score]) -> None:
    """P19."""
    league = judge([lookup(p, NOW + n, network=network) for n, (p, network) in enumerate(said)], [], _itself)

    assert {provider: league[provider, ""].network for provider in scores} == scores


@pytest.mark.parametrize(("by", "group"), [(None, ""), (By.COUNTRY, "GB"), (By.TYPE, "mobile"), (By.NETWORK, "23433")])
def test_a_number_counts_where_it_was_last_said_to_be(by: By | None, group: str) -> None:
    lookups = [lookup(), lookup("other", NOW + 1, network="23433"), failed("timeout", at=NOW + 2)]

    assert judge(lookups, [call(cached=["npl"])], _itself, by).keys() == {("npl", group), ("other", group)}


def test_a_number_of_no_country_and_no_network_has_a_group_too() -> None:
    calls = [Heard(NOW, None, NumberType.UNKNOWN, frozenset({"npl"}))]

    for by, group in ((By.COUNTRY, "-"), (By.TYPE, "unknown"), (By.NETWORK, "-")):
        assert judge([], calls, _itself, by)["npl", group].cached == 1


tri = st.sampled_from(Tri)
lookups_ = st.builds(
    lambda number, **said: (number, lookup(**said)),
    number=st.integers(0, 3),
    provider=st.sampled_from("ab"),
    at=st.integers(0, 9).map(lambda n: NOW + n * 20 * MINUTE),
    result=st.sampled_from(["answer", "answer", "timeout", "not_covered", "shut"]),
    ms=st.integers(0, 5),
    in_time=st.booleans(),
    cost=st.none() | st.decimals(allow_nan=True, allow_infinity=True),
    currency=st.sampled_from(["EUR", "USD"]),
    network=st.sampled_from(["", "23415", "23433"]),
    reachable=tri,
    valid=tri,
)
calls_ = st.builds(
    lambda number, went, at, cached: (number, call(*went, at=NOW + at * 20 * MINUTE, cached=cached)),
    number=st.integers(0, 3),
    went=st.lists(st.sampled_from([ANSWERED, NO_SUCH_NUMBER, LOST, SILENT, ("CHANUNAVAIL", 1, "two")]), max_size=3),
    at=st.integers(0, 9),
    cached=st.frozensets(st.sampled_from("ab")),
)


def league_of(lookups: Iterable[tuple[int, LookupRecord]], calls: Iterable[tuple[int, Heard]]) -> League:
    said: dict[int, list[LookupRecord]] = defaultdict(list)
    heard: dict[int, list[Heard]] = defaultdict(list)
    for number, one in lookups:
        said[number].append(one)
    for number, called in calls:
        heard[number].append(called)
    league = new()
    for number in said.keys() | heard.keys():
        merge(league, judge(said[number], heard[number], _itself, By.NETWORK))
    return league


@given(st.lists(lookups_, max_size=20), st.lists(calls_, max_size=12), st.randoms())
def test_neither_the_order_of_rows_nor_a_log_in_parts_changes_the_league(lookups: Any, calls: Any, rng: Any) -> None:
    whole = league_of(lookups, calls)
    for several in (lookups, calls):
        rng.shuffle(several)
    parts = new()
    for part in (0, 1):
        said = [row for row in lookups if row[0] % 2 == part]
        merge(parts, league_of(said, [row for row in calls if row[0] % 2 == part]))

    assert league_of(lookups, calls) == whole
    assert parts == whole


def team(asked: int, useful: int, wrong: int, judged: int) -> Figures:
    made = Figures(asked=asked, in_time=useful, useful=useful, networks=useful, cached=10)
    made.words["timeout"] = asked - useful
    made.ms.update({100: asked})
    made.dead = Score(judged, wrong)
    return made


def test_the_table_tells_shares_money_and_intervals() -> None:
    (row,) = rows({("npl", ""): team(200, 150, 3, 40)}, {"npl": {"EUR": Spent(400, Decimal("2.00"))}}, 30)

    assert (row["in_time"], row["useful"], row["inconclusive"], row["errors"]) == (0.75, 0.75, 0.0, 0.25)
    assert row["error_words"] == {"timeout": 50}
    assert row["false_dead"] == {
        "judged": 40, "wrong": 3, "share": 0.075, "low": pytest.approx(0.0258, abs=1e-4), "high": pytest.approx(0.1986, abs=1e-4),
    }  # fmt: skip
    assert row["cost"] == {
        "EUR": {"numbers": 400, "charged": "2", "per_lookup": "0.005", "per_useful": "0.006667", "spared": "0.05"}
    }
    header, line = lines([row], None)
    assert "7.5% (3/40, 3%-20%)" in line
    assert header.split("  ")[0] == "provider"


def test_a_share_of_too_few_is_left_open() -> None:
    (row,) = rows({("npl", ""): team(29, 29, 2, 4)}, {"npl": {"EUR": Spent(29, Decimal(1))}}, 30)

    assert (row["useful"], row["p95_ms"], row["false_dead"]["share"]) == (None, None, None)
    assert row["cost"]["EUR"]["per_useful"] is None
    assert f"{FEW} (2/4)" in list(lines([row], None))[1]


def test_nobody_is_ranked_by_noise_and_currencies_are_never_compared() -> None:
    league = {(name, ""): team(100, useful, 0, 0) for name, useful in (("dear", 100), ("cheap", 50), ("dollar", 100))}
    league["few", ""] = team(3, 3, 0, 0)
    paid = {
        "dear": {"EUR": Spent(100, Decimal(3))},
        "cheap": {"EUR": Spent(100, Decimal(1))},  # 0.02 for each useful answer
        "dollar": {"USD": Spent(100, Decimal("0.1"))},
        "few": {"EUR": Spent(3, Decimal("0.0001"))},
    }

    table = rows(league, paid, 30)

    assert [row["provider"] for row in ranked(table, "cost")] == ["cheap", "dear", "dollar", "few"]
    assert [row["provider"] for row in ranked(table, "useful")] == ["dear", "dollar", "cheap", "few"]


def test_groups_go_by_what_answers_said_they_cost() -> None:
    paid = judge([lookup(cost=Decimal("0.004"), currency="EUR")] * 40, [], _itself, By.COUNTRY)

    (row,) = rows(paid, None, 30)

    assert (row["group"], row["cost"]["EUR"]["per_lookup"]) == ("GB", "0.004")
    assert next(iter(lines([row], "country"))).startswith("country  provider")


def test_the_command_sorts_by_what_there_is() -> None:
    assert set(SORTS) == set(standings.SORTS)
