"""What every provider must do, by its recordings alone: no code here knows a vendor."""

from __future__ import annotations

import copy
import logging
import traceback
from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.domain.errors import ProviderError, ProviderProtocolError
from agi_lookup.domain.model import Identity, Liveness, LookupAnswer, Number, Tri
from agi_lookup.providers.base import HttpReply, NumberResult
from agi_lookup.sim import recordings
from agi_lookup.sim.recordings import Expected, Recording
from tests.providers.garbage import NO_ANSWER, NO_STRICT_JSON
from tests.providers.replay import NOW, as_recorded, make, outcomes, play, recorded_replies, reply, secrets

KINDS = recordings.kinds()


class Case(NamedTuple):
    kind: str
    name: str
    recording: Recording


CASES = [Case(kind, name, recording) for kind in KINDS for name, recording in recordings.load(kind).items()]
GOOD = [
    case for case in CASES
    if any(expected.liveness or expected.identity for expected in case.recording.expected.values())
]  # fmt: skip


@pytest.fixture(params=CASES, ids=lambda case: f"{case.kind}-{case.name}")
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def first_good(kind: str) -> Recording:
    return next(case.recording for case in GOOD if case.kind == kind and case.recording.number)


def replayed(case: Case, replies: list[HttpReply] | None = None) -> dict[str, NumberResult]:
    provider = make(case.kind, **case.recording.options)
    return outcomes(provider, list(case.recording.expected), replies or recorded_replies(case.recording))


def facts(body: Identity | Liveness) -> dict[str, str | None]:
    return {field.name: getattr(body, field.name) for field in fields(body)}


def check(result: NumberResult, expected: Expected) -> None:
    if expected.error:
        assert isinstance(result, ProviderError), result
        assert result.code == expected.error
        return
    assert isinstance(result, LookupAnswer), result
    assert facts(result.identity or Identity()).items() >= expected.identity.items()
    assert facts(result.liveness or Liveness()).items() >= expected.liveness.items()
    assert expected.method in {None, result.method}
    for key in ("cost", "balance_after"):
        stated = getattr(expected, key)
        if stated is not msgspec.UNSET:
            assert getattr(result, key) == (None if stated is None else Decimal(stated))
    if expected.currency is not msgspec.UNSET:
        assert result.currency == expected.currency


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
    result = outcomes(make(kind), [recording.number], [reply(b"<html>", status, {"retry-after": "7"})])[
        recording.number
    ]
    assert isinstance(result, ProviderError)
    assert (result.code, result.retry_after_s) == (STATUSES[status], 7.0)


@pytest.mark.parametrize("garbage", [*NO_STRICT_JSON, *NO_ANSWER])
def test_garbage_is_a_bad_answer(kind: str, garbage: str) -> None:
    """P7, P10"""
    number = first_good(kind).number
    body = {**NO_STRICT_JSON, **NO_ANSWER}[garbage]
    for status in (200, 204):
        result = outcomes(make(kind), [number], [reply(body, status)])[number]
        assert isinstance(result, ProviderProtocolError), result


@settings(max_examples=300, deadline=None)
@given(
    body=st.binary(max_size=200) | st.text(max_size=200).map(lambda s: s.encode("utf-8", "surrogatepass")),
    data=st.data(),
)
def test_no_body_makes_anything_but_a_provider_error(body: bytes, data: st.DataObject) -> None:
    """P7"""
    kind = data.draw(st.sampled_from(KINDS))
    number = first_good(kind).number
    assert isinstance(outcomes(make(kind), [number], [reply(body)])[number], ProviderError)


def test_an_answer_for_another_number_is_refused(kind: str) -> None:
    """P8: off by one, and swapped between two requests."""
    for case in GOOD:
        if case.kind != kind or not case.recording.number:
            continue
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


def assert_no_guess(case: Case, replies: list[HttpReply]) -> None:
    before, after = replayed(case), replayed(case, replies)
    for number, result in after.items():
        said = tri_facts(before[number])
        for key, value in tri_facts(result).items():
            assert value in {said.get(key, Tri.UNKNOWN), Tri.UNKNOWN}, (case.name, key, value)


def with_json(case: Case, mutated: object) -> list[HttpReply]:
    return [*recorded_replies(case.recording)[:-1], reply(msgspec.json.encode(mutated))]


MUTABLE = [case for case in GOOD if isinstance(case.recording.exchange[-1].response.json, list | dict)]


@pytest.mark.parametrize("case", MUTABLE, ids=lambda case: f"{case.kind}-{case.name}")
def test_what_a_vendor_stops_saying_becomes_unknown(case: Case) -> None:
    """P9: every key of every recording dropped and replaced by each meaningless value, one at a time."""
    recorded = case.recording.exchange[-1].response.json
    for path in mutations(recorded):
        for replacement in (..., *MEANINGLESS):
            assert_no_guess(case, with_json(case, mutate(recorded, path, replacement)))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_combination_of_changes_makes_a_fact_of_an_unknown(data: st.DataObject) -> None:
    """P9: several changes at once, other types included."""
    case = data.draw(st.sampled_from(MUTABLE))
    changed = case.recording.exchange[-1].response.json
    for _ in range(data.draw(st.integers(1, 5))):
        places = list(mutations(changed))
        if not places:
            break
        path = data.draw(st.sampled_from(places))
        value = changed
        for key in path:
            value = value[key]
        replacement = data.draw(st.sampled_from([..., *MEANINGLESS]) | st.just(retyped(value)) | st.text(max_size=20))
        if isinstance(replacement, str) and replacement.strip().lower() in {"true", "false", "yes", "no", "y", "n"}:
            continue  # these words do have a meaning
        changed = mutate(changed, path, replacement)
    assert_no_guess(case, with_json(case, changed))
