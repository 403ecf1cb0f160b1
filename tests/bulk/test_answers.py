"""What makes a row done, open, or worth another try; and how it is written."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agi_lookup.bulk.answers import FIELDS, Verdict, add_cost, cells, verdict, with_cost
from agi_lookup.domain.errors import ProviderError
from tests.bulk.answers import failed, shown

DONE, OPEN, AGAIN = Verdict.DONE, Verdict.OPEN, Verdict.AGAIN


def every_kind() -> list[type[ProviderError]]:
    kinds = [ProviderError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return kinds


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("", DONE), ("not_covered", DONE), ("rejected", DONE), ("provider_failure", DONE),
        ("busy", AGAIN), ("rate_limited", AGAIN), ("shut", AGAIN), ("unavailable", AGAIN), ("over_budget", AGAIN),
        ("overload", AGAIN), ("no_server", AGAIN), ("not_booked", AGAIN),
        ("timeout", OPEN), ("lost_reply", OPEN), ("bad_answer", OPEN), ("auth", OPEN), ("out_of_credit", OPEN),
    ],
)  # fmt: skip
def test_a_row_without_an_answer_follows_its_error(error: str, expected: Verdict) -> None:
    assert verdict(failed(error), fresh=False) is expected


@pytest.mark.parametrize("kind", [kind for kind in every_kind() if kind.maybe_charged])
def test_what_may_have_been_charged_is_not_asked_again_in_the_same_run(kind: type[ProviderError]) -> None:
    assert verdict(failed(kind.code), fresh=False) is not AGAIN


def test_what_a_server_took_with_it_is_not_asked_again_where_no_cache_helps() -> None:
    """P5: the server may have paid for it."""
    assert verdict(failed("no_server", "DEGRADED"), fresh=True) is OPEN
    assert verdict(failed("no_server", "DEGRADED"), fresh=False) is AGAIN, "the next server has it in its cache"


@pytest.mark.parametrize("status", ["BADNUMBER", "EMERGENCY", "OK"])
def test_what_needs_no_source_is_done(status: str) -> None:
    assert verdict(failed("timeout", status, cache="fresh"), fresh=False) is DONE


def test_a_deadline_that_passed_leaves_the_row_open() -> None:
    assert verdict(failed("timeout", "TIMEOUT"), fresh=False) is OPEN


def test_a_stale_identity_is_no_answer_while_its_refresh_failed() -> None:
    assert verdict(failed("shut", "OK", cache="stale"), fresh=False) is AGAIN
    assert verdict(shown("OK", cache="stale", cost=None), fresh=False) is DONE, "nobody could refresh it"


def test_what_one_source_told_is_not_bought_again_because_another_failed() -> None:
    """The cache holds it; but a fresh lookup would pass that by."""
    half = shown("PARTIAL", error="shut")

    assert verdict(half, fresh=False) is AGAIN
    assert verdict(half, fresh=True) is DONE
    assert verdict(shown("PARTIAL", error="shut", cost=None), fresh=True) is DONE, "not every vendor states a price"


def test_the_cells_are_the_json_without_its_nesting() -> None:
    line = dict(zip(FIELDS, cells(shown(age_s=7)), strict=True))

    assert (line["number"], line["carrier"], line["mnc"], line["reachable"]) == (
        "+447700900123",
        "Example",
        "01",
        "yes",
    )
    assert (line["age_s"], line["cost"], line["error"]) == ("7", "1", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_no_vendor_puts_a_formula_into_a_spreadsheet(start: str) -> None:
    line = dict(zip(FIELDS, cells(shown(identity={"carrier": f"{start}cmd|' /C calc'!A0"})), strict=True))

    assert line["carrier"].startswith("'")


def test_half_a_character_of_a_vendor_can_be_written() -> None:
    cells(shown(identity={"carrier": "\ud83d"}))[list(FIELDS).index("carrier")].encode()


def test_all_tries_are_added_up_by_currency() -> None:
    sums: dict[str, Decimal] = {}
    add_cost(shown(cost="1.5"), sums)
    add_cost(failed("busy"), sums)
    add_cost(shown(cost="0.25"), sums)

    row = with_cost(failed("busy"), sums)
    assert (row["cost"], row["currency"], row["error"]) == ("1.75", "credits", "busy")

    add_cost(shown(costs={"EUR": "1", "credits": "2"}, cost=None, currency=None), sums)
    row = with_cost(shown(), sums)
    assert (row["cost"], row["currency"]) == ("3.75 + 1", "credits + EUR")
