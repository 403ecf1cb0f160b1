"""What no recording can say of Number Portability Lookup."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.domain.errors import ProviderError, ProviderOutcomeUnknown
from agi_lookup.domain.model import LookupAnswer, Number, NumberType, Reason, Tri
from agi_lookup.providers import gsm
from agi_lookup.providers.base import Accountable, Balance, HttpReply, NumberResult
from agi_lookup.providers.http import MAX_STEPS
from agi_lookup.providers.numberportabilitylookup import NUMBER_TYPES, SAFE_BATCH, Options
from tests.providers.replay import NOW, json_reply, make, outcomes, play, reply

NUMBER = "+447700900150"
MISSING = object()
Y, N, U = Tri.YES, Tri.NO, Tri.UNKNOWN


def ask(**record: object) -> LookupAnswer:
    replies = [json_reply([{"msisdn": NUMBER[1:], "errorcode": "0", **record}])]
    answer = outcomes(make("numberportabilitylookup"), [NUMBER], replies)[NUMBER]
    assert isinstance(answer, LookupAnswer)
    assert answer.identity is not None
    return answer


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"ported": "false"}, Tri.UNKNOWN),
        ({"ported": "false", "operatorname": "Example"}, Tri.NO),
        ({"ported": "false", "mcc": "234", "mnc": "15"}, Tri.NO),
        ({"ported": "true"}, Tri.YES),
    ],
)
def test_not_ported_needs_a_network_that_was_found(record: dict[str, object], expected: Tri) -> None:
    identity = ask(**record).identity
    assert identity is not None
    assert identity.ported is expected


def test_an_imsi_goes_nowhere() -> None:
    """S16"""
    assert "23415098765432" not in repr(ask(imsi="234150987654321", mcc="234", mnc="15").identity)


def test_a_negative_cost_is_no_cost_but_a_balance_may_be_negative() -> None:
    answer = ask(transactioncost="-1.00", userbalance="-3.20")
    assert answer.cost is None
    assert answer.currency is None
    assert str(answer.balance_after) == "-3.20"


@pytest.mark.parametrize("iso", ["GBR", "G1", "44", "", None, 44])
def test_only_an_alpha_2_code_is_a_country(iso: object) -> None:
    identity = ask(countryiso=iso).identity
    assert identity is not None
    assert identity.country is None


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"mobile": "true", "landline": "false"}, NumberType.MOBILE),
        ({"mobile": "false", "landline": "true"}, NumberType.LANDLINE),
        ({"mobile": "true", "landline": "true"}, NumberType.MOBILE_OR_LANDLINE),
        ({"mobile": "false", "landline": "false"}, NumberType.UNKNOWN),
        ({"numbertype": "Rboc", "mobile": "true"}, NumberType.LANDLINE),
        ({"numbertype": "Satellite", "mobile": "true"}, NumberType.MOBILE),
    ],
)
def test_the_flags_stand_in_for_a_type_that_is_not_listed(record: dict[str, object], expected: NumberType) -> None:
    identity = ask(**record).identity
    assert identity is not None
    assert identity.type is expected


# Everything that the vendor may say, in all combinations


def _name(code: object) -> str:
    return "missing" if code is MISSING else str(code)


CODES = [*gsm.MEANINGS, MISSING, None, "", 999, "brand_new"]
REACHABLE = [
    ("true", Y),
    ("false", N),
    ("undetermined", U),
    ("not_sms_capable", U),
    (None, U),
    (MISSING, U),
    ("new", U),
]
FLAGS = [("true", Y), ("false", N), ("undetermined", U), (None, U), (MISSING, U), ("brand_new", U)]
TYPES = [
    *((said, meant) for said, meant in NUMBER_TYPES.items()),
    *((said, None) for said in ("SATELLITE", "", None, MISSING)),
]
NETWORKS: list[dict[str, object]] = [{}, {"operatorname": "Example Mobile UK", "mcc": "234", "mnc": "15"}]


def ask_all(records: Sequence[dict[str, object]]) -> list[NumberResult]:
    """One result a record, at most 1,000 of them."""
    numbers = [f"+447700900{i:03}" for i in range(len(records))]
    said = [
        {key: value for key, value in {"msisdn": number[1:], **record}.items() if value is not MISSING}
        for number, record in zip(numbers, records, strict=True)
    ]
    results = outcomes(make("numberportabilitylookup"), numbers, [json_reply(said)])
    return [results[number] for number in numbers]


@pytest.mark.parametrize("code", CODES, ids=_name)
def test_no_combination_makes_a_fact_of_what_was_not_said(code: object) -> None:
    """P9: code, three flags and network: a fact needs the flag and, for what is live, the code that says the same."""
    meaning = gsm.meaning(code if isinstance(code, int) else None)
    table = list(itertools.product(REACHABLE, FLAGS, FLAGS, NETWORKS))
    results = ask_all([
        {"errorcode": code, "reachable": r, "ported": p, "validnumber": v, **network}
        for (r, _), (p, _), (v, _), network in table
    ])  # fmt: skip
    for ((said, reachable), (_, ported), (_, valid), network), found in zip(table, results, strict=True):
        if isinstance(found, ProviderError):
            assert meaning.failure is type(found)
            assert not network
            continue
        assert isinstance(found, LookupAnswer)
        assert found.identity is not None
        assert found.liveness is not None
        live = found.liveness
        assert live.reachable is (reachable if reachable is meaning.reachable else U)
        assert live.valid is (valid if valid is meaning.valid else U)
        witnessed = bool(network) and meaning.valid is Y
        assert found.identity.ported is (ported if ported is not N or witnessed else U)
        if live.reason is Reason.UNKNOWN_SUBSCRIBER:
            assert code in {1, 5}
            assert (reachable, valid) == (N, N) or (code == 5 and reachable is N)
        if said == "not_sms_capable":
            assert live.reason is Reason.NOT_APPLICABLE


def test_no_combination_of_flags_makes_a_type_of_what_was_not_said() -> None:
    """P9: all literals, with all pairs of `mobile` and `landline`, in both cases."""
    table = list(itertools.product(TYPES, FLAGS, FLAGS))
    for change in (str.upper, str.lower):
        results = ask_all([
            {
                "errorcode": "0",
                "numbertype": change(literal) if isinstance(literal, str) else literal,
                "mobile": mobile,
                "landline": landline,
            }
            for (literal, _), (mobile, _), (landline, _) in table
        ])  # fmt: skip
        for ((_, meant), (_, mobile), (_, landline)), found in zip(table, results, strict=True):
            assert isinstance(found, LookupAnswer)
            assert found.identity is not None
            by_flags = {
                (Y, Y): NumberType.MOBILE_OR_LANDLINE,
                (Y, N): NumberType.MOBILE,
                (Y, U): NumberType.MOBILE,
                (N, Y): NumberType.LANDLINE,
                (U, Y): NumberType.LANDLINE,
            }
            assert found.identity.type is (meant or by_flags.get((mobile, landline), NumberType.UNKNOWN))


@pytest.mark.parametrize("code", CODES, ids=_name)
def test_north_america_has_no_liveness_whatever_is_said(code: object) -> None:
    record = {"msisdn": "12025550100", "errorcode": None if code is MISSING else code, "carrier": "Example Wireless"}
    for reachable, valid in itertools.product(("true", "false"), repeat=2):
        said = json_reply([{**record, "reachable": reachable, "validnumber": valid}])
        found = outcomes(make("numberportabilitylookup"), ["+12025550100"], [said])["+12025550100"]
        assert isinstance(found, LookupAnswer)
        assert found.liveness is not None
        assert (found.liveness.reachable, found.liveness.valid, found.liveness.reason) == (U, U, Reason.NETWORK_ONLY)


# Batches

TOO_LONG = reply(b"Request too long")
SHARED_FATE = {
    "answered": None,
    "too long": TOO_LONG,
    "lost": ProviderOutcomeUnknown("reset"),
    "server error": reply(b"", 502),
    "no JSON": reply(b"{"),
    "wrong password": reply(b"FAIL Invalid password"),
    "no credit": reply(b"FAIL Insufficient credit"),
    "too many connections": reply(b"ERR RATE_LIMIT_EXCEEDED"),
}


@settings(max_examples=200, deadline=None)
@given(
    count=st.integers(SAFE_BATCH + 1, 100),
    fates=st.lists(st.sampled_from(sorted(SHARED_FATE)), min_size=10, max_size=10),
)
def test_no_number_of_a_batch_is_sent_twice_after_the_refusal(count: int, fates: list[str]) -> None:
    """P5, P14: whatever happens to the parts; and every number has one result."""
    numbers = [f"+447700900{i:03}" for i in range(count)]
    lookup = make("numberportabilitylookup", max_batch=100).lookup([Number(number) for number in numbers], NOW)
    next(lookup)
    step = lookup.send(TOO_LONG)
    sent: list[str] = []
    requests = 2
    for fate in fates:
        part = dict(step.form or ())["msisdn"].split(",")
        assert len(part) <= SAFE_BATCH
        sent += part
        answered = SHARED_FATE[fate] or json_reply(
            [{"msisdn": n, "errorcode": "0", "mcc": "234", "mnc": "15"} for n in part]
        )
        try:
            step = lookup.throw(answered) if isinstance(answered, ProviderError) else lookup.send(answered)
        except StopIteration as done:
            results = done.value
            break
        requests += 1
    assert requests <= MAX_STEPS
    assert len(sent) == len(set(sent))
    assert list(results) == numbers
    for number, result in results.items():
        if number[1:] not in sent:
            assert isinstance(result, ProviderError)
            assert not result.maybe_charged


def test_wrong_credentials_are_not_tried_on_every_part() -> None:
    """P11, P12: what is refused for nothing is not asked ten times over."""
    numbers = [f"+447700900{i:03}" for i in range(40)]
    provider = make("numberportabilitylookup", max_batch=100)
    results, asked = play(
        provider.lookup([Number(number) for number in numbers], NOW), [TOO_LONG, reply(b"FAIL Invalid password")]
    )
    assert len(asked) == 2
    assert {getattr(result, "code", "") for result in results.values()} == {"auth"}


def test_ten_numbers_that_are_too_many_are_not_cut_further() -> None:
    numbers = [f"+447700900{i:03}" for i in range(10)]
    results = outcomes(make("numberportabilitylookup"), numbers, [TOO_LONG])
    assert {getattr(result, "code", "") for result in results.values()} == {"rejected"}


# The account


def balance_of(answered: HttpReply) -> Balance:
    provider = make("numberportabilitylookup")
    assert isinstance(provider, Accountable)
    balance, _ = play(provider.balance(NOW), [answered])
    return balance


@pytest.mark.parametrize(
    ("said", "amount"),
    [
        ("812.40", "812.40"),
        ("0", "0"),
        ("+7", "7"),
        (" -3.20\n", "-3.20"),
        ("1,234,567.8", "1234567.8"),
        ("1234567", "1234567"),
        ("12,34", "12"),
        ("Credits: 5 of 10", "5"),
        ("QUERYOK 12.00", "12.00"),
    ],
)
def test_a_balance_is_the_first_number(said: str, amount: str) -> None:
    assert balance_of(reply(said.encode())) == Balance(Decimal(amount), "credits")


@pytest.mark.parametrize(
    "said",
    [
        "",
        "none",
        "<b>12</b>",
        '{"errorcode": 36}',
        "[36]",
        "9" * 13,
        "1" * 5000,
        "12" + " " * 70,
        "\ufeffé",
        "NaN",
        "Infinity",
    ],
)
def test_what_is_no_balance_is_not_guessed(said: str) -> None:
    """P7"""
    with pytest.raises(ProviderError) as raised:
        balance_of(reply(said.encode()))
    assert raised.value.code == "bad_answer"


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=80))
def test_no_bytes_make_anything_but_a_balance_or_a_provider_error(body: bytes) -> None:
    """P7"""
    with contextlib.suppress(ProviderError):
        assert balance_of(reply(body)).amount.is_finite()


def test_the_msc_has_its_price_unless_another_is_configured() -> None:
    def price(**given: object) -> Decimal | None:
        return Options.model_validate({"kind": "npl", "user": "u", "password": "p", **given}).price

    assert (price(msc=True), price(msc=True, price="1.5")) == (Decimal("1.2"), Decimal("1.5"))
    assert (price(), price(msc=False)) == (None, None)
