"""What a described vendor calls an error: rules in order, the first that holds decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from agi_lookup.domain.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderFailedNumber,
    ProviderNotCovered,
    ProviderOutcomeUnknown,
    ProviderOutOfCredit,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
)
from agi_lookup.providers.base import HttpReply
from agi_lookup.providers.http_json_paths import STRICT, Path, Words, value_at, word_of
from agi_lookup.providers.replies import Json, retry_after_s

TEXT_LOOKED_AT: Final = 256
"""Bytes of the body that a `text` may be found at the start of."""

NOTHING: Final = frozenset({"0", "false"})
"""Words that report no error, as null, an empty text and an empty object do."""

Meaning: TypeAlias = Literal[
    "auth", "out_of_credit", "rate_limited", "not_covered", "rejected", "provider_failure", "unavailable", "lost_reply"
]  # fmt: skip
ERRORS: Final[dict[str, type[ProviderError]]] = {
    error.code: error
    for error in (
        ProviderAuthError, ProviderOutOfCredit, ProviderRateLimited, ProviderNotCovered, ProviderRejected,
        ProviderFailedNumber, ProviderUnavailable, ProviderOutcomeUnknown,
    )
}  # fmt: skip

Statuses: TypeAlias = Annotated[
    frozenset[Annotated[int, Field(ge=100, le=599)]],
    BeforeValidator(lambda value: value if isinstance(value, list | tuple | frozenset) else [value]),
]


class Saying(BaseModel):
    """What stands at `path` is one of the words `in`, and none of `not_in` (a missing value is none). Alone: it says something."""

    model_config = STRICT

    path: Path
    in_: Words | None = Field(default=None, alias="in")
    not_in: Words | None = None

    def holds(self, found: Json, e164: str) -> bool:
        return _says(value_at(found, self.path, e164), self.in_, self.not_in)


class When(BaseModel):
    """All that is named must hold: the HTTP status, what stands at `path`, the start of the body."""

    model_config = STRICT

    status: Statuses | None = None
    path: Path | None = None
    in_: Words | None = Field(default=None, alias="in")
    not_in: Words | None = None
    text: str | None = Field(default=None, min_length=1, max_length=TEXT_LOOKED_AT)

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.status is None and self.path is None and self.text is None:
            raise ValueError("name at least one of status, path and text")
        if self.path is None and (self.in_ is not None or self.not_in is not None):
            raise ValueError("in and not_in need a path")
        return self

    def holds(self, reply: HttpReply, found: Json, e164: str) -> bool:
        return (
            (self.status is None or reply.status in self.status)
            and (self.text is None or _starts_with(reply.body, self.text))
            and (self.path is None or self._path_says(found, e164))
        )

    def _path_says(self, found: Json, e164: str) -> bool:
        """A body that could not be read says nothing, not even "none of these"."""
        return found is not None and _says(value_at(found, self.path, e164), self.in_, self.not_in)


class Rule(BaseModel):
    model_config = STRICT

    when: When
    means: Meaning


def raise_for_rules(rules: Sequence[Rule], reply: HttpReply, found: Json, e164: str, now: float) -> None:
    """Raise what the first rule that holds means. `found` is the body where it could be read, else None."""
    for rule in rules:
        if rule.when.holds(reply, found, e164):
            detail = f"the vendor's word for {rule.means}, HTTP {reply.status}"
            raise ERRORS[rule.means](detail, retry_after_s=retry_after_s(reply.headers, now))


def _says(value: Json, in_: Words | None, not_in: Words | None) -> bool:
    said = word_of(value)
    if in_ is None and not_in is None:
        return bool(value) and said not in NOTHING
    return (in_ is None or said in in_) and (not_in is None or said not in not_in)


def _starts_with(body: bytes, text: str) -> bool:
    start = body[:TEXT_LOOKED_AT].decode("utf-8", "replace").strip()
    return start.casefold().startswith(text.casefold())
