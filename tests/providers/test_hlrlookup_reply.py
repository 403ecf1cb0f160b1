"""Whose a result of HLR Lookup is, and what became of those that got none."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from agi_lookup.domain.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderFailedNumber,
    ProviderOutcomeUnknown,
    ProviderOutOfCredit,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRejected,
)
from agi_lookup.domain.model import LookupAnswer, Tri
from agi_lookup.providers.base import HttpReply, NumberResult
from tests.providers.replay import json_reply, make, outcomes, reply

NUMBER: Final = "+447700900150"
OTHER: Final = "+447700900151"
LIVE: Final = {"error": "NONE", "request_parameters": {"telephone_number": NUMBER[1:]}, "live_status": "LIVE"}


def result_of(**changes: Any) -> NumberResult:
    """A key that is changed to `...` is left out."""
    record = {key: value for key, value in {**LIVE, **changes}.items() if value is not ...}
    return outcomes(make("hlrlookup"), [NUMBER], [json_reply({"results": [record]})])[NUMBER]


def whole(status: int, body: object) -> NumberResult:
    """What one number gets of a reply that is nothing but an error."""
    answer = HttpReply(status, {"retry-after": "7"}, json.dumps(body).encode())
    return outcomes(make("hlrlookup"), [NUMBER], [answer])[NUMBER]


WORDS: dict[str, type[ProviderError]] = {
    "UNAUTHORIZED": ProviderAuthError,
    "BAD_REQUEST": ProviderRejected,
    "INSUFFICIENT_CREDIT": ProviderOutOfCredit,
    "TOO_MANY_REQUESTS": ProviderRateLimited,
}


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("word", WORDS)
def test_the_word_of_an_error_rules_whatever_the_status(word: str, status: int) -> None:
    """P10, P11, P12, P13: which status comes with UNAUTHORIZED, no page says."""
    for body in ({"error": word, "message": "m"}, {"body": {"error": word}}, {"error": word.lower()}):
        assert type(whole(status, body)) is WORDS[word]


@pytest.mark.parametrize("error", ["INTERNAL_ERROR", "MAINTENANCE", 17, {"code": "UNAUTHORIZED"}, ["x"], True])
def test_an_error_that_is_not_listed_leaves_open_what_was_charged(error: object) -> None:
    """P10"""
    assert type(whole(200, {"error": error, "results": [LIVE]})) is ProviderOutcomeUnknown
    assert type(result_of(error=error)) is ProviderFailedNumber


@pytest.mark.parametrize("word", WORDS)
def test_an_error_of_one_number_is_that_numbers_alone(word: str) -> None:
    second = {**LIVE, "request_parameters": {"telephone_number": OTHER[1:]}}
    replies = [json_reply({"results": [{**LIVE, "error": word}, second]})]
    results = outcomes(make("hlrlookup"), [NUMBER, OTHER], replies)
    assert type(results[NUMBER]) is WORDS[word]
    assert isinstance(results[OTHER], LookupAnswer)


def test_too_many_requests_are_one_networks_trouble_not_the_accounts() -> None:
    """P13: of the whole request and of one number; nothing was charged, so it may be asked elsewhere and again."""
    for limited in (whole(429, "Too Many Requests"), whole(200, {"error": "TOO_MANY_REQUESTS"})):
        assert isinstance(limited, ProviderRateLimited)
        assert (limited.scope, limited.retry_after_s, limited.maybe_charged) == ("network", 7.0, False)
    one = result_of(error="TOO_MANY_REQUESTS")
    assert isinstance(one, ProviderRateLimited)
    assert one.scope == "network"


def test_what_comes_with_a_failed_request_is_not_believed() -> None:
    for status in (302, 400, 500):
        assert isinstance(whole(status, {"results": [LIVE]}), ProviderError)


def test_numbers_are_matched_by_name_and_never_by_place() -> None:
    """P8: answers that were swapped between two requests, in whole and in either place that names the number."""
    swapped = {**LIVE, "request_parameters": {"telephone_number": OTHER[1:]}, "live_status": "DEAD"}
    results = outcomes(make("hlrlookup"), [NUMBER, OTHER], [json_reply({"results": [swapped, LIVE]})])
    reachable = {number: result.liveness.reachable for number, result in results.items()}  # type: ignore[union-attr]
    assert reachable == {NUMBER: Tri.YES, OTHER: Tri.NO}
    for changed in ({"detected_telephone_number": OTHER[1:]}, {"request_parameters": {"telephone_number": OTHER[1:]}}):
        assert isinstance(result_of(**changed), ProviderProtocolError)


@pytest.mark.parametrize("echo", [NUMBER, NUMBER[1:], int(NUMBER[1:]), f" {NUMBER} "])
def test_an_echo_may_be_written_in_several_ways(echo: object) -> None:
    assert isinstance(result_of(request_parameters={"telephone_number": echo}), LookupAnswer)


def test_the_number_that_was_detected_names_a_result_that_echoes_none() -> None:
    assert isinstance(result_of(request_parameters=..., detected_telephone_number=NUMBER[1:]), LookupAnswer)
    assert isinstance(result_of(request_parameters=...), ProviderProtocolError)


def test_one_error_without_a_number_stands_for_those_that_got_nothing() -> None:
    replies = [json_reply({"results": [LIVE, {"error": "INTERNAL_ERROR"}]})]
    results = outcomes(make("hlrlookup"), [NUMBER, OTHER], replies)
    assert isinstance(results[NUMBER], LookupAnswer)
    assert isinstance(results[OTHER], ProviderFailedNumber)


def test_a_body_that_is_no_json_leaves_the_status_to_speak() -> None:
    results = outcomes(make("hlrlookup"), [NUMBER], [reply(b"<html>", 403)])
    assert isinstance(results[NUMBER], ProviderAuthError)
