"""What every provider must do, by its recordings alone: no code here knows a vendor."""

from __future__ import annotations

import copy
import logging
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import fields
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.domain.errors import NoticeRefused, ProviderError, ProviderProtocolError
from agi_lookup.domain.model import Facet, Identity, Liveness, LookupAnswer, Number, Tri
from agi_lookup.providers.base import Accountable, HttpReply, Notice, Notified, NumberResult, Pending, Provider
from agi_lookup.providers.replies import FALSE_WORDS, TRUE_WORDS
from agi_lookup.sim import recordings
from agi_lookup.sim.recordings import Expected, Recording
from tests.providers.garbage import NO_ANSWER, NO_STRICT_JSON
from tests.providers.replay import (
    NOW,
    as_recorded,
    make,
    noticed,
    outcomes,
    play,
    posted,
    recorded_replies,
    reply,
    secrets,
)

KINDS = recordings.kinds()


class Case(NamedTuple):
    kind: str
    name: str
    recording: Recording


RECORDED = [Case(kind, name, recording) for kind in KINDS for name, recording in recordings.load(kind).items()]
CASES = [case for case in RECORDED if case.recording.is_lookup]
NOTICES = [case for case in RECORDED if case.recording.notice]
BALANCES = [case for case in RECORDED if case.recording.balance]
GOOD = [
    case for case in CASES
    if any(expected.liveness or expected.identity or expected.pending for expected in case.recording.expected.values())
]  # fmt: skip


def named(case: Case) -> str:
    return f"{case.kind}-{case.name}"


@pytest.fixture(params=CASES, ids=named)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def first_good(kind: str) -> Recording:
    """A single number's, preferably one that is answered at once."""
    found = [case.recording for case in GOOD if case.kind == kind and case.recording.number]
    return next((recording for recording in found if not recording.expect.pending), found[0])


def replayed(case: Case) -> dict[str, NumberResult]:
    provider = make(case.kind, **case.recording.options)
    return outcomes(provider, list(case.recording.expected), recorded_replies(case.recording))


def facts(body: Identity | Liveness) -> dict[str, str | None]:
    return {field.name: getattr(body, field.name) for field in fields(body)}


def check(result: NumberResult, expected: Expected) -> None:
    if expected.error:
        assert isinstance(result, ProviderError), result
        assert result.code == expected.error
        return
    if expected.pending:
        assert isinstance(result, Pending), result
    else:
        assert isinstance(result, LookupAnswer), result
        check_facts(result, expected)
    for key in ("cost", "balance_after"):
        stated = getattr(expected, key)
        if stated is not msgspec.UNSET:
            assert getattr(result, key) == (None if stated is None else Decimal(stated))
    if expected.currency is not msgspec.UNSET:
        assert result.currency == expected.currency


def check_facts(result: LookupAnswer, expected: Expected) -> None:
    assert facts(result.identity or Identity()).items() >= expected.identity.items()
    assert facts(result.liveness or Liveness()).items() >= expected.liveness.items()
    assert expected.method in {None, result.method}


def test_a_recording_replays(case: Case) -> None:
    results = replayed(case)
    assert results.keys() == case.recording.expected.keys()
    for number, expected in case.recording.expected.items():
        check(results[number], expected)
        if isinstance(results[number], LookupAnswer):
            assert results[number].number == number  # type: ignore[union-attr]


def test_a_provider_sends_what_was_recorded(case: Case) -> None:
    provider = make(case.kind, **case.recording.options)
    numbers = [Number(e164) for e164 in case.recording.expected]
    lookup = provider.lookup(numbers, NOW)
    asked = []
    try:
        step = next(lookup)
        for answer in recorded_replies(case.recording):
            asked.append(as_recorded(step))
            step = lookup.send(answer)
    except (StopIteration, ProviderError):
        pass
    assert asked == [exchange.request for exchange in case.recording.exchange]


@pytest.mark.parametrize("case", [*CASES, *NOTICES], ids=named)
def test_what_was_asked_and_not_told_is_said_so_that_nobody_buys_it_again(case: Case) -> None:
    """C5: of every facet that it provides. What is not said is not cached, and the next call would pay for the same answer."""
    provider, results = unchanged(named(case))
    for result in results.values():
        if isinstance(result, LookupAnswer):
            said = {facet for facet in Facet if getattr(result, facet) is not None}
            assert said == provider.provides


@pytest.mark.parametrize("case", BALANCES, ids=named)
def test_a_recorded_balance_is_read(case: Case) -> None:
    provider = make(case.kind, **case.recording.options)
    assert isinstance(provider, Accountable)
    assert case.recording.balance is not None
    if case.recording.balance.error:
        with pytest.raises(ProviderError) as raised:
            play(provider.balance(NOW), recorded_replies(case.recording))
        assert raised.value.code == case.recording.balance.error
        return
    balance, asked = play(provider.balance(NOW), recorded_replies(case.recording))
    assert [as_recorded(step) for step in asked] == [exchange.request for exchange in case.recording.exchange]
    assert not any(step.charged for step in asked)
    assert (balance.amount, balance.currency) == (
        Decimal(case.recording.balance.amount),
        case.recording.balance.currency,
    )


@pytest.mark.parametrize("case", NOTICES, ids=named)
def test_a_recorded_notice_is_read(case: Case) -> None:
    results = noticed(make(case.kind, **case.recording.options), case.recording)
    assert results.keys() == case.recording.expected.keys()
    for number, expected in case.recording.expected.items():
        check(results[number], expected)


@pytest.mark.parametrize("case", [case for case in NOTICES if case.recording.notice.signed], ids=named)  # type: ignore[union-attr]
def test_a_notice_that_was_changed_on_its_way_is_refused(case: Case) -> None:
    """A4: any bit of body or signature, and no signature at all."""
    provider = make(case.kind, **case.recording.options)
    assert isinstance(provider, Notified)
    assert case.recording.notice is not None
    genuine = posted(case.recording.notice)
    forged = [Notice({}, genuine.body), Notice(genuine.headers, genuine.body + b" ")]
    for name in case.recording.notice.signed:
        wrong = ("", "00", genuine.headers[name.lower()][:-2], "é" * 32)
        forged += [Notice({**genuine.headers, name.lower(): signature}, genuine.body) for signature in wrong]
    for notice in forged:
        with pytest.raises(NoticeRefused):
            provider.notice(notice, NOW)


@settings(max_examples=200, deadline=None)
@given(
    body=st.binary(max_size=200) | st.text(max_size=200).map(lambda s: s.encode("utf-8", "surrogatepass")),
    data=st.data(),
)
def test_no_notice_makes_anything_but_a_refusal(body: bytes, data: st.DataObject) -> None:
    """A4, P7"""
    providers = [make(kind) for kind in {case.kind for case in NOTICES}]
    if not providers:
        return
    provider = data.draw(st.sampled_from(providers))
    assert isinstance(provider, Notified)
    with pytest.raises(NoticeRefused):
        provider.notice(Notice({"content-type": "application/json"}, body), NOW)


@pytest.mark.parametrize("case", RECORDED, ids=named)
def test_a_recording_names_its_source(case: Case) -> None:
    assert case.recording.about
    assert (
        case.recording.source.startswith("https://")
        or "made up" in case.recording.source
        or "public" in case.recording.source
    )


def test_there_is_a_good_answer_and_a_refused_key(kind: str) -> None:
    errors = {e.error for case in CASES if case.kind == kind for e in case.recording.expected.values()}
    assert "auth" in errors
    assert first_good(kind)


STATUSES = {401: "auth", 402: "out_of_credit", 403: "auth", 429: "rate_limited", 500: "lost_reply", 504: "lost_reply",
            302: "bad_answer", 404: "rejected", 408: "unavailable"}  # fmt: skip


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_means_what_http_says_unless_the_vendor_means_something_else(kind: str, status: int) -> None:
    """P11, P12, P13: a vendor that means something else has a recording with that status."""
    own = {e.response.status for case in CASES if case.kind == kind for e in case.recording.exchange}
    if status in own:
        pytest.skip("the vendor's own meaning is in its recordings")
    recording = first_good(kind)
    provider = make(kind, **recording.options)
    result = outcomes(provider, [recording.number], [reply(b"<html>", status, {"retry-after": "7"})])[recording.number]
    assert isinstance(result, ProviderError)
    assert (result.code, result.retry_after_s) == (STATUSES[status], 7.0)


@pytest.mark.parametrize("garbage", [*NO_STRICT_JSON, *NO_ANSWER])
def test_garbage_is_a_bad_answer(kind: str, garbage: str) -> None:
    """P7, P10"""
    recording = first_good(kind)
    body = {**NO_STRICT_JSON, **NO_ANSWER}[garbage]
    for status in (200, 204):
        provider = make(kind, **recording.options)
        result = outcomes(provider, [recording.number], [reply(body, status)])[recording.number]
        assert isinstance(result, ProviderProtocolError), result


@settings(max_examples=300, deadline=None)
@given(
    body=st.binary(max_size=200) | st.text(max_size=200).map(lambda s: s.encode("utf-8", "surrogatepass")),
    data=st.data(),
)
def test_no_body_makes_anything_but_a_provider_error(body: bytes, data: st.DataObject) -> None:
    """P7"""
    kind = data.draw(st.sampled_from(KINDS))
    recording = first_good(kind)
    results = outcomes(make(kind, **recording.options), [recording.number], [reply(body)])
    assert isinstance(results[recording.number], ProviderError)


def test_an_answer_for_another_number_is_refused(kind: str) -> None:
    """P8: off by one, and swapped between two requests."""
    for case in GOOD:
        if case.kind != kind or not case.recording.number or case.recording.expect.pending:
            continue  # one that is pending is named by its notice
        other = case.recording.number[:-1] + str((int(case.recording.number[-1]) + 1) % 10)
        result = outcomes(make(kind, **case.recording.options), [other], recorded_replies(case.recording))[other]
        assert isinstance(result, ProviderProtocolError), case.name


def test_the_key_shows_nowhere(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    """A3, S13: not in a repr, a log, a message or a traceback; nor does the number."""
    caplog.set_level(logging.DEBUG)
    shown = []
    provider = make(case.kind, **case.recording.options)
    lookup = provider.lookup([Number(e164) for e164 in case.recording.expected], NOW)
    try:
        results, asked = play(lookup, recorded_replies(case.recording))
        shown += [repr(asked), repr(results.values())]
    except ProviderError as error:
        shown += ["".join(traceback.format_exception(error)), repr(error), repr(error.__dict__)]
    shown += [repr(provider), str(provider), caplog.text]
    for hidden in [*secrets(case.kind), *case.recording.expected]:
        assert hidden.removeprefix("+") not in " ".join(shown).lower()


MEANINGLESS = [None, [], {}, "", "brand_new", 987654, -1, [None], {"a": True}]


def mutations(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a JSON value."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from mutations(item, (*path, key))


def mutate(value: Any, path: tuple[str | int, ...], replacement: object) -> Any:
    """A copy with one place dropped (`...`) or replaced."""
    copied = copy.deepcopy(value)
    holder = copied
    for key in path[:-1]:
        holder = holder[key]
    if replacement is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = replacement
    return copied


def retyped(value: object) -> object:
    """The same said in another type: "true" as true, "1.00" as 1.00, 0 as "0"."""
    if isinstance(value, str):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    return msgspec.json.encode(value).decode() if isinstance(value, bool | int | float) else value


def tri_facts(result: NumberResult) -> dict[str, Tri]:
    if not isinstance(result, LookupAnswer):
        return {}
    found = {**facts(result.identity or Identity()), **facts(result.liveness or Liveness())}
    return {key: value for key, value in found.items() if isinstance(value, Tri)}


@cache
def unchanged(name: str) -> tuple[Provider, Mapping[str, NumberResult]]:
    """A case's provider and what it makes of the recording as it is: once, for a provider holds nothing."""
    case = next(case for case in RECORDED if named(case) == name)
    provider = make(case.kind, **case.recording.options)
    if case.recording.notice is not None:
        return provider, noticed(provider, case.recording)
    return provider, outcomes(provider, list(case.recording.expected), recorded_replies(case.recording))


def assert_no_guess(case: Case, mutated: object) -> None:
    """The same lookup or notice, with `mutated` as its last JSON: every fact is one that was stated before, or unknown."""
    provider, before = unchanged(named(case))
    after: Mapping[str, NumberResult]
    if case.recording.notice is not None:
        changed = msgspec.structs.replace(case.recording.notice, json=mutated)
        try:
            after = noticed(provider, msgspec.structs.replace(case.recording, notice=changed))
        except NoticeRefused:
            return
    else:
        after = outcomes(provider, list(case.recording.expected), with_json(case, mutated))
    for number in after.keys() & before.keys():
        result = after[number]
        said = tri_facts(before[number])
        for key, value in tri_facts(result).items():
            assert value in {said.get(key, Tri.UNKNOWN), Tri.UNKNOWN}, (case.name, key, value)


def with_json(case: Case, mutated: object) -> list[HttpReply]:
    return [*recorded_replies(case.recording)[:-1], reply(msgspec.json.encode(mutated))]


def last_json(case: Case) -> Any:
    notice = case.recording.notice
    return notice.json if notice is not None else case.recording.exchange[-1].response.json


MUTABLE = [case for case in [*GOOD, *NOTICES] if isinstance(last_json(case), list | dict)]


@pytest.mark.parametrize("case", MUTABLE, ids=named)
def test_what_a_vendor_stops_saying_becomes_unknown(case: Case) -> None:
    """P9: every key of every recording dropped and replaced by each meaningless value, one at a time."""
    recorded = last_json(case)
    for path in mutations(recorded):
        for replacement in (..., *MEANINGLESS):
            assert_no_guess(case, mutate(recorded, path, replacement))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_combination_of_changes_makes_a_fact_of_an_unknown(data: st.DataObject) -> None:
    """P9: several changes at once, other types included."""
    case = data.draw(st.sampled_from(MUTABLE))
    changed = last_json(case)
    for _ in range(data.draw(st.integers(1, 5))):
        places = list(mutations(changed))
        if not places:
            break
        path = data.draw(st.sampled_from(places))
        value = changed
        for key in path:
            value = value[key]
        replacement = data.draw(st.sampled_from([..., *MEANINGLESS]) | st.just(retyped(value)) | st.text(max_size=20))
        if isinstance(replacement, str) and replacement.strip().lower() in TRUE_WORDS | FALSE_WORDS:
            continue  # these words do have a meaning
        changed = mutate(changed, path, replacement)
    assert_no_guess(case, changed)
