"""What a block of kind `enum_dns` may say: whom to ask, and how to read the vendor's words."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from agi_lookup.domain.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderFailedNumber,
    ProviderNotCovered,
    ProviderOutcomeUnknown,
    ProviderOutOfCredit,
    ProviderRateLimited,
    ProviderRejected,
)
from agi_lookup.providers.base import SourceOptions

Template: TypeAlias = Literal["auto", "parameters", "pstn", "sip3gpp"]
Fact: TypeAlias = Literal[
    "carrier", "mcc", "mnc", "mccmnc", "orig_carrier", "orig_mcc", "orig_mnc", "ported", "lrn", "ocn", "spid", "type",
    "country", "cost", "error",
]  # fmt: skip
Rcode: TypeAlias = Literal["formerr", "servfail", "notimp", "refused", "notauth", "notzone"]
Trouble: TypeAlias = Literal[
    "auth", "lost_reply", "not_covered", "out_of_credit", "provider_failure", "rate_limited", "rejected"
]

FACTS: Final[Mapping[Fact, tuple[str, ...]]] = {
    "carrier": ("cn", "operator"),
    "mcc": ("mcc",),
    "mnc": ("mnc",),
    "mccmnc": ("mccmnc",),
    "orig_mcc": ("omcc",),
    "orig_mnc": ("omnc",),
    "ported": ("ported", "np"),
    "lrn": ("rn",),
    "ocn": ("ocn",),
    "spid": ("spn",),
    "type": ("nt",),
    "country": ("cc", "country"),
    "cost": ("cost",),
    "error": ("err", "error"),
}
"""Where vendors put a fact, unless the block's `fields` say otherwise. RFC 4694's `cic` is the carrier of a freephone number."""
TROUBLES: Final[Mapping[str, type[ProviderError]]] = {
    error.code: error
    for error in (
        ProviderAuthError, ProviderFailedNumber, ProviderNotCovered, ProviderOutcomeUnknown, ProviderOutOfCredit,
        ProviderRateLimited, ProviderRejected,
    )
}  # fmt: skip
RCODES: Final[Mapping[int, tuple[Rcode, Trouble]]] = {
    1: ("formerr", "rejected"),
    2: ("servfail", "lost_reply"),
    4: ("notimp", "rejected"),
    5: ("refused", "auth"),  # the account is the client's address
    9: ("notauth", "auth"),
    10: ("notzone", "not_covered"),
}
"""RFC 6895's names, and what each says where the vendor does not say otherwise."""

DNS_PORT: Final = 53
_LABEL: Final = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"


_SERVER: Final = re.compile(r"(?:\[([^\]]+)\]|([^:]+))(?::([0-9]{1,5}))?")


def address(server: str) -> tuple[str, int]:
    """`192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[2001:db8::1]:5353` -> host and port. Raises `ValueError`."""
    found = _SERVER.fullmatch(server)
    host, port = (found[1] or found[2], int(found[3] or DNS_PORT)) if found else (server, DNS_PORT)
    try:
        host = str(ipaddress.ip_address(host))
    except ValueError:
        port = 0
    if not 0 < port < 65536:
        raise ValueError("a server is an IP address, and a port: 192.0.2.1:5353, [2001:db8::1]:5353")
    return host, port


def _checked(server: str) -> str:
    address(server)
    return server


class Options(SourceOptions):
    zone: str = Field(
        pattern=rf"^({_LABEL}\.)*{_LABEL}$", max_length=200, description="what comes behind the digits: e164.arpa",
        examples=["e164.arpa"],
    )  # fmt: skip
    servers: tuple[Annotated[str, AfterValidator(_checked)], ...] = Field(
        default=(), description="IP:PORT, the next one when the first does not answer; default: the system's"
    )
    timeout_s: float = Field(default=2.0, gt=0, le=60, description="of a lookup, with its retries")
    retries: int = Field(
        default=0,
        ge=0,
        le=3,
        description="further questions when one is lost, or its answer too long; only where they are free",
    )
    max_concurrency: int = Field(default=100, ge=1, le=10_000, description="questions under way at once")
    template: Template = Field(
        default="auto",
        description="what is read beside mcc=, mnc=, ported= ...: `pstn` takes `rn` for ported and `npdi` alone for not"
        " ported, `sip3gpp` reads mncXX.mccYYY of the host, `auto` does both, `parameters` neither",
    )
    fields: dict[Fact, str] = Field(
        default_factory=dict, description="the vendor's parameter for a fact: {carrier: cic}; empty: none"
    )
    errors: dict[str, Trouble | Literal["ok"]] = Field(
        default_factory=dict, description="what the vendor's error parameter means, by value: {'254': not_covered}"
    )
    rcodes: dict[Rcode, Trouble] = Field(
        default_factory=dict, description="what a code of the DNS means at this vendor: {refused: rejected}"
    )
    nxdomain: Literal["not_covered", "not_ported"] = Field(
        default="not_covered", description="what it means that the zone does not hold a number"
    )
    currency: Literal["EUR", "USD", "credits", "none"] = Field(
        default="EUR", description="that questions are billed in, and the vendor's cost= is in; `none`: they are free"
    )

    @model_validator(mode="after")
    def _is_billed_as_it_is_booked(self) -> Self:
        if self.retries and self.currency != "none":
            raise ValueError(
                "retries: each question is billed, and one a lookup is booked; 0, or currency: none where they are free"
            )
        return self
