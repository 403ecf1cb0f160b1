"""What no recording can say of CheckMobi: its whole tables, and who is believed."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from pydantic import ValidationError

from agi_lookup.domain.errors import ProviderError, ProviderProtocolError
from agi_lookup.domain.model import Facet, Identity, Liveness, LookupAnswer, Method, Number, NumberType, Reason, Tri
from agi_lookup.lookup.freshness import outcome_of
from agi_lookup.providers.base import NumberResult
from agi_lookup.providers.checkmobi import Options
from agi_lookup.providers.checkmobi_records import FIXED, NUMBER_TYPES, STATES
from tests.providers.replay import NOW, json_reply, make, outcomes, play, reply

NUMBER = "+447700900280"
OTHER = "+447700900281"
NETWORK = {"mcc": "234", "mnc": "15", "network_name": "Example Mobile UK", "country_iso2": "GB"}
Y, N, U = Tri.YES, Tri.NO, Tri.UNKNOWN
STATED = {
    "connected": (Y, Y, Reason.OK),
    "absent": (N, Y, Reason.ABSENT),
    "no-teleservice-provisioned": (N, Y, Reason.NO_TELESERVICE),
    "inconclusive": (U, U, Reason.INCONCLUSIVE),
    "no-coverage": (U, U, Reason.NO_COVERAGE),
    "failed": (U, U, Reason.PROVIDER_FAILURE),
    "invalid": (N, N, Reason.INVALID_NUMBER),
}
"""reachable, valid, reason of a completed lookup."""
TYPES = ["landline", "mobile", "mobile_or_landline", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip",
         "pager", "uan", "voicemail", "unknown"]  # fmt: skip
NO_WORDS: list[Any] = [..., None, "", "brand_new", 0, 1, True, False, [], {}, ["connected"]]
"""Absent, and what is no word of the vendor's."""


def record(number: str = NUMBER, **changes: Any) -> dict[str, Any]:
    """A connected number's; a change to `...` drops the key."""
    found = {
        "cost": 0.006,
        "phone_number": number,
        "number_type": "mobile",
        "is_ported": False,
        "reachable": "connected",
        "processing_status": "completed",
        "original_network": NETWORK,
        "current_network": NETWORK,
        **changes,
    }
    return {key: value for key, value in found.items() if value is not ...}


def read(found: object, **options: Any) -> NumberResult:
    return outcomes(make("checkmobi", **options), [NUMBER], [json_reply(found)])[NUMBER]


def answer(found: object, **options: Any) -> LookupAnswer:
    result = read(found, **options)
    assert isinstance(result, LookupAnswer), result
    return result


def liveness(found: object) -> tuple[Tri, Tri, Reason]:
    said = answer(found).liveness
    assert said is not None
    assert said.roaming is U
    return said.reachable, said.valid, said.reason


def expected(reachable: str, status: str, kind: str) -> tuple[Tri, Tri, Reason]:
    """The table once more, told in another way than the provider has it."""
    fixed = kind in {"landline", "toll_free", "premium_rate", "shared_cost", "voip", "uan", "voicemail"}
    if status == "failed":
        return U, U, Reason.PROVIDER_FAILURE
    if status == "completed":
        return STATED[reachable]
    if fixed:
        return U, U, Reason.NOT_APPLICABLE
    return STATED["invalid"] if reachable == "invalid" else STATED["inconclusive"]


@pytest.mark.parametrize("status", ["completed", "rejected", "failed"])
def test_every_word_that_is_documented_has_its_meaning(status: str) -> None:
    for reachable, kind in product(STATED, TYPES):
        found = record(reachable=reachable, processing_status=status, number_type=kind)
        assert liveness(found) == expected(reachable, status, kind), (reachable, kind)


def test_the_tables_know_the_documented_words_and_no_others() -> None:
    assert STATES.keys() == STATED.keys()
    assert list(NUMBER_TYPES) == TYPES
    assert {NumberType.MOBILE, NumberType.MOBILE_OR_LANDLINE, NumberType.UNKNOWN} & FIXED == set()


@pytest.mark.parametrize("key", ["reachable", "processing_status", "number_type"])
def test_what_is_no_word_of_the_vendors_is_never_a_no(key: str) -> None:
    """P9: one of the three is absent, null, of another type or new, whatever the other two say."""
    others = {"reachable": STATED, "processing_status": ("completed", "rejected", "failed"), "number_type": TYPES}
    del others[key]
    for word, stated in product(NO_WORDS, (dict(zip(others, each, strict=True)) for each in product(*others.values()))):
        found = record(**{key: word}, **stated)
        reachable, valid, _ = liveness(found)
        completed = key == "number_type" and found["processing_status"] == "completed"
        assert (reachable, valid) == (STATED[found["reachable"]][:2] if completed else (U, U)), found


@pytest.mark.parametrize("kind", TYPES)
def test_without_the_keys_of_an_hlr_lookup_it_was_a_validation(kind: str) -> None:
    missing: dict[str, Any] = dict.fromkeys(("reachable", "processing_status", "is_ported", "current_network"), ...)
    found = answer(record(number_type=kind, cost=0, **missing))
    assert found.identity is not None
    assert found.liveness is not None
    fixed = NUMBER_TYPES[kind] in FIXED
    assert found.liveness == Liveness(reason=Reason.NOT_APPLICABLE if fixed else Reason.INCONCLUSIVE)
    assert (found.method, found.identity.type, found.identity.ported) == (Method.VALIDATE, NUMBER_TYPES[kind], U)
    assert (found.cost, found.currency) == (Decimal(0), "USD")


@pytest.mark.parametrize("is_ported", [*NO_WORDS[:4], [], {}, 2])
def test_porting_that_is_not_stated_is_unknown(is_ported: Any) -> None:
    identity = answer(record(is_ported=is_ported)).identity
    assert identity is not None
    assert identity.ported is U


def test_not_ported_needs_a_network_and_a_lookup_that_found_it() -> None:
    for reachable, status, network in product(
        [*STATED, "brand_new"], ["completed", "rejected", "failed", "new"], [NETWORK, {}]
    ):
        result = read(record(is_ported=False, reachable=reachable, processing_status=status, current_network=network))
        found = status == "completed" and reachable in {
            "connected",
            "absent",
            "no-teleservice-provisioned",
            "inconclusive",
        }
        if isinstance(result, LookupAnswer):
            assert result.identity is not None
            assert result.identity.ported is (N if found and network else U), (reachable, status)


@pytest.mark.parametrize(
    ("network", "plmn"),
    [
        ({"mcc": "234", "mnc": "01", "mccmnc": "23401"}, ("234", "01")),
        ({"mcc": "310", "mnc": "010"}, ("310", "010")),
        ({"mccmnc": "23401"}, ("234", "01")),
        ({"mcc": 234, "mnc": 1, "mccmnc": 23401}, ("234", "01")),
        ({"mcc": 234, "mnc": 1}, (None, None)),
        ({"mcc": "234", "mnc": "1"}, (None, None)),
        ({"mcc": None, "mnc": None, "mccmnc": None}, (None, None)),
        ({"mccmnc": "2340"}, (None, None)),
        (None, (None, None)),
        ([], (None, None)),
    ],
)
def test_a_network_code_keeps_its_zeros_or_is_none(network: Any, plmn: tuple[str | None, str | None]) -> None:
    identity = answer(record(current_network=network)).identity
    assert identity is not None
    assert (identity.mcc, identity.mnc) == plmn


def test_no_imsi_area_or_time_zone_is_kept() -> None:
    """S16"""
    found = record(imsi="234150987654321", timezone="Europe/Nowhere")
    shown = f"{answer(found).identity} {answer(found).liveness}"
    assert "23415098" not in shown
    assert "Nowhere" not in shown


@pytest.mark.parametrize("cost", [-0.01, "free", None, True, ...])
def test_a_cost_that_is_none_is_no_cost(cost: Any) -> None:
    assert (answer(record(cost=cost)).cost, answer(record(cost=cost)).currency) == (None, None)


@pytest.mark.parametrize("form", [{}, {"e164": None}, None, [], {"e164": NUMBER[1:]}, {"e164": int(NUMBER)}])
def test_one_place_that_names_the_number_is_enough(form: Any) -> None:
    assert answer(record(format=form)).number == NUMBER


@pytest.mark.parametrize(
    "changes",
    [
        {"phone_number": OTHER},
        {"phone_number": ...},
        {"phone_number": None, "format": {"e164": OTHER}},
        {"format": {"e164": OTHER}},
        {"format": {"e164": "unknown"}},
        {"phone_number": [NUMBER]},
        {"phone_number": f"{NUMBER}0"},
    ],
)
def test_a_record_that_names_no_number_or_two_is_nobodys(changes: dict[str, Any]) -> None:
    """P8"""
    assert isinstance(read(record(**changes)), ProviderProtocolError)


CODES = {
    1: "auth", 3: "rejected", 4: "rejected", 5: "out_of_credit", 6: "out_of_credit", 7: "rejected", 8: "not_covered",
    9: "rejected", 10: "rejected", 11: "auth", 12: "rate_limited", 13: "not_covered", 14: "rate_limited", 15: "rejected",
    16: "rejected", 17: "rejected", 18: "not_covered",
}  # fmt: skip
STATUSES = (200, 400, 401, 403, 404, 429, 500, 503)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("code", CODES)
def test_an_error_code_rules_whatever_the_status(code: int, status: int) -> None:
    """P10, P11, P12"""
    for body in ({"code": code, "error": "x"}, {"error": "x", "code": str(code), "new": 1}, {"code": code}):
        result = outcomes(make("checkmobi"), [NUMBER], [reply(json.dumps(body).encode(), status)])[NUMBER]
        assert isinstance(result, ProviderError)
        assert result.code == CODES[code]


@pytest.mark.parametrize("status", STATUSES)
def test_a_malformed_number_is_said_of_its_form_and_not_of_a_subscriber(status: int) -> None:
    """Code 2: it blocks nobody, and contradicts no network that knows the number."""
    body = reply(b'{"code": 2, "error": "Invalid phone number."}', status)
    found = outcomes(make("checkmobi"), [NUMBER], [body])[NUMBER]
    assert isinstance(found, LookupAnswer)
    assert (found.method, found.identity, found.cost) == (Method.VALIDATE, Identity(), Decimal(0))
    assert found.liveness == Liveness(reason=Reason.INVALID_NUMBER)
    assert outcome_of(found.liveness) == "inconclusive"
    for method in ("mnp", "verify"):
        result = outcomes(make("checkmobi", method=method), [NUMBER], [body])[NUMBER]
        assert isinstance(result, ProviderError)
        assert result.code == "rejected"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"null", b"[]", b"{}", b'{"code": 99}', b'{"code": null}', b'{"code": "x"}']
)
def test_without_a_code_that_is_known_the_status_rules(body: bytes) -> None:
    words = {
        400: "rejected",
        401: "auth",
        403: "auth",
        404: "rejected",
        429: "rate_limited",
        500: "lost_reply",
        503: "lost_reply",
    }
    for status, word in words.items():
        result = outcomes(make("checkmobi"), [NUMBER], [reply(body, status)])[NUMBER]
        assert isinstance(result, ProviderError)
        assert result.code == word


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        ("1e9", None),
        ("-5", None),
        ("soon", None),
        ("1000000000000", 3600.0),
        ("Thu, 01 Jan 2026 00:00:09 GMT", 9.0),
    ],
)
def test_how_long_to_wait_is_read_beside_a_code(value: str, expected: float | None) -> None:
    """P13"""
    limited = reply(b'{"code": 12, "error": "x"}', 403, {"retry-after": value})
    result = outcomes(make("checkmobi"), [NUMBER], [limited])[NUMBER]
    assert isinstance(result, ProviderError)
    assert result.retry_after_s == expected


def test_a_record_with_a_code_of_its_own_is_a_record() -> None:
    assert isinstance(read(record(code=5)), LookupAnswer)


def test_one_number_that_was_asked_too_often_is_left_alone_and_the_account_is_not() -> None:
    """Code 14 against code 12."""
    found = [read({"code": code, "error": "x"}) for code in (12, 14)]
    assert [result.remember_s for result in found if isinstance(result, ProviderError)] == [0.0, 60.0]


@pytest.mark.parametrize("method", ["mnp", "verify"])
def test_only_an_hlr_lookup_ever_speaks_of_liveness(method: str) -> None:
    provider = make("checkmobi", method=method)
    assert provider.provides == {Facet.IDENTITY}
    for reachable, status in product(STATED, ("completed", "rejected", "failed")):
        result = outcomes(provider, [NUMBER], [json_reply(record(reachable=reachable, processing_status=status))])[
            NUMBER
        ]
        assert isinstance(result, LookupAnswer)
        assert result.liveness is None


@pytest.mark.parametrize("method", ["hlr", "mnp", "verify"])
def test_only_what_is_free_may_be_sent_again(method: str) -> None:
    lookup = make("checkmobi", method=method).lookup([Number(NUMBER)], NOW)
    assert next(lookup).charged is (method != "verify")


@pytest.mark.parametrize(
    "body", [{}, {"credit_balance": None}, {"credit_balance": "lots"}, {"credit_balance": True}, [], None]
)
def test_a_balance_that_is_none_is_a_bad_answer(body: object) -> None:
    with pytest.raises(ProviderProtocolError):
        play(make("checkmobi").balance(NOW), [json_reply(body)])  # type: ignore[attr-defined]


def test_a_balance_may_be_below_nothing() -> None:
    held, _ = play(make("checkmobi").balance(NOW), [json_reply({"credit_balance": "-3.5"})])  # type: ignore[attr-defined]
    assert (held.amount, held.currency) == (Decimal("-3.5"), "USD")


@pytest.mark.parametrize("key", ["", "two\nlines", "ключ", "a\x00b"])
def test_a_key_that_does_not_fit_a_header_is_refused_and_not_shown(key: str) -> None:
    """A3"""
    with pytest.raises(ValidationError) as refused:
        Options.model_validate({"kind": "checkmobi", "secret_key": key})
    assert not key or key not in str(refused.value)
