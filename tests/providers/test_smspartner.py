"""SMS Partner beyond its recordings: the whole table of what a notification may say, and what nobody may make of it."""

from __future__ import annotations

import functools
import itertools
import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agi_lookup.domain.errors import NoticeRefused, ProviderError
from agi_lookup.domain.model import Identity, Liveness, LookupAnswer, Method, Number, NumberType, Reason, Tri
from agi_lookup.providers import gsm, loading
from agi_lookup.providers.base import HttpRequest, Notice, Notified, NumberResult, Pending
from agi_lookup.providers.smspartner import NAMES, SMALLEST, Options, Provider
from tests.providers.replay import NOW, json_reply, make, outcomes, reply

YES, NO, UNKNOWN = Tri.YES, Tri.NO, Tri.UNKNOWN
NUMBER = "+33639981200"
ACKNOWLEDGED = {"success": True, "code": 200, "campaign_id": "HLR000001", "number": 1, "cost": 0.005, "currency": "EUR"}
DATE = "2025-12-31T23:59:44.120+0000"
OBSERVED = 1_767_225_584.12


@functools.cache
def provider() -> Notified:
    made = make("smspartner")
    assert isinstance(made, Notified)
    return made


def record(**fields: object) -> dict[str, Any]:
    """A notification's record; a field that is `...` is left out."""
    said = {"phone": NUMBER, "messageId": "1-2-3", "date": DATE, **fields}
    return {key: value for key, value in said.items() if value is not ...}


def as_json(fields: dict[str, Any]) -> Notice:
    return Notice({"content-type": "application/json"}, json.dumps(fields).encode())


def as_list(fields: dict[str, Any]) -> Notice:
    return Notice({}, json.dumps([fields]).encode())


def as_form(fields: dict[str, Any]) -> Notice:
    plain = {key: "" if value is None else value for key, value in fields.items()}
    return Notice({"content-type": "application/x-www-form-urlencoded"}, urlencode(plain).encode())


def read(notice: Notice) -> LookupAnswer | ProviderError:
    results = provider().notice(notice, NOW)
    assert list(results) == [NUMBER]
    return results[NUMBER]


def facts(result: NumberResult) -> tuple[Identity, Liveness]:
    assert isinstance(result, LookupAnswer), result
    assert result.identity is not None
    assert result.liveness is not None
    return result.identity, result.liveness


def word(result: NumberResult) -> str:
    assert isinstance(result, ProviderError), result
    return result.code


# The exhaustive table

UNKNOWN_PLMN = "208010"
"""A network, by its form, that the table does not know."""
CODES = [None, ..., "", *sorted({*gsm.MEANINGS, *range(64), 144, 255, 256, 500, 4321})]
PORTED = [1, 0, "1", "0", True, False, None, "", ..., "maybe", 2, -1, [], {}]
NETWORKS = ["20801", 20801, "310410", UNKNOWN_PLMN, "", None, ..., "208", "2080199", "20 801", "n/a", 208.01]
ENCODINGS = {"json": as_json, "list": as_list, "form": as_form}


def expected_tri(ported: object, encoding: str) -> Tri:
    """What `ported` says by itself."""
    said = str(int(ported)) if isinstance(ported, bool) and encoding != "form" else str(ported).lower()
    return {"1": YES, "true": YES, "0": NO, "false": NO}.get(said, UNKNOWN)


def expected_network(network: object) -> tuple[str | None, str | None]:
    return {"20801": ("208", "01"), "310410": ("310", "410")}.get(str(network), (None, None))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("code", CODES, ids=str)
def test_every_code_with_every_porting_and_every_network(code: Any, encoding: str) -> None:
    """P9: unknown, null, missing, empty and new never become a no."""
    name = NAMES.get(code if isinstance(code, int) else None, ...)
    meaning = gsm.meaning(code if isinstance(code, int) else None)
    for ported, network in itertools.product(PORTED, NETWORKS):
        result = read(ENCODINGS[encoding](record(errorGrpId=code, errorName=name, ported=ported, mccMnc=network)))
        mcc, mnc = expected_network(network)
        said = expected_tri(ported, encoding) if mcc or network == UNKNOWN_PLMN else UNKNOWN
        if said is NO and (mcc is None or meaning.valid is not YES):
            said = UNKNOWN
        if meaning.failure is not None and mcc is None and said is UNKNOWN:
            assert word(result) == meaning.failure.code, (ported, network)
            continue
        identity, liveness = facts(result)
        assert (identity.mcc, identity.mnc, identity.ported) == (mcc, mnc, said), (ported, network)
        assert liveness == Liveness(meaning.reachable, meaning.reason, meaning.valid, UNKNOWN), (ported, network)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_is_said_only_by_these(encoding: str) -> None:
    """P9: the table once more, from its other end, without the code under test."""
    dead, unreachable, not_ported = set(), set(), set()
    for code, ported, network in itertools.product(CODES, PORTED, NETWORKS):
        name = NAMES.get(code if isinstance(code, int) else None, ...)
        result = read(ENCODINGS[encoding](record(errorGrpId=code, errorName=name, ported=ported, mccMnc=network)))
        if isinstance(result, ProviderError):
            continue
        identity, liveness = facts(result)
        if liveness.valid is NO:
            dead.add(code)
        if liveness.reachable is NO:
            unreachable.add(code)
        if identity.ported is NO:
            not_ported.add((str(ported).lower(), str(network)))
    assert dead == {1}
    assert unreachable == {1, 5, 6, 7, 8, 9, 11, 12, 13, 27, 29}
    assert not_ported == {(zero, plmn) for zero in ("0", "false") for plmn in ("20801", "310410")}


@pytest.mark.parametrize("name", [*NAMES.values(), "EC_BRAND_NEW", "", None, ..., "no_error", "NO_ERROR \t", 0, []])
@pytest.mark.parametrize("code", [*NAMES, 11, 34])
def test_an_error_whose_name_says_otherwise_is_not_believed(code: int, name: Any) -> None:
    """P9: `errorGrpId` may be a group's number one day; then nobody is dead by it."""
    stated = name.strip().upper() if isinstance(name, str) else ""
    identity, liveness = facts(read(as_json(record(errorGrpId=code, errorName=name, mccMnc="20801", ported=0))))
    own, others = NAMES.get(code, ""), set(NAMES.values())
    if stated == own or (not stated and code != 1) or (not own and stated not in others):
        assert liveness.reason is gsm.meaning(code).reason
    else:
        assert liveness == Liveness()
        assert identity.ported is UNKNOWN
    assert identity.mcc == "208"


def test_only_a_number_that_answered_is_known_to_be_mobile() -> None:
    for code in gsm.MEANINGS:
        result = read(as_json(record(errorGrpId=code, errorName=NAMES.get(code, ...), mccMnc="20801")))
        assert isinstance(result, LookupAnswer)
        assert result.identity is not None
        assert result.identity.type is (NumberType.MOBILE if code == 0 else NumberType.UNKNOWN)
        assert (result.method, result.raw_code, result.cost) == (Method.HLR, str(code), None)


# What else a notification may hold


@pytest.mark.parametrize(
    ("date", "observed"),
    [
        (DATE, OBSERVED),
        ("2025-12-31T23:59:44.120Z", OBSERVED),
        ("2026-01-01T01:59:44.120+02:00", OBSERVED),
        ("2025-12-31T23:59:44.120 0000", OBSERVED),
        ("2025-12-31T23:59:44+0000", OBSERVED - 0.12),
        (" 2025-12-31T23:59:44.120+0000 ", OBSERVED),
        ("2026-01-01T00:00:01.000+0000", NOW),
        ("2999-01-01T00:00:00.000+0000", NOW),
        ("1969-12-31T23:59:59.000+0000", NOW),
        ("0001-01-01T00:00:00.000+2359", NOW),
        ("2025-13-31T23:59:44.120+0000", NOW),
        ("2025-12-31T23:59:44.120+9900", NOW),
        ("2025-12-31T23:59:44.120", NOW),
        ("2025-12-31", NOW),
        ("٢٠٢٥-12-31T23:59:44.120+0000", NOW),
        ("yesterday", NOW),
        ("", NOW),
        (None, NOW),
        (..., NOW),
        (1_767_225_584, NOW),
        ([DATE], NOW),
    ],
)
def test_the_vendors_time_counts_where_it_can_be(date: Any, observed: float) -> None:
    """C16: never in the future; a time without an offset could be anywhere."""
    result = read(as_json(record(errorGrpId=0, errorName="NO_ERROR ", date=date)))
    assert isinstance(result, LookupAnswer)
    assert result.observed_at == pytest.approx(observed, abs=0.0001)


@pytest.mark.parametrize(
    "phone", ["+33639981200", "33639981200", " 33639981200", 33639981200, "+33639981200\n", " +33639981200 "]
)
def test_the_number_is_found_however_it_is_written(phone: object) -> None:
    assert list(provider().notice(as_json(record(phone=phone, errorGrpId=0)), NOW)) == [NUMBER]


MALFORMED = {
    "nothing": b"",
    "null": b"null",
    "text": b'"phone=+33639981200"',
    "object": b"{}",
    "list": b"[]",
    "list of text": b'["+33639981200"]',
    "nested list": b'[[{"phone": "+33639981200"}]]',
    "no number": b'{"errorGrpId": 0}',
    "null number": b'{"phone": null}',
    "short number": b'{"phone": "+336"}',
    "long number": b'{"phone": "+3363998120033639981200"}',
    "foreign digits": '{"phone": "+٣٣٦٣٩٩٨١٢٠٠"}'.encode(),
    "two numbers": b'{"phone": "+33639981200,+33639981201"}',
    "number list": b'{"phone": ["+33639981200"]}',
    "duplicate key": b'{"phone": "+33639981200", "phone": "+33639981201"}',
    "twice in a form": b"phone=%2B33639981200&phone=%2B33639981201",
    "endless form": b"phone=%2B33639981200" + b"&a=1" * 1000,
    "no text": b"phone=%2B33639981200&errorName=\xff",
    "multipart": b'--x\r\nContent-Disposition: form-data; name="phone"\r\n\r\n+33639981200\r\n--x--',
    "xml": b"<result><phone>+33639981200</phone></result>",
    "too many": b"[" + b",".join([b'{"phone": "+33639981200"}'] * 1001) + b"]",
    "too deep": b"[" * 100_000,
    "nan": b'{"phone": "+33639981200", "ported": NaN}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_notification_is_refused(body: bytes) -> None:
    """A4, P7"""
    with pytest.raises(NoticeRefused) as refused:
        provider().notice(Notice({}, body), NOW)
    assert refused.value.code == "malformed"


def test_the_first_record_of_a_number_counts() -> None:
    twice = [record(errorGrpId=0, ported=1, mccMnc="20801"), record(errorGrpId=27, errorName="EC_ABSENT_SUBSCRIBER")]
    results = provider().notice(Notice({}, json.dumps(twice).encode()), NOW)
    assert isinstance(results[NUMBER], LookupAnswer)
    assert results[NUMBER].liveness == Liveness(YES, Reason.OK, YES)  # type: ignore[union-attr]


VALUES = st.none() | st.booleans() | st.integers(-1, 300) | st.text(max_size=8) | st.sampled_from(["0", "1", "20801"])
FIELDS = st.sampled_from(["phone", "mccMnc", "ported", "errorGrpId", "errorName", "date", "messageId", "x"])


@settings(max_examples=500, deadline=None)
@given(fields=st.dictionaries(FIELDS, VALUES, max_size=8), encoding=st.sampled_from(list(ENCODINGS)))
def test_nobody_is_called_dead_but_by_the_word_for_it(fields: dict[str, Any], encoding: str) -> None:
    """P9: any fields at all, in any encoding."""
    try:
        result = read(ENCODINGS[encoding]({**fields, "phone": NUMBER}))
    except NoticeRefused:
        return
    if isinstance(result, LookupAnswer) and result.liveness and result.liveness.valid is NO:
        assert str(fields["errorGrpId"]).strip() == "1"
        assert fields["errorName"].strip().upper() == "EC_UNKNOWN_SUBSCRIBER"


# The acknowledgement


def submitted(body: dict[str, Any], numbers: int = 1, **options: Any) -> list[NumberResult]:
    asked = [f"+3363998{n:04}" for n in range(1200, 1200 + numbers)]
    return list(outcomes(make("smspartner", **options), asked, [json_reply(body)]).values())


@pytest.mark.parametrize(
    ("cost", "accepted", "numbers", "each"),
    [
        (0.005, 1, 1, "0.005"),
        (0, 1, 1, "0"),
        (0.015, 3, 3, "0.005"),
        (0.01, 3, 3, "0.003334"),
        (2.5, 500, 500, "0.005"),
        (0.01, 2, 3, "0.005"),
        (0.01, 9, 2, "0.005"),
        (0.01, None, 2, "0.005"),
        ("0.005", "1", 1, "0.005"),
        (-0.005, 1, 1, None),
        (None, 1, 1, None),
        ("free", 1, 1, None),
        (True, 1, 1, None),
    ],
)
def test_the_price_of_the_request_is_shared_out(cost: Any, accepted: Any, numbers: int, each: str | None) -> None:
    """B7: exact, and never less than what was paid."""
    results = submitted({**ACKNOWLEDGED, "cost": cost, "number": accepted}, numbers)
    wanted = Pending(30.0, None if each is None else Decimal(each), None if each is None else "EUR")
    assert results == [wanted] * numbers


@settings(max_examples=200, deadline=None)
@given(cost=st.decimals(0, 100, places=6), numbers=st.integers(1, 500))
def test_the_shares_are_never_less_than_the_whole(cost: Decimal, numbers: int) -> None:
    """B7"""
    results = submitted({**ACKNOWLEDGED, "cost": str(cost), "number": numbers}, numbers)
    shares = [result.cost for result in results if isinstance(result, Pending)]
    total = sum((share for share in shares if share is not None), Decimal(0))
    assert cost <= total < cost + SMALLEST * numbers


def test_the_wait_is_what_the_config_says() -> None:
    assert submitted(ACKNOWLEDGED, wait_s=3.5) == [Pending(3.5, Decimal("0.005"), "EUR")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"success": False, "code": 10}, "auth"),
        ({"success": "false", "code": "10"}, "auth"),
        ({"code": 10}, "auth"),
        ({"success": None, "code": 11}, "out_of_credit"),
        ({"success": True, "code": 10}, "bad_answer"),
        ({"success": True}, "bad_answer"),
        ({"success": True, "code": 201}, "bad_answer"),
        ({"success": False}, "rejected"),
        ({"success": False, "code": 200}, "rejected"),
        ({"code": 200, "number": 1, "cost": 0.005}, "bad_answer"),
        ({"success": {}, "code": []}, "bad_answer"),
        ({**ACKNOWLEDGED, "number": 0}, "rejected"),
    ],
)
def test_only_success_and_its_code_together_are_a_success(body: dict[str, Any], expected: str) -> None:
    """P10"""
    (result,) = submitted(body)
    assert word(result) == expected


def test_the_config_may_say_what_a_code_means() -> None:
    refused = {"success": False, "code": 10}
    assert word(submitted(refused, codes={"10": "rejected", "31": "auth"})[0]) == "rejected"
    assert word(submitted({**refused, "code": 31}, codes={31: "auth"})[0]) == "auth"
    assert word(submitted({**refused, "code": 11}, codes={31: "auth"})[0]) == "out_of_credit"


def test_a_body_that_speaks_of_success_does_not_outweigh_a_failed_status() -> None:
    broken = reply(json.dumps(ACKNOWLEDGED).encode(), 500)
    result = outcomes(make("smspartner"), [NUMBER], [broken])
    assert word(result[NUMBER]) == "lost_reply"


# The options


def test_the_secret_of_the_webhook_is_not_optional() -> None:
    """S19: nobody would ever hear the answers that were paid for."""
    block = {"kind": "smspartner", "api_key": "k", "public_url": "https://pbx.example.com", "webhook_secret": "s" * 16}
    options = loading.find("smspartner").Options
    assert options.model_validate(block)
    wrong: list[dict[str, object]] = [
        {"public_url": None}, {"webhook_secret": None}, {"webhook_secret": "short"}, {"public_url": "http://10.0.0.1"},
        {"max_batch": 501}, {"tag": "x" * 21}, {"codes": {"10": "whatever"}}, {"webhook_allow": ["pbx.example.com"]},
    ]  # fmt: skip
    for changes in wrong:
        with pytest.raises(ValidationError):
            options.model_validate({**block, **changes})


def test_the_request_carries_the_secret_and_shows_it_nowhere() -> None:
    """A3, S13"""
    options = Options.model_validate(
        {
            "kind": "smspartner",
            "api_key": "k3y",
            "public_url": "https://pbx.example.com/x/",
            "webhook_secret": "s3cr/t" * 3,
        }
    )
    step = next(Provider("sms", options, lambda _plmn: None).lookup([Number(NUMBER), Number("+447700900108")], NOW))
    assert isinstance(step, HttpRequest)
    assert step.json == {
        "apiKey": "k3y",
        "phoneNumbers": f"{NUMBER},+447700900108",
        "tag": "agi-lookup",
        "notifyUrl": "https://pbx.example.com/x/hooks/sms/s3cr%2Fts3cr%2Fts3cr%2Ft",
    }
    assert not step.query, "nothing that is secret in a URL"
    assert "s3cr" not in repr(step) + repr(options)
    assert "k3y" not in repr(step) + repr(options)
