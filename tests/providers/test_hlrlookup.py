"""What no recording can say of HLR Lookup: every documented word, and everything that is none of them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from agi_lookup.cache.base import CacheEntry
from agi_lookup.domain.errors import ProviderError
from agi_lookup.domain.model import (
    CacheState,
    Facet,
    Identity,
    Liveness,
    LookupAnswer,
    Number,
    NumberType,
    Reason,
    Sourced,
    Tri,
)
from agi_lookup.lookup.freshness import Lifetimes, entries
from agi_lookup.policy.rules import is_dead
from agi_lookup.providers.hlrlookup import LIVE_STATUSES, NUMBER_TYPES, Options
from tests.providers.replay import NOW, json_reply, make, outcomes

NUMBER = "+447700900150"
NETWORK = {"name": "Example Mobile", "mccmnc": "23415", "country_iso3": "GBR"}
LIVE = {
    "error": "NONE",
    "request_parameters": {"telephone_number": NUMBER[1:]},
    "live_status": "LIVE",
    "original_network": "AVAILABLE",
    "original_network_details": NETWORK,
    "current_network": "AVAILABLE",
    "current_network_details": NETWORK,
    "is_ported": "NO",
    "telephone_number_type": "MOBILE",
}
Y, N, U = Tri.YES, Tri.NO, Tri.UNKNOWN
MEANINGLESS: tuple[object, ...] = (
    None,
    "",
    " ",
    "NEW_WORD",
    "LIVE?",
    0,
    1,
    -1,
    True,
    False,
    [],
    {},
    ["DEAD"],
    {"status": "DEAD"},
)
"""A boolean or a number is no word of this vendor's: it says nothing."""


def ask(options: dict[str, Any] | None = None, **changes: Any) -> LookupAnswer:
    """What the vendor's answer is read as; a key that is changed to `...` is left out of it."""
    record = {key: value for key, value in {**LIVE, **changes}.items() if value is not ...}
    provider = make("hlrlookup", **(options or {}))
    answer = outcomes(provider, [NUMBER], [json_reply({"results": [record]})])[NUMBER]
    assert isinstance(answer, LookupAnswer)
    return answer


def liveness(**changes: Any) -> Liveness:
    said = ask(**changes).liveness
    assert said is not None
    return said


def identity(options: dict[str, Any] | None = None, **changes: Any) -> Identity:
    said = ask(options, **changes).identity
    assert said is not None
    return said


DOCUMENTED = {
    "LIVE": (Y, Y, Reason.OK),
    "DEAD": (N, N, Reason.UNKNOWN_SUBSCRIBER),
    "ABSENT_SUBSCRIBER": (Y, N, Reason.ABSENT),
    "ABSENT": (Y, N, Reason.ABSENT),
    "NO_TELESERVICE_PROVISIONED": (Y, N, Reason.NO_TELESERVICE),
    "NOT_AVAILABLE_NETWORK_ONLY": (U, U, Reason.NETWORK_ONLY),
    "NOT_AVAIALBLE_NETWORK_ONLY": (U, U, Reason.NETWORK_ONLY),
    "INCONCLUSIVE": (U, U, Reason.INCONCLUSIVE),
    "NO_COVERAGE": (U, U, Reason.NO_COVERAGE),
    "NOT_APPLICABLE": (U, U, Reason.NOT_APPLICABLE),
    "NONE": (U, U, Reason.INCONCLUSIVE),
    "BAD_FORMAT": (N, U, Reason.INVALID_NUMBER),
}


@pytest.mark.parametrize("status", DOCUMENTED)
def test_every_documented_status_means_what_the_vendor_says(status: str) -> None:
    """P9: written in any case and with blanks, as clients have seen it."""
    for written in (status, status.lower(), f"{status} "):
        said = liveness(live_status=written)
        assert (said.valid, said.reachable, said.reason) == DOCUMENTED[status]


def test_no_status_is_left_out_of_the_table() -> None:
    assert DOCUMENTED.keys() == LIVE_STATUSES.keys()


@pytest.mark.parametrize("status", [..., *MEANINGLESS], ids=repr)
def test_whatever_else_the_status_is_nothing_is_known(status: object) -> None:
    """P9"""
    said = liveness(live_status=status)
    assert (said.valid, said.reachable, said.reason, said.roaming) == (U, U, Reason.INCONCLUSIVE, U)
    assert ask(live_status=status).raw_code == ""


TYPES = {
    "MOBILE": NumberType.MOBILE,
    "LANDLINE": NumberType.LANDLINE,
    "VOIP": NumberType.VOIP,
    "MOBILE_OR_LANDLINE": NumberType.MOBILE_OR_LANDLINE,
    "UNKNOWN": NumberType.UNKNOWN,
    "BAD_FORMAT": NumberType.UNKNOWN,
    "TOLL_FREE": NumberType.TOLL_FREE,
    "PREMIUM": NumberType.PREMIUM,
    "PREMIUM_RATE": NumberType.PREMIUM,
    "SHARED_COST": NumberType.SHARED_COST,
    "PERSONAL": NumberType.PERSONAL,
    "PERSONAL_NUMBER": NumberType.PERSONAL,
    "PAGER": NumberType.PAGER,
    "UAN": NumberType.UAN,
    "VOICEMAIL": NumberType.VOICEMAIL,
}


def test_every_listed_type_is_known_and_no_other() -> None:
    assert TYPES.keys() == NUMBER_TYPES.keys()
    for stated, expected in TYPES.items():
        assert identity(telephone_number_type=stated).type is expected
    for meaningless in (..., *MEANINGLESS):
        assert identity(telephone_number_type=meaningless).type is NumberType.UNKNOWN


@pytest.mark.parametrize(
    ("stated", "expected"),
    [("YES", Y), ("NO", N), ("UNKNOWN", U), (..., U), (None, U), ("", U), ("MAYBE", U), ([], U), ({}, U), (2, U)],
)
def test_ported_is_a_fact_only_when_it_is_said(stated: object, expected: Tri) -> None:
    assert identity(is_ported=stated).ported is expected


NOT_AVAILABLE: list[object] = [
    ...,
    None,
    "",
    "NOT_AVAILABLE",
    "UNAVAILABLE",
    "UNKNOWN",
    "NONE",
    "AVAILABLE?",
    True,
    1,
    [],
]


@pytest.mark.parametrize("literal", NOT_AVAILABLE, ids=repr)
def test_a_network_that_is_not_called_available_is_not_believed(literal: object) -> None:
    found = identity(current_network=literal, original_network=literal)
    assert found.empty
    assert found.ported is Tri.UNKNOWN  # NO was said of no network
    assert identity(current_network=literal, original_network=literal, is_ported="YES").ported is Tri.YES


@pytest.mark.parametrize("details", [..., None, "Example", [], {}, {"name": 7, "mccmnc": "23415 "[:2]}], ids=repr)
def test_an_available_network_without_details_is_none(details: object) -> None:
    assert identity(current_network_details=details, original_network_details=details).empty


@pytest.mark.parametrize(("ported", "carrier"), [("NO", "Example Mobile"), ("UNKNOWN", None), ("YES", None)])
def test_the_issuing_network_stands_in_only_for_a_number_that_was_not_ported(ported: str, carrier: str | None) -> None:
    found = identity(current_network="NOT_AVAILABLE", is_ported=ported)
    assert (found.carrier, found.orig_carrier) == (carrier, "Example Mobile")


@pytest.mark.parametrize(
    ("code", "expected"),
    [("23415", ("234", "15")), (23415, ("234", "15")), ("310010", ("310", "010")), ("31001", (None, None)),
     ("234015", (None, None)), ("2341", (None, None)), ("23415x", (None, None)), (234.15, (None, None))],
)  # fmt: skip
def test_a_network_code_is_divided_by_the_table_or_not_at_all(
    code: object, expected: tuple[str | None, str | None]
) -> None:
    found = identity(current_network_details={"name": "Example Mobile", "mccmnc": code})
    assert (found.carrier, found.mcc, found.mnc) == ("Example Mobile", *expected)


@pytest.mark.parametrize("method", ["mnp", "validate"])
@pytest.mark.parametrize("status", DOCUMENTED)
def test_only_a_live_method_says_anything_of_liveness(method: str, status: str) -> None:
    provider = make("hlrlookup", method=method)
    assert provider.provides == {Facet.IDENTITY}
    answer = ask({"method": method}, live_status=status)
    assert (answer.method, answer.liveness) == (method, None)


def blocks(answer: LookupAnswer) -> bool:
    """Would this answer end a call, with every reason that may end one?"""
    assert answer.liveness is not None
    heard = Sourced(answer.liveness, answer.provider, answer.method, answer.observed_at, CacheState.MISS)
    return is_dead(heard, frozenset({Reason.UNKNOWN_SUBSCRIBER, Reason.INVALID_NUMBER}))


@pytest.mark.parametrize("status", DOCUMENTED)
def test_only_dead_may_block_a_call(status: str) -> None:
    assert blocks(ask(live_status=status)) is (status == "DEAD")
    assert not blocks(ask(live_status=status, telephone_number_type="BAD_FORMAT"))


def test_a_us_status_is_shown_and_blocks_nobody() -> None:
    number = "+12025550101"
    record = {**LIVE, "live_status": "DEAD", "request_parameters": {"telephone_number": number[1:]}}
    provider = make("hlrlookup", usa_status=True)
    answer = outcomes(provider, [number], [json_reply({"results": [record]})])[number]
    assert isinstance(answer, LookupAnswer)
    assert answer.liveness is not None
    assert answer.liveness.reachable is Tri.NO
    assert not blocks(answer)


@pytest.mark.parametrize("status", ["LIVE", "DEAD", "ABSENT_SUBSCRIBER", "NO_TELESERVICE_PROVISIONED"])
def test_a_number_of_bad_format_that_a_network_knows_is_a_contradiction(status: str) -> None:
    said = liveness(live_status=status, telephone_number_type="BAD_FORMAT")
    assert (said.valid, said.reachable) == (U, U)


SENSELESS_TIMES: list[object] = [..., None, "", "yesterday", "2025-13-01T00:00:00Z", 1767225600, [], {}]


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("2025-12-31T09:12:44Z", datetime(2025, 12, 31, 9, 12, 44, tzinfo=UTC).timestamp()),
        ("2025-12-31T09:12:44.500+01:00", datetime(2025, 12, 31, 8, 12, 44, 500000, tzinfo=UTC).timestamp()),
        ("2025-12-31 09:12:44", datetime(2025, 12, 31, 9, 12, 44, tzinfo=UTC).timestamp()),
        *[(senseless, NOW) for senseless in SENSELESS_TIMES],
    ],
)
def test_an_answer_is_as_old_as_the_vendor_says(stated: object, expected: float) -> None:
    assert ask(timestamp=stated).observed_at == expected


def test_a_time_without_a_zone_is_utc_wherever_the_server_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert ask(timestamp="2025-12-31T09:12:44").observed_at == ask(timestamp="2025-12-31T09:12:44Z").observed_at
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("extreme", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_vendors_time_never_runs_ahead_of_ours_and_old_news_block_nobody(extreme: str) -> None:
    """What the resolver makes of it."""
    kept: list[CacheEntry] = list(entries(ask(live_status="DEAD", timestamp=extreme), Lifetimes(), NOW, 0.0))
    assert all(entry.observed_at <= NOW for entry in kept)
    said = next(entry.body for entry in kept if isinstance(entry.body, Liveness))
    assert said.known is extreme.startswith("9999")


@pytest.mark.parametrize(
    ("stated", "cost"),
    [
        (1, "1"),
        (0.5, "0.5"),
        ("0.25", "0.25"),
        (0, "0"),
        (-1, None),
        (None, None),
        (..., None),
        ("one", None),
        (True, None),
    ],
)
def test_a_cost_may_be_a_part_of_a_credit(stated: object, cost: str | None) -> None:
    answer = ask(credits_spent=stated)
    assert (None if answer.cost is None else str(answer.cost)) == cost
    assert answer.currency == (None if cost is None else "credits")


@pytest.mark.parametrize("key", ["ported_date", "porting_date", "last_ported_date"])
def test_a_ported_date_may_stand_under_several_names(key: str) -> None:
    senseless: tuple[object, ...] = (None, "", "NOT_AVAILABLE", "18/03/2024", 20240318, ["2024-03-18"])
    dates = [ask(None, **{key: stated}).identity for stated in ("2024-03-18", *senseless)]
    assert [found and found.ported_date for found in dates] == ["2024-03-18"] + [None] * len(senseless)


def test_another_key_of_the_ported_date_can_be_named() -> None:
    named = identity({"ported_date_keys": ["moved_on"]}, moved_on="2024-03-18", ported_date="2020-01-01")
    assert named.ported_date == "2024-03-18"


def test_the_body_of_a_whole_batch_fits_the_cap() -> None:
    records = [
        {**LIVE, "request_parameters": {"telephone_number": f"4477009{n:05}"}, "sms_email": "x" * 600}
        for n in range(80)
    ]
    options = make("hlrlookup")._options  # type: ignore[attr-defined]
    assert len(json_reply({"results": records}).body) < options.max_body_bytes


@pytest.mark.parametrize(
    "options",
    [
        {"max_batch": 81},
        {"max_concurrency": 211},
        {"cache_days_private": 31},
        {"cache_days_global": -1},
        {"save_to_cache": "SOMETIMES"},
        {"method": "lrn"},
        {"api_secret": ""},
        {"method": "mnp", "usa_status": True},
        {"method": "validate", "get_landline_status": True},
        {"live_statuses": {"absent": "DEAD"}},
        {"live_statuses": {"GONE": "BURIED"}},
        {"number_types": {"MOBILE": "landline"}},
        {"number_types": {"SATELLITE": "orbital"}},
    ],
    ids=str,
)
def test_options_that_the_vendor_or_sense_forbid_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make("hlrlookup", **options)


def test_nobody_else_is_told_whom_we_call_unless_that_is_wished() -> None:
    """Its own default is to keep each result for all its customers."""
    asked = next(make("hlrlookup").lookup([Number(NUMBER)], NOW)).json
    assert isinstance(asked, dict)
    assert asked["requests"] == [
        {"telephone_number": NUMBER[1:], "save_to_cache": "NO", "cache_days_private": 0, "cache_days_global": 0}
    ]


def test_extras_have_their_price_before_the_first_one_was_charged() -> None:
    """G5: 200 requests of 80 numbers may be under way by then, and a cap that counts one credit each is overshot by as many."""

    def price(**given: object) -> Decimal | None:
        said = {"kind": "hlrlookup", "api_key": "k", "api_secret": "s", **given}
        return Options.model_validate(said).price

    assert (price(), price(get_landline_status=True)) == (None, None)
    assert price(get_ported_date=True) == Decimal(2)
    assert price(usa_status=True, get_ported_date=True) == Decimal(3)
    assert price(usa_status=True, price="1.5") == Decimal("1.5")


@pytest.mark.parametrize(
    "failed", [{"error": "BAD_REQUEST"}, {"live_status": "NO_COVERAGE", "current_network": "NOT_AVAILABLE"}]
)
def test_a_number_that_failed_and_cost_something_counts_as_charged(failed: dict[str, str]) -> None:
    """B6"""
    for spent, charged in ((1, True), ("0.5", True), (0, False), (None, False)):
        record = {**LIVE, "original_network": "NOT_AVAILABLE", "is_ported": "UNKNOWN", **failed, "credits_spent": spent}
        result = outcomes(make("hlrlookup"), [NUMBER], [json_reply({"results": [record]})])[NUMBER]
        assert isinstance(result, ProviderError)
        assert result.maybe_charged is charged
