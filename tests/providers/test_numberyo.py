"""What no recording can say of Numberyo: every pair of its flags, and what becomes of a reply that was lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from agi_lookup.domain.errors import ProviderError, ProviderOutcomeUnknown, ProviderTimeout, ProviderUnavailable
from agi_lookup.domain.model import Facet, Liveness, LookupAnswer, Number, Reason, Tri
from agi_lookup.providers.base import HttpReply, HttpRequest, NumberResult
from agi_lookup.providers.numberyo import CLOCK_SLACK_S, MAX_RESULTS_READ
from tests.providers.replay import NOW, json_reply, make, outcomes, reply

NUMBER = "+447700900150"
OTHER = "+447700900151"
NETWORK = {"operator_name": "Example Mobile UK", "mcc": "234", "mnc": "15", "plmn": "23415"}
MISSING = object()
SAID: dict[Tri, tuple[object, ...]] = {
    Tri.YES: (True, "true", "True", 1),
    Tri.NO: (False, "false", "FALSE", 0),
    Tri.UNKNOWN: (None, MISSING, "undetermined", "unknown", "brand_new", "", [], {}, 2, -1, 0.5),
}
"""What a flag may hold, by what it means."""
FLAGS = [(meaning, value) for meaning, values in SAID.items() for value in values]


def result(number: str = NUMBER, /, **keys: object) -> dict[str, object]:
    record = {"number_requested": number[1:], "msisdn": number[1:], **keys}
    return {key: value for key, value in record.items() if value is not MISSING}


def created(*results: object, cost: object = "1.00") -> HttpReply:
    return json_reply({"status": True, "check": {"id": 1, "user_cost": cost}, "results": {"results": results}})


def ask(*results: object, **options: Any) -> NumberResult:
    return outcomes(make("numberyo", **options), [NUMBER], [created(*results)])[NUMBER]


def answer(**keys: object) -> LookupAnswer:
    found = ask(result(**keys))
    assert isinstance(found, LookupAnswer), found
    return found


Y, N, U = Tri.YES, Tri.NO, Tri.UNKNOWN
LIVENESS = {
    (Y, Y): Liveness(Y, Reason.OK, Y),
    (Y, U): Liveness(Y, Reason.OK, U),
    (Y, N): Liveness(U, Reason.INCONCLUSIVE, U),  # contradicts itself
    (N, Y): Liveness(N, Reason.ABSENT, Y),
    (N, N): Liveness(N, Reason.UNKNOWN_SUBSCRIBER, N),
    (N, U): Liveness(N, Reason.INCONCLUSIVE, U),
    (U, Y): Liveness(U, Reason.NETWORK_ONLY, Y),
    (U, N): Liveness(U, Reason.NETWORK_ONLY, N),
    (U, U): Liveness(U, Reason.NETWORK_ONLY, U),
}


@pytest.mark.parametrize(("reachable", "valid"), LIVENESS)
def test_every_pair_of_reachable_and_valid_has_its_reason(reachable: Tri, valid: Tri) -> None:
    """P9: in every form in which a vendor may say true, false, and nothing."""
    for said_reachable, said_valid in itertools.product(SAID[reachable], SAID[valid]):
        found = answer(reachable=said_reachable, valid_number=said_valid, **NETWORK)
        assert found.liveness == LIVENESS[reachable, valid], (said_reachable, said_valid)


def test_what_is_not_said_never_becomes_false() -> None:
    """P9: all three flags in all forms, with and without a network."""
    table = itertools.product(FLAGS, FLAGS, FLAGS, ({}, NETWORK))
    for (ported, p), (reachable, r), (valid, v), network in table:
        found = answer(ported=p, reachable=r, valid_number=v, **network)
        assert found.identity is not None
        assert found.liveness is not None
        assert found.identity.ported is (ported if network or ported is not N else U)
        contradiction = (reachable, valid) == (Y, N)
        assert found.liveness.reachable is (U if contradiction else reachable)
        assert found.liveness.valid is (U if contradiction else valid)
        assert (found.liveness.reason is Reason.UNKNOWN_SUBSCRIBER) == ((reachable, valid) == (N, N))


@pytest.mark.parametrize("network", [{"operator_name": "Example"}, {"mcc": "234", "mnc": "15"}, {"plmn": "23415"}])
def test_not_ported_needs_a_network_that_is_named(network: dict[str, object]) -> None:
    named = answer(ported=False, **network).identity
    unnamed = answer(ported=False).identity
    assert named is not None
    assert unnamed is not None
    assert (named.ported, unnamed.ported) == (Tri.NO, Tri.UNKNOWN)
    assert (named.orig_carrier, named.orig_mcc) == (named.carrier, named.mcc)


def test_a_calling_code_is_no_country_and_an_imsi_goes_nowhere() -> None:
    """S16"""
    identity = answer(country_code="DE", country_name="Germany", imsi="234159876543210", **NETWORK).identity
    assert identity is not None
    assert identity.country is None
    assert "9876543210" not in repr(identity)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("2025-12-31T23:50:00Z", NOW - 600),
        ("2025-12-31T23:50:00.000000Z", NOW - 600),
        ("2026-01-01T00:50:00+01:00", NOW - 600),
        ("2026-01-01T08:00:00Z", NOW),  # not yet
        ("2025-12-31 23:50:00", NOW),  # of no zone
        ("1969-12-31T23:59:59Z", NOW),
        ("0001-01-01T00:00:00+23:59", NOW),
        ("soon", NOW),
        (None, NOW),
        (1767225000, NOW),
    ],
)
def test_a_result_is_as_old_as_it_says(stated: object, expected: float) -> None:
    assert answer(created_at=stated).observed_at == expected


@pytest.mark.parametrize(
    ("stated", "cost"), [("0.00", "0.00"), (1, "1"), ("-1.00", None), ("free", None), (None, None)]
)
def test_a_cost_that_is_none_is_not_told(stated: object, cost: str | None) -> None:
    found = outcomes(make("numberyo"), [NUMBER], [created(result(), cost=stated)])[NUMBER]
    assert isinstance(found, LookupAnswer)
    assert (found.cost, found.currency) == ((Decimal(cost), "credits") if cost else (None, None))


@pytest.mark.parametrize(
    "record",
    [
        result(OTHER),
        result(msisdn=OTHER[1:]),
        result(number_requested=OTHER[1:]),
        result(number_requested=NUMBER[1:-1]),
        result(e164_format=OTHER),
        {"number_requested": None, "msisdn": "", "reachable": True},
        {"reachable": True},
        "no record",
    ],
)
def test_a_result_that_does_not_name_the_number_is_nobodys(record: object) -> None:
    """P8"""
    found = ask(record)
    assert isinstance(found, ProviderError)
    assert found.code == "bad_answer"


def test_a_result_of_another_is_passed_over() -> None:
    found = ask(result(OTHER, reachable=True), result(reachable=False, valid_number=True))
    assert isinstance(found, LookupAnswer)
    assert found.liveness == Liveness(Tri.NO, Reason.ABSENT, Tri.YES)


def test_a_verification_is_asked_of_no_network() -> None:
    """Whatever it says of validity or reachability is not believed."""
    verifier = make("numberyo", check="Verify")
    assert verifier.provides == {Facet.IDENTITY}
    found = ask({"e164_format": NUMBER, "valid_number": False, "reachable": False, "ported": False}, check="Verify")
    assert isinstance(found, LookupAnswer)
    assert found.liveness is None
    assert found.identity is not None
    assert found.identity.empty


@pytest.mark.parametrize(
    "wrong", [{"token": ""}, {"token": "a b"}, {"token": "a\r\nX: 1"}, {"token": "é"}, {"max_batch": 2}, {"check": "MNP"},
              {"statuses": {200: "auth"}}, {"statuses": {409: "absent"}}],
)  # fmt: skip
def test_options_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as refused:
        make("numberyo", **wrong)
    assert "X: 1" not in str(refused.value)


def test_a_status_means_what_the_config_says() -> None:
    for status, word in {401: "rate_limited", 422: "not_covered", 503: "unavailable"}.items():
        provider = make("numberyo", statuses={status: word})
        found = outcomes(provider, [NUMBER], [reply(b"{}", status, {"retry-after": "9"})])[NUMBER]
        assert isinstance(found, ProviderError)
        assert (found.code, found.retry_after_s) == (word, 9.0)


# What becomes of a lost reply

LOST = [ProviderOutcomeUnknown("reset"), ProviderTimeout(), reply(b"", 502)]


def listed(*checks: tuple[int, float], kind: str = "HLR") -> HttpReply:
    """Checks by id and age in seconds."""
    return json_reply({"checks": [{"id": id_, "type": kind, "created_at": at(NOW - age)} for id_, age in checks]})


def at(seconds: float) -> str:
    minute, second = divmod(int(seconds - NOW) + 3600, 60)
    return f"2025-12-31T23:{minute:02}:{second:02}Z" if minute < 60 else f"2026-01-01T00:{minute - 60:02}:{second:02}Z"


def told_again(*results: object) -> HttpReply:
    return json_reply({"type": "HLR", "results": results})


def recover(*replies: HttpReply | ProviderError, **options: Any) -> tuple[NumberResult, list[HttpRequest]]:
    """The result, and all requests after the first."""
    asked: list[HttpRequest] = []
    lookup = make("numberyo", **options).lookup([Number(NUMBER)], NOW)
    next(lookup)
    try:
        for answered in replies:
            step = lookup.throw(answered) if isinstance(answered, ProviderError) else lookup.send(answered)
            asked.append(step)
    except StopIteration as done:
        return done.value[NUMBER], asked
    except ProviderError as error:
        return error, asked
    raise AssertionError("an unexpected request")


@pytest.mark.parametrize("lost", LOST, ids=["broken off", "out of time", "bad gateway"])
def test_a_lost_reply_is_looked_for_and_never_paid_again(lost: HttpReply | ProviderError) -> None:
    """P5: what follows the check is free, and reads only."""
    found, asked = recover(lost, listed((7, 0)), told_again(result(reachable=True, **NETWORK)))
    assert isinstance(found, LookupAnswer)
    assert (found.number, found.cost, found.currency) == (NUMBER, None, None)
    assert [(step.method, step.charged) for step in asked] == [("GET", False)] * 2
    assert asked[1].url.endswith("/checks/7/results")


def test_time_is_kept_for_looking() -> None:
    def steps(**options: object) -> Iterable[float | None]:
        provider = make("numberyo", timeout_s=10, **options)
        first = next(provider.lookup([Number(NUMBER)], NOW))
        assert first.charged
        yield first.timeout_s
        lookup = provider.lookup([Number(NUMBER)], NOW)
        next(lookup)
        if options.get("recover", True):
            yield lookup.throw(ProviderTimeout()).timeout_s

    whole = 10.0
    first, second = steps()
    assert first is not None
    assert second is not None
    assert first + 2 * second <= whole
    assert list(steps(recover=False)) == [None]


@pytest.mark.parametrize("lost", LOST, ids=["broken off", "out of time", "bad gateway"])
@pytest.mark.parametrize(
    "replies",
    [
        [listed()],
        [listed((7, CLOCK_SLACK_S + 1))],
        [listed((7, -10 - CLOCK_SLACK_S - 1))],
        [listed((7, 0), kind="Verify")],
        [listed((7, 0)), told_again()],
        [listed((7, 0)), told_again(result(OTHER, reachable=True))],
        [listed((7, 0)), told_again(result(msisdn=OTHER[1:], reachable=True))],
        [listed((7, 0)), told_again(result(reachable=True), result(reachable=False))],
        [listed((7, 0)), reply(b"<html>")],
        [listed((7, 0)), reply(told_again(result(reachable=True)).body, 404)],
        [listed((7, 0)), ProviderTimeout()],
        [reply(b"", 401)],
        [reply(b"", 302)],
        [reply(b"[]")],
        [reply(b"nonsense")],
        [
            json_reply(
                {"checks": [None, {"id": 1}, {"id": "../7", "type": "HLR", "created_at": "2026-01-01T00:00:00Z"}]}
            )
        ],
        [ProviderUnavailable()],
        [ProviderOutcomeUnknown("another")],
    ],
)
def test_what_is_not_found_stays_lost(
    lost: HttpReply | ProviderError, replies: list[HttpReply | ProviderError]
) -> None:
    """P5, P7, P8: the error is that of the check, whatever happened to the search."""
    found, asked = recover(lost, *replies)
    assert isinstance(found, ProviderError)
    assert found is lost or (isinstance(lost, HttpReply) and found.code == "lost_reply")
    assert found.maybe_charged
    assert not any(step.charged for step in asked)
    assert len(asked) == len(replies)


def test_the_search_is_bounded_and_starts_at_the_newest() -> None:
    checks = [(id_, id_ % 10) for id_ in range(100, 130)]
    others = [told_again(result(OTHER, reachable=True))] * MAX_RESULTS_READ
    found, asked = recover(ProviderTimeout(), listed(*checks), *others)
    assert isinstance(found, ProviderTimeout)
    read = [int(step.url.split("/")[-2]) for step in asked[1:]]
    assert read == [120, 110, 100, 121, 111]


def test_an_error_that_was_not_paid_is_not_looked_for() -> None:
    for error in (ProviderUnavailable(), reply(b"", 429), reply(b"", 401), reply(b"{}", 422), reply(b"", 400)):
        found, asked = recover(error)
        assert isinstance(found, ProviderError)
        assert not asked


def test_looking_can_be_switched_off() -> None:
    found, asked = recover(ProviderTimeout(), recover=False)
    assert isinstance(found, ProviderTimeout)
    assert not asked
