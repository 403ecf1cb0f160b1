"""The limits that vendors publish, each with what it takes to fill it. Without arguments they are as published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

DEMAND: Final = 2.0
"""Callers ask for this many times what the limit lets through, while the line is not full."""
LINE_S: Final = 2.0
"""How long the line would last if nobody came any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One vendor's limit, None where it has published none, and how it is filled."""

    title: str
    vendor: str  # the simulator's name for it
    at_once: int | None = None  # requests
    per_minute: int | None = None  # requests
    numbers: int  # in a request
    latency_s: float  # of every reply
    account: Mapping[str, object]  # what the simulated vendor allows, as in its `Limits`
    settings: Mapping[str, object]  # of our provider block
    webhooks: bool = False  # it answers by them
    passes_per_s: float  # numbers that can pass at most, by the vendor's limit or by our settings
    ramp_s: float = 0.0  # over which the first requests are spread
    warm_up_s: float  # until all of the limit is in use
    windows: int
    window_s: float

    @property
    def numbers_per_s(self) -> float | None:
        """The most that the published limit lets through."""
        return None if self.at_once is None and self.per_minute is None else self.passes_per_s

    @property
    def demand_per_s(self) -> float:
        return DEMAND * self.passes_per_s

    @property
    def line(self) -> int:
        """Numbers that shall wait."""
        return max(int(LINE_S * self.passes_per_s), 3 * self.numbers)


def hlr_lookup(
    *, at_once: int = 210, numbers: int = 80, latency_s: float = 10.0, windows: int = 3, window_s: float = 4.0
) -> Case:
    """210 requests at once, https://www.hlrlookup.com/knowledge; a slow network takes 10 s.

    Of requests a second nothing is published, so that the simulator's limit of them is off. A vendor's replies do not come all
    together: the first requests are spread over the time that one takes.
    """
    return Case(
        title="HLR Lookup",
        vendor="hlrlookup",
        at_once=at_once,
        numbers=numbers,
        latency_s=latency_s,
        account={"max_connections": at_once, "max_numbers": numbers, "max_per_second": 0},
        settings={"max_concurrency": at_once, "max_batch": numbers, "timeout_s": 30},
        passes_per_s=at_once * numbers / latency_s,
        ramp_s=latency_s,
        warm_up_s=2 * latency_s + 0.5,
        windows=windows,
        window_s=window_s,
    )


def number_portability_lookup(*, latency_s: float = 1.0, windows: int = 5, window_s: float = 3.0) -> Case:
    """5 connections and 10 numbers, of the several figures at https://www.numberportabilitylookup.com/api."""
    return Case(
        title="Number Portability Lookup",
        vendor="npl",
        at_once=5,
        numbers=10,
        latency_s=latency_s,
        account={"max_connections": 5, "max_numbers": 10},
        settings={"max_concurrency": 5, "max_batch": 10},
        passes_per_s=50 / latency_s,
        warm_up_s=2.5 * latency_s,
        windows=windows,
        window_s=window_s,
    )


def sms_partner(
    *,
    numbers: int = 500,
    a_webhook_each: bool = False,
    warm_up_s: float = 5.0,
    windows: int = 5,
    window_s: float = 12.0,
) -> Case:
    """360 requests a minute of 500 numbers, https://www.docpartner.dev/en/api/sms-partner/number-verification/send-a-verification.

    What was found comes as one webhook a request: 3,000 a second, one for each number, are more than one process can take. How it
    goes with one for each is a case of its own, with fewer numbers.
    """
    return Case(
        title="SMS Partner, a webhook a number" if a_webhook_each else "SMS Partner",
        vendor="smspartner",
        per_minute=360,
        numbers=numbers,
        latency_s=0.2,
        account={
            "per_minute": 360,
            "max_numbers": numbers,
            "credit": 100_000,
            "encoding": "json" if a_webhook_each else "list",
            "notice_delay_s": 0.5,
        },
        settings={"max_concurrency": 20, "max_batch": numbers, "max_per_minute": 360},
        webhooks=True,
        passes_per_s=6.0 * numbers,
        warm_up_s=warm_up_s,
        windows=windows,
        window_s=window_s,
    )


def checkmobi(*, at_once: int = 2, latency_s: float = 2.0, windows: int = 5, window_s: float = 3.0) -> Case:
    """1,000 numbers a request, https://checkmobi.com/documentation/api-reference. `at_once` is ours: it limits no requests."""
    return Case(
        title="CheckMobi",
        vendor="checkmobi",
        numbers=1000,
        latency_s=latency_s,
        account={
            "max_numbers": 1000,
            "credit": 100_000,
            "callback_numbers": 10,
            "callback_delay_s": latency_s + 0.2,  # after the acknowledgement
        },
        settings={"max_concurrency": at_once, "max_batch": 1000},
        webhooks=True,
        passes_per_s=at_once * 1000 / latency_s,
        warm_up_s=2.5 * latency_s,
        windows=windows,
        window_s=window_s,
    )


def as_published() -> tuple[Case, ...]:
    """Some three minutes."""
    return (
        hlr_lookup(),
        number_portability_lookup(),
        sms_partner(),
        sms_partner(numbers=100, a_webhook_each=True, windows=2, window_s=6),
        checkmobi(),
    )


def in_short() -> tuple[Case, ...]:
    """Some seconds: smaller limits, and too short for shares to mean much."""
    return (
        hlr_lookup(at_once=20, numbers=8, latency_s=0.3, windows=2, window_s=0.3),
        number_portability_lookup(latency_s=0.2, windows=2, window_s=0.3),
        sms_partner(numbers=20, warm_up_s=0.5, windows=2, window_s=0.5),
        checkmobi(at_once=1, latency_s=0.4, windows=2, window_s=0.4),
    )
