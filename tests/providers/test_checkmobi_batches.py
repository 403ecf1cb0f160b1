"""CheckMobi's batches: what is accepted, and what its webhook may say."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agi_lookup.domain.errors import NoticeRefused, ProviderError, ProviderProtocolError
from agi_lookup.domain.model import LookupAnswer, Number
from agi_lookup.providers.base import Notice, NumberResult, Pending, Provider
from agi_lookup.providers.checkmobi import Options
from tests.providers.garbage import NO_ANSWER, NO_STRICT_JSON
from tests.providers.replay import NOW, json_reply, make, outcomes, reply
from tests.providers.test_checkmobi import CODES, NUMBER, OTHER, record
from tests.sim.accounts import told

WEBHOOK = {"public_url": "https://pbx.example.com", "webhook_secret": "0123456789abcdef", "signature_key": "key"}


def batch(found: object, *numbers: str) -> dict[str, NumberResult]:
    return outcomes(make("checkmobi", max_batch=10, **WEBHOOK), numbers or [NUMBER, OTHER], [json_reply(found)])


@pytest.mark.parametrize("missing", WEBHOOK)
def test_a_batch_needs_a_webhook_whose_signature_can_be_checked(missing: str) -> None:
    """A4"""
    given = {"kind": "checkmobi", "secret_key": "x", "max_batch": 2, **WEBHOOK}
    assert Options.model_validate(given).max_batch == 2
    del given[missing]
    with pytest.raises(ValidationError):
        Options.model_validate(given)


def test_the_free_validation_takes_one_number() -> None:
    with pytest.raises(ValidationError, match="hlr and mnp"):
        Options.model_validate({"kind": "checkmobi", "secret_key": "x", "max_batch": 2, "method": "verify", **WEBHOOK})


def test_one_number_is_asked_at_once_though_batches_are_allowed() -> None:
    step = next(make("checkmobi", max_batch=10, **WEBHOOK).lookup([Number(NUMBER)], NOW))
    assert (step.method, step.json) == ("GET", None)


def test_what_is_pending_has_a_currency_and_no_price_yet() -> None:
    found = batch({"accepted_count": 2, "rejected_count": 0, "rejected": []})
    assert found == dict.fromkeys((NUMBER, OTHER), Pending(30.0, None, "USD"))


@pytest.mark.parametrize("written", [OTHER, OTHER[1:], int(OTHER), f" {OTHER} "])
def test_a_rejected_number_fails_alone(written: object) -> None:
    found = batch({"total_count": 2, "accepted_count": 1, "rejected_count": 1, "rejected": [written]})
    assert (told(found[NUMBER]), told(found[OTHER])) == ("pending", "rejected")


@pytest.mark.parametrize("rejected", [[], None, ["40xxx"], [None, [], {}]])
def test_where_none_was_accepted_none_is_pending(rejected: object) -> None:
    found = batch({"accepted_count": 0, "rejected": rejected})
    assert [told(result) for result in found.values()] == ["rejected", "rejected"]


ACKNOWLEDGED = [
    {"accepted_count": "two", "rejected": []},
    {"rejected": []},
    {"accepted_count": 2, "rejected": {"a": 1}},
]


@pytest.mark.parametrize(
    "body", [*NO_STRICT_JSON.values(), *NO_ANSWER.values(), *(json.dumps(a).encode() for a in ACKNOWLEDGED)]
)
def test_what_is_no_acknowledgement_may_have_been_paid(body: bytes) -> None:
    """P5, P7"""
    found = outcomes(make("checkmobi", max_batch=10, **WEBHOOK), [NUMBER, OTHER], [reply(body)])
    assert all(isinstance(result, ProviderProtocolError) and result.maybe_charged for result in found.values())


# What comes to the webhook


def signed(body: bytes, key: str = "key") -> bytes:
    return hmac.digest(key.encode(), body, "sha256")


def notice(found: object, *, header: str | None = None, **options: Any) -> dict[str, LookupAnswer | ProviderError]:
    body = json.dumps(found).encode()
    provider: Any = make("checkmobi", **{**WEBHOOK, **options})
    stated = signed(body).hex() if header is None else header
    return dict(provider.notice(Notice({"x-checkmobi-signature": stated}, body), NOW))


def results(*found: object, method: object = "hlr", error: object = None) -> dict[str, object]:
    return {"lookup_method": method, "error": error, "results": list(found)}


def sent(number: str = NUMBER, **changes: Any) -> dict[str, Any]:
    return {"original_msisdn": number, **record(number, **changes)}


def test_the_signature_is_hmac_sha256_as_rfc_4231_has_it() -> None:
    """A4: a vector from outside of this code (https://www.rfc-editor.org/rfc/rfc4231, test case 2)."""
    provider: Any = make("checkmobi", **{**WEBHOOK, "signature_key": "Jefe"})
    digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    for stated, code in ((digest, "malformed"), (digest[:-1] + "4", "signature")):
        with pytest.raises(NoticeRefused) as refused:
            provider.notice(Notice({"x-checkmobi-signature": stated}, b"what do ya want for nothing?"), NOW)
        assert refused.value.code == code  # genuine, and no JSON; or not even genuine


BODY = json.dumps(results(sent())).encode()
AS_HEX, AS_BASE64 = signed(BODY).hex(), base64.b64encode(signed(BODY)).decode()


@pytest.mark.parametrize(
    ("encoding", "taken", "refused"),
    [
        ("any", [AS_HEX, AS_HEX.upper(), AS_BASE64, f" {AS_HEX} "], []),
        ("hex", [AS_HEX, AS_HEX.upper()], [AS_BASE64]),
        ("base64", [AS_BASE64], [AS_HEX, AS_HEX.upper()]),
    ],
)
def test_a_signature_may_be_written_as_configured(encoding: str, taken: list[str], refused: list[str]) -> None:
    for header in taken:
        assert notice(results(sent()), header=header, signature_encoding=encoding).keys() == {NUMBER}
    wrong = [
        "",
        "sha256=" + AS_HEX,
        AS_HEX[:-1],
        AS_BASE64.lower(),
        AS_BASE64[:-1],
        "é",
        "\ud800",
        signed(BODY, "other").hex(),
    ]
    for header in (*refused, *wrong):
        with pytest.raises(NoticeRefused):
            notice(results(sent()), header=header, signature_encoding=encoding)


def test_without_a_signature_key_no_notice_is_believed() -> None:
    """A4: not even one that is signed with an empty key."""
    provider: Any = make("checkmobi", public_url="https://pbx.example.com", webhook_secret="0123456789abcdef")
    for key in ("", "None", "key"):
        with pytest.raises(NoticeRefused):
            provider.notice(Notice({"x-checkmobi-signature": signed(BODY, key).hex()}, BODY), NOW)


NO_ERROR: list[Any] = [5, "x", [], True, {}, {"error": 5}, {"affected_numbers": NUMBER}]
NO_RESULTS: list[Any] = [None, {}, "x", [None], [[]], [{}], [record()]]
MALFORMED: list[Any] = [
    *([], "x", None, {}, results(method=None), results(method="sms"), results(method=["hlr"]), results(method="mnp")),
    *(results(error=error) for error in NO_ERROR),
    *({"lookup_method": "hlr", "error": None, "results": wrong} for wrong in NO_RESULTS),
]


@pytest.mark.parametrize("found", MALFORMED, ids=repr)
def test_a_genuine_notice_that_cannot_be_read_is_refused(found: object) -> None:
    with pytest.raises(NoticeRefused) as refused:
        notice(found)
    assert refused.value.code == "malformed"


@pytest.mark.parametrize("body", [*NO_STRICT_JSON.values(), *NO_ANSWER.values()])
def test_garbage_that_is_signed_is_garbage(body: bytes) -> None:
    """P7"""
    provider: Any = make("checkmobi", **WEBHOOK)
    with pytest.raises(NoticeRefused):
        provider.notice(Notice({"x-checkmobi-signature": signed(body).hex()}, body), NOW)


def test_a_notice_without_results_tells_nothing_and_is_no_mischief() -> None:
    assert notice(results()) == {}


def test_one_bad_record_spoils_no_other() -> None:
    found = notice(results(None, {"original_msisdn": None}, sent(), sent(OTHER, phone_number=NUMBER)))
    assert isinstance(found[NUMBER], LookupAnswer)
    assert isinstance(found[OTHER], ProviderProtocolError)


def test_records_of_one_number_must_agree() -> None:
    same, other = sent(), sent(reachable="absent")
    assert isinstance(notice(results(same, same))[NUMBER], LookupAnswer)
    for found in (results(same, other), results(other, same), results(same, sent(phone_number=OTHER))):
        assert isinstance(notice(found)[NUMBER], ProviderProtocolError)


@pytest.mark.parametrize("code", [*CODES, 2, 99, None, "x", "5", []])
def test_an_error_of_a_part_of_a_batch_is_each_numbers_own(code: Any) -> None:
    error = {"error": code, "description": "x", "affected_numbers": [NUMBER, OTHER[1:], None, "40xxx"]}
    found = notice(results(error=error))
    word = "provider_failure" if code in (99, None, "x", []) else {**CODES, 2: "rejected"}[int(code)]
    assert {number: told(result) for number, result in found.items()} == {NUMBER: word, OTHER: word}


@settings(max_examples=200, deadline=None)
@given(found=st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20),
       lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
           st.sampled_from(["lookup_method", "error", "results", "affected_numbers", "original_msisdn"]), inner)))  # fmt: skip
def test_whatever_is_signed_is_read_or_refused(found: Any) -> None:
    """P7"""
    found = {"lookup_method": "hlr", **found} if isinstance(found, dict) else found
    try:
        read = notice(found)
    except NoticeRefused:
        return
    assert all(isinstance(result, LookupAnswer | ProviderError) for result in read.values())


def test_neither_key_nor_webhook_shows() -> None:
    """A3"""
    provider: Provider = make("checkmobi", **{**WEBHOOK, "max_batch": 10, "secret_key": "canary-key-1"})
    step = next(provider.lookup([Number(NUMBER), Number(OTHER)], NOW))
    shown = f"{provider!r} {step!r} {getattr(provider, '_options')!r}"  # noqa: B009
    for hidden in ("canary-key-1", "0123456789abcdef", NUMBER[1:], "'key'"):
        assert hidden not in shown
