"""Plays a vendor's recorded part to a provider, and makes providers of any kind without knowing the kind."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from agi_lookup.domain.errors import ProviderError
from agi_lookup.domain.model import LookupAnswer, Number
from agi_lookup.providers import loading
from agi_lookup.providers.base import HttpReply, HttpRequest, Notice, Notified, NumberResult, Provider
from agi_lookup.sim.recordings import Posted, Recording, Request

T = TypeVar("T")

NOW = 1_767_225_600.0


def split(plmn: str) -> tuple[str, str] | None:
    """Stands for the MCC/MNC table: two-digit MNCs but in North America."""
    at_end = len(plmn) == (6 if plmn[:2] == "31" else 5)
    return (plmn[:3], plmn[3:]) if at_end else None


def make(kind: str, **given: Any) -> Provider:
    """A provider whose every required option is its first example, or `<its name>`, as the recordings write credentials."""
    found = loading.find(kind)
    required = {
        name: field.examples[0] if field.examples else f"<{name}>"
        for name, field in found.Options.model_fields.items()
        if field.is_required()
    }
    options = found.Options.model_validate({**required, "kind": kind, **given})
    return found.Provider("under-test", options, split)


def secrets(kind: str) -> list[str]:
    """The values, as `make` fills them, that must never show."""
    fields = loading.find(kind).Options.model_fields
    return [f"<{name}>" for name, field in fields.items() if "SecretStr" in str(field.annotation)]


def play(
    lookup: Generator[HttpRequest, HttpReply, T], replies: Iterable[HttpReply | ProviderError]
) -> tuple[T, list[HttpRequest]]:
    """Drive the generator over `replies`; one that asks for more than there are fails the test."""
    asked = []
    pending = iter(replies)
    try:
        step = next(lookup)
        while True:
            asked.append(step)
            reply = next(pending, None)
            assert reply is not None, f"an unexpected request: {step!r}"
            step = lookup.throw(reply) if isinstance(reply, ProviderError) else lookup.send(reply)
    except StopIteration as done:
        return done.value, asked


def outcomes(
    provider: Provider, numbers: Sequence[str], replies: Iterable[HttpReply | ProviderError]
) -> dict[str, NumberResult]:
    """One result a number, whether the provider raised for all or returned an error for each."""
    try:
        results, _ = play(provider.lookup([Number(e164) for e164 in numbers], NOW), replies)
    except ProviderError as error:
        return dict.fromkeys(numbers, error)
    return dict(results)


def reply(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpReply:
    return HttpReply(status, headers or {}, body)


def json_reply(value: object) -> HttpReply:
    return reply(json.dumps(value).encode())


def recorded_replies(recording: Recording) -> list[HttpReply]:
    return [
        HttpReply(e.response.status, {k.lower(): v for k, v in e.response.headers.items()}, b"".join(e.response.pieces))
        for e in recording.exchange
    ]


def noticed(provider: Provider, recording: Recording) -> dict[str, LookupAnswer | ProviderError]:
    """What the provider makes of a recorded webhook."""
    assert isinstance(provider, Notified)
    assert recording.notice is not None
    return dict(provider.notice(posted(recording.notice), NOW))


def posted(notice: Posted) -> Notice:
    """The notice as it comes, signed with `<key>` under the option `key`."""
    headers = {name.lower(): value for name, value in notice.headers.items()}
    for name, how in notice.signed.items():
        algorithm, _, option = how.partition(":")
        digest = hmac.new(f"<{option}>".encode(), notice.body, "sha256").digest()
        headers[name.lower()] = digest.hex() if algorithm == "hmac-sha256-hex" else base64.b64encode(digest).decode()
    return Notice(headers, notice.body)


def as_recorded(request: HttpRequest) -> Request:
    return Request(
        request.method,
        request.url,
        dict(request.query),
        None if request.form is None else dict(request.form),
        request.json if request.body is None else json.loads(request.body),
        dict(request.headers),
    )
