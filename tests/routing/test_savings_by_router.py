"""What it saves to know the network, held against a router that is asked for each network in turn, whatever the rates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.domain.model import Identity, Number, Tri
from agi_lookup.routing.options import RoutingOptions
from tests.routing.desk import BOOKS, CASES, GROUPS, NUMBERS, PLMNS, Desk, identities
from tests.routing.routes import NOW, served_by
from tests.routing.test_book import Decks

CODES_ONLY = {name: {"mccmnc": group["mccmnc"]} for name, group in GROUPS.items()}


@given(rates=BOOKS, options=CASES, number=NUMBERS)
def test_nothing_that_any_answer_would_save_is_missed(rates: Decks, options: RoutingOptions, number: Number) -> None:
    """And nothing is promised that none would."""
    desk = Desk(rates, options)
    most = max(desk.saved_by(identity, number) for identity in identities(number))
    weighed = desk.weigh(number).saving

    assert weighed >= most - 1e-3
    if options.profiles["default"].strategy != "split":
        assert weighed == pytest.approx(most)


@given(rates=BOOKS, options=CASES, met=st.lists(st.sampled_from([*PLMNS[:3], "23499", ""]), min_size=1, max_size=4))
def test_what_is_to_be_expected_is_the_mean_over_what_was_met(
    rates: Decks, options: RoutingOptions, met: list[str]
) -> None:
    options = options.model_copy(update={"groups": RoutingOptions.model_validate({"groups": CODES_ONLY}).groups})
    desk = Desk(rates, options)
    for code in met * 100:
        desk.shares.observe("GB", code or None)
    saved = [desk.saved_by(served_by(code) if code else Identity(ported=Tri.YES)) for code in met]

    assert desk.weigh().saving >= sum(saved) / len(met) - 1e-3
    if options.profiles["default"].strategy != "split":
        assert desk.weigh().saving == pytest.approx(sum(saved) / len(met))


@given(
    rates=BOOKS,
    options=CASES,
    asked=st.lists(
        st.tuples(NUMBERS, st.sampled_from([-40, 0, 19, 20, 59, 60, 89, 90, 3599, 3600, 4999, 5000])), max_size=8
    ),
)
def test_what_is_kept_is_what_would_be_worked_out_anew(
    rates: Decks, options: RoutingOptions, asked: list[tuple[Number, int]]
) -> None:
    desk = Desk(rates, options)

    for number, after_s in asked:
        assert desk.weigh(number, NOW + after_s) == Desk(rates, options).weigh(number, NOW + after_s)
