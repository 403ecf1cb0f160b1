"""What the provider makes of a table's rows: it states what is stated, and takes absence for nothing unless told to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.errors import ProviderNotCovered
from agi_lookup.domain.model import Facet, Identity, LookupAnswer, Method, Number, NumberType, Tri
from agi_lookup.domain.number import normalise
from agi_lookup.providers import loading
from agi_lookup.providers.base import NumberResult
from agi_lookup.providers.ported_numbers import (
    NotInTable,
    Options,
    Provider,
    Row,
    TableQuery,
    TableReply,
    TableUnusable,
)

NOW = 1_767_225_600.0  # 2026-01-01
IMPORTED = NOW - 86_400
NUMBER = Number("+447700900123")
ROW = Row(
    "Example Mobile", "234", "15", Tri.YES, "2024-05-01", NumberType.UNKNOWN, None, None, IMPORTED, in_block=False
)


def provider(**options: Any) -> Provider:
    return Provider("ported", Options.model_validate({"kind": "ported_numbers", **options}), lambda _: None)


def ask(source: Provider, rows: Mapping[str, Row], *numbers: Number) -> Mapping[str, NumberResult]:
    """What `lookup` returns; it may ask for the numbers once and no more."""
    flow = source.lookup(numbers, NOW)
    assert next(flow) == TableQuery(tuple(number.e164 for number in numbers))
    with pytest.raises(StopIteration) as done:
        flow.send(TableReply(rows, IMPORTED))
    results: Mapping[str, NumberResult] = done.value.value
    return results


def one(row: Row | None, number: Number = NUMBER, **options: Any) -> NumberResult:
    return ask(provider(**options), {number.e164: row} if row else {}, number)[number.e164]


def test_a_row_is_an_answer_that_costs_nothing_and_is_as_old_as_its_import() -> None:
    assert one(ROW) == LookupAnswer(
        number=NUMBER.e164,
        provider="ported",
        method=Method.MNP,
        observed_at=IMPORTED,
        identity=Identity("Example Mobile", "234", "15", ported=Tri.YES, ported_date="2024-05-01"),
        liveness=None,
        cost=Decimal(0),
        fresh_s=60.0,  # the next import may say otherwise
    )


def test_only_an_unported_number_is_still_with_its_issuer() -> None:
    for ported, original in (
        (Tri.NO, ("Example Mobile", "234", "15")),
        (Tri.YES, (None,) * 3),
        (Tri.UNKNOWN, (None,) * 3),
    ):
        said = one(replace(ROW, ported=ported))
        assert isinstance(said, LookupAnswer)
        assert said.identity is not None
        assert (said.identity.orig_carrier, said.identity.orig_mcc, said.identity.orig_mnc) == original
        assert said.identity.ported is ported


def test_what_the_row_leaves_open_stays_unknown() -> None:
    said = one(replace(ROW, carrier=None, mcc=None, mnc=None, ported=Tri.UNKNOWN, ported_at=None, lrn="7705550100"))
    assert isinstance(said, LookupAnswer)
    assert said.identity == Identity(lrn="7705550100")


def test_a_number_that_is_not_there_is_no_answer_and_is_not_remembered() -> None:
    """B3: absence proves nothing; and the next import may bring the number any minute."""
    missing = one(None)
    assert isinstance(missing, ProviderNotCovered)
    assert (missing.remember_s, missing.try_next, missing.unhealthy, missing.maybe_charged) == (0.0, True, False, False)
    assert NUMBER.e164[1:] not in f"{missing!r} {missing}"


def test_a_port_that_is_announced_for_later_says_nothing_yet() -> None:
    for ported_at, known in (
        ("2025-12-31", True),
        ("2026-01-01", True),
        ("2026-01-01T00:00:00Z", True),
        ("2026-01-01T00:00:01Z", False),
        ("2026-01-02", False),
    ):
        assert isinstance(one(replace(ROW, ported_at=ported_at)), LookupAnswer) == known, ported_at


# A table that is said to be complete

MOBILE = normalise("+447400123456", DialPlan(country="GB"))
LANDLINE = normalise("+441212345678", DialPlan(country="GB"))
FRENCH = normalise("+33612345678", DialPlan(country="GB"))


def test_absence_from_a_complete_table_means_not_ported() -> None:
    said = one(None, MOBILE, complete_for=["GB"])
    assert isinstance(said, LookupAnswer)
    assert said.identity == Identity("Three", orig_carrier="Three", ported=Tri.NO)
    assert said.observed_at == IMPORTED


@pytest.mark.parametrize("complete_for", [[], ["GB"]])
def test_a_table_that_nothing_was_ever_imported_into_says_nothing(complete_for: list[str]) -> None:
    """B3: a first import that failed leaves an empty table behind."""
    flow = provider(complete_for=complete_for).lookup([MOBILE], NOW)
    next(flow)
    with pytest.raises(TableUnusable, match="ports import"):
        flow.send(TableReply({}, 0.0))


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (MOBILE, {}),
        (MOBILE, {"complete_for": ["FR"]}),
        (FRENCH, {"complete_for": ["GB"]}),
        (LANDLINE, {"complete_for": ["GB"]}),  # a table of mobile numbers tells nothing of them
        (replace(MOBILE, valid=Tri.NO), {"complete_for": ["GB"]}),
    ],
)
def test_absence_says_nothing_where_completeness_is_not_stated(number: Number, options: dict[str, Any]) -> None:
    assert isinstance(one(None, number, **options), NotInTable)


def test_a_port_to_come_is_in_the_table_so_it_is_not_taken_for_absent() -> None:
    assert isinstance(one(replace(ROW, ported_at="2026-02-01"), MOBILE, complete_for=["GB"]), NotInTable)


# As a kind


def test_it_is_found_by_name_and_needs_no_url() -> None:
    kind = loading.find("ported_numbers")
    options = kind.Options.model_validate({"kind": "ported_numbers"})
    assert options.in_call
    assert kind.Provider("ported", options, lambda _: None).provides == frozenset({Facet.IDENTITY})
    assert loading.driver_maker("ported_numbers") is not None


@pytest.mark.parametrize(
    "wrong", [{"base_url": "https://x.example"}, {"complete_for": ["gb"]}, {"complete_for": ["GBR"]}]
)
def test_what_it_does_not_know_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        provider(**wrong)


def test_no_query_and_no_reply_shows_a_number() -> None:
    """S13"""
    shown = repr(TableQuery((NUMBER.e164,))) + repr(TableReply({NUMBER.e164: ROW}, IMPORTED))
    assert "447700900123" not in shown
