"""The figures of a fleet in the document are those that the tool reckons, and it reckons what a fleet that is played does."""

from __future__ import annotations

import pytest

from tools import fleet


def test_the_documents_tables_are_the_tools() -> None:
    page = fleet.PAGE.read_text(encoding="utf-8")
    assert page == fleet.with_tables(page), "run: python -m tools.fleet"


@pytest.mark.parametrize("exponent", [0.0, 0.6, 1.1])
def test_what_is_reckoned_is_what_a_fleet_does(exponent: float) -> None:
    small = fleet.Mix("", 2_000, exponent), 4, 20.0, 50.0, 60_000, 3
    alone, sharing, reckoned_alone, reckoned = fleet.drawn(*small)

    assert alone == pytest.approx(reckoned_alone, rel=0.05)
    assert sharing == pytest.approx(reckoned, rel=0.05)
