"""Errors that carry their consequences as data, so that no caller needs a ladder of `isinstance`.

"Unknown subscriber", "absent" and "not ported" are answers, not errors: they never appear here.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal


class AgiLookupError(Exception):
    """Base of everything that we raise on purpose."""


class ConfigError(AgiLookupError):
    """The configuration cannot be used. The text is one line: what, where, how to fix it."""


class OutsideError(AgiLookupError):
    """Something outside of us failed (a server, a port, a file). The text is one line."""


class NumberError(AgiLookupError):
    """The dialled string is no number. `code` is a stable word; the string itself is never repeated."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class CacheError(AgiLookupError):
    """A cache tier failed. To a call it is a miss, to the operator a metric and an alarm."""


class CacheNotAsked(CacheError):
    """Nothing was sent to the tier's server, and nothing will be: it is known to be in trouble, or too many wait for it."""


class NoticeRefused(AgiLookupError):
    """A webhook's notice is not believed. `code` is a stable word (`signature`, `malformed`); what came is never repeated."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Overloaded(AgiLookupError):
    """No more lookups may start now: answer at once without one."""


class ProviderError(AgiLookupError):
    """A provider failed to answer. The class says what follows; the text holds no number and no credential."""

    code: ClassVar[str] = "provider_error"  # stable word: LOOKUP_ERROR, metric label
    try_next: ClassVar[bool] = True  # another provider may know
    unhealthy: ClassVar[bool] = True  # the breaker counts it
    alarm: ClassVar[bool] = False  # an operator must act
    remember_s: float = 0.0  # skip this provider for this number so long; one error may know better than its class
    maybe_charged: ClassVar[bool] = False  # outcome unknown: counts as spent, never retried at once
    repeatable: ClassVar[bool] = (
        False  # nothing was done, and the same request may do better: once, within the retry budget
    )

    def __init__(self, detail: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(detail or self.code)
        self.retry_after_s = retry_after_s


UNKNOWN_OUTCOME_S: Final = 30.0
"""A request that may have been billed is not repeated for the same number so soon."""


class ProviderTimeout(ProviderError):
    code = "timeout"
    maybe_charged = True
    remember_s = UNKNOWN_OUTCOME_S


class ProviderSilent(ProviderTimeout):
    """It takes numbers, and money, and its webhooks do not come: `public_url` is wrong, or a firewall is in the way."""

    code = "no_webhook"
    alarm = True


class ProviderUnavailable(ProviderError):
    """Not reached, or broken off before anything was sent: the provider did no work."""

    code = "unavailable"
    repeatable = True


class ProviderOutcomeUnknown(ProviderUnavailable):
    """The request was sent, and the reply was lost or was a 5xx: it may have been billed."""

    code = "lost_reply"
    repeatable = False
    maybe_charged = True
    remember_s = UNKNOWN_OUTCOME_S


class ProviderTlsError(ProviderUnavailable):
    """The peer could not prove who it is. No credential was sent."""

    code = "tls"
    repeatable = False
    alarm = True


class ProviderBusy(ProviderError):
    """All its connections are in use and stayed so: nothing was sent."""

    code = "busy"
    unhealthy = False


class ProviderShut(ProviderError):
    """Not asked at all, because of what it said or failed to say before. `why` is the code of the error that shut it."""

    code = "shut"
    unhealthy = False

    def __init__(self, why: str) -> None:
        super().__init__(f"shut: {why}")
        self.why = why


class ProviderRateLimited(ProviderError):
    """Too many requests for the whole `provider`, or only for the `network` that the number belongs to."""

    code = "rate_limited"
    unhealthy = False
    repeatable = True

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after_s: float | None = None,
        scope: Literal["provider", "network"] = "provider",
    ) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.scope = scope


class ProviderAuthError(ProviderError):
    """The vendor refuses our credentials: stays so until the config changes."""

    code = "auth"
    alarm = True


class ProviderOutOfCredit(ProviderError):
    code = "out_of_credit"
    alarm = True


class ProviderOverBudget(ProviderError):
    """A cap of our own would be overshot: nothing was sent."""

    code = "over_budget"
    unhealthy = False


class ProviderNotBooked(ProviderError):
    """The ledger cannot be written, and what cannot be booked is not sent."""

    code = "not_booked"
    unhealthy = False


class ProviderNotCovered(ProviderError):
    """No coverage for this range: a fact about the number, not about the provider."""

    code = "not_covered"
    unhealthy = False
    remember_s = 6 * 3600.0


class ProviderRejected(ProviderError):
    """The vendor calls our request malformed (400, 422)."""

    code = "rejected"
    unhealthy = False
    remember_s = 60.0


class ProviderFailedNumber(ProviderError):
    """The vendor or its partner failed on this one number (e.g. GSM error 34); others may be fine."""

    code = "provider_failure"
    unhealthy = False
    remember_s = 60.0
    maybe_charged = True


class ProviderProtocolError(ProviderError):
    """The body cannot be understood, or speaks of another number."""

    code = "bad_answer"
    maybe_charged = True
    remember_s = UNKNOWN_OUTCOME_S
