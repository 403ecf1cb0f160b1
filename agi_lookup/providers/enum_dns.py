"""ENUM: number portability over DNS. NAPTR records under a zone, as vendors and national registries serve them.

Protocol: RFC 6116 (ENUM), RFC 4694 (`npdi`, `rn`), RFC 4769 (E2U+pstn). Shapes: https://help.datafon.co.uk,
https://docs.mitto.ch/number-lookup-enum, https://developers.sinch.com/docs/number-lookup-enum-interface,
https://www.tmtanalysis.com/developer/tmt_live_v1.html, https://docs.engy.solutions/reference/enum-query-and-response-examples.
Quirk: each question may be billed, also one that finds nothing, so one lookup sends one; more (`retries`) where they are free.
Codes of the DNS mean something else at each vendor (`rcodes`), and an answer may hold an error of its own (`err=1`, even beside
the code REFUSED).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from agi_lookup.domain.errors import ProviderError, ProviderNotCovered, ProviderProtocolError
from agi_lookup.domain.model import Facet, Identity, LookupAnswer, Method, Number, NumberType, Tri
from agi_lookup.providers.base import NumberResult, PlmnSplit
from agi_lookup.providers.dns_message import NXDOMAIN, NaptrReply
from agi_lookup.providers.enum_naptr import Uri, apply, in_order, read
from agi_lookup.providers.enum_options import FACTS, RCODES, TROUBLES, Fact, Options
from agi_lookup.providers.replies import ChargedAbsence, amount, digits, network, text, tri, word

if TYPE_CHECKING:
    from agi_lookup.providers.dns import DnsDriver

ECHOES: Final = ("tel", "msisdn")
TYPES: Final = {
    "mobile": NumberType.MOBILE, "fixed": NumberType.LANDLINE, "landline": NumberType.LANDLINE, "voip": NumberType.VOIP
}  # fmt: skip
_ROUTING_NUMBER: Final = re.compile(r"[0-9A-Fa-f]{1,24}")
_IMS_HOST: Final = re.compile(r"(.+\.)?mnc([0-9]{2,3})\.mcc([0-9]{3})\.3gppnetwork\.org")
_NANP_LENGTH: Final = 11
MIN_PAID_TTL_S: Final = 60.0
"""How long an answer that was paid for is kept at least, and an absence remembered."""


@dataclass(frozen=True, slots=True, repr=False)
class NaptrQuery:
    """One question; the name holds the number."""

    name: str


EnumLookup: TypeAlias = Generator[NaptrQuery, NaptrReply, Mapping[str, NumberResult]]


class Provider:
    """One zone."""

    kind: ClassVar[str] = "enum_dns"
    provides: ClassVar[frozenset[Facet]] = frozenset({Facet.IDENTITY})

    def __init__(self, name: str, options: Options, split: PlmnSplit) -> None:
        self.name = name
        self.currency = "" if options.currency == "none" else options.currency
        self._options = options
        self._split = split
        self._fields: dict[Fact, tuple[str, ...]] = {
            **FACTS,
            **{fact: (theirs.lower(),) if theirs else () for fact, theirs in options.fields.items()},
        }
        self._infers = options.template in {"auto", "pstn"}
        self._reads_host = options.template in {"auto", "sip3gpp"}

    def lookup(self, numbers: Sequence[Number], now: float) -> EnumLookup:
        results: dict[str, NumberResult] = {}
        for number in numbers:
            try:
                reply = yield NaptrQuery(f"{'.'.join(reversed(number.e164[1:]))}.{self._options.zone}")
                results[number.e164] = self._result(number, reply, now)
            except ProviderError as error:
                results[number.e164] = error
        return results

    def _result(self, number: Number, reply: NaptrReply, now: float) -> NumberResult:
        """Raises `ProviderError`."""
        said = _said(number, reply)
        if said is not None:
            self._raise_for_error(said)
        if reply.rcode not in {0, NXDOMAIN}:
            raise self._rcode_error(reply.rcode)
        if reply.rcode == NXDOMAIN and self._options.nxdomain == "not_ported":
            return self._answer(number, Identity(ported=Tri.NO), None, now, reply.negative_ttl_s)
        if not reply.records:
            raise self._not_in_zone(reply.negative_ttl_s)
        if said is None:
            raise ProviderProtocolError("no record that can be used")
        return self._answer(number, self._identity(number, said), said, now, reply.ttl_s)

    def _not_in_zone(self, negative_ttl_s: int | None) -> ProviderError:
        error = ChargedAbsence("not in the zone") if self.currency else ProviderNotCovered("not in the zone")
        if negative_ttl_s is not None:
            error.remember_s = min(self._at_least(negative_ttl_s), ProviderNotCovered.remember_s)
        return error

    def _at_least(self, ttl_s: float) -> float:
        """Zones that bill each question serve TTLs of 0, and not every call may buy the same again."""
        return max(float(ttl_s), MIN_PAID_TTL_S if self.currency else 0.0)

    def _raise_for_error(self, said: Uri) -> None:
        code = self._stated(said, "error")
        trouble = self._options.errors.get(code, "ok" if code in {"", "0"} else "provider_failure")
        if trouble != "ok":
            raise TROUBLES[trouble](f"error {digits(code, 1, 6) or 'of the vendor'}")

    def _rcode_error(self, rcode: int) -> ProviderError:
        name, usual = RCODES.get(rcode, (None, None))
        trouble = self._options.rcodes.get(name, usual) if name else None
        return TROUBLES.get(trouble or "", ProviderProtocolError)(f"DNS code {rcode}")

    def _answer(
        self, number: Number, identity: Identity, said: Uri | None, now: float, ttl_s: float | None
    ) -> LookupAnswer:
        stated = amount(self._stated(said, "cost")) if said and self.currency else None
        cost = stated if stated is not None and stated >= 0 else None
        return LookupAnswer(
            number.e164,
            self.name,
            Method.MNP,
            now,
            identity=identity,
            cost=cost,
            currency=self.currency if cost else None,
            fresh_s=None if ttl_s is None else self._at_least(ttl_s),
        )

    def _identity(self, number: Number, said: Uri) -> Identity:
        carrier, lrn = text(self._stated(said, "carrier")), self._lrn(number, said)
        mcc, mnc = self._network(said) or (None, None)
        ported = self._ported(said, lrn)
        original = (carrier, mcc, mnc) if ported is Tri.NO else self._original(said)
        country = word(self._stated(said, "country"), 2) or ""
        return Identity(
            carrier, mcc, mnc, *original,
            ported=ported,
            type=TYPES.get(self._stated(said, "type").lower(), NumberType.UNKNOWN),
            country=country.upper() if len(country) == 2 and country.isalpha() else None,
            lrn=lrn,
            ocn=word(self._stated(said, "ocn")),
            spid=word(self._stated(said, "spid")),
        )  # fmt: skip

    def _stated(self, said: Uri, fact: Fact) -> str:
        """The vendor's text; empty where there is none. `null` is no text."""
        found = (said.parameters[name] for name in self._fields.get(fact, ()) if said.parameters.get(name))
        return next((value for value in found if value.lower() != "null"), "")

    def _network(self, said: Uri) -> tuple[str, str] | None:
        stated = network(self._stated(said, "mcc"), self._stated(said, "mnc"))
        plmn = digits(self._stated(said, "mccmnc"), 5, 6)
        return (
            stated or (self._split(plmn) if plmn else None) or (self._of_host(said.host) if self._reads_host else None)
        )

    def _of_host(self, host: str) -> tuple[str, str] | None:
        """`ims.mnc002.mcc262.3gppnetwork.org`: 3GPP TS 23.003 fills two-digit MNCs up with a zero, so the table must know which."""
        found = _IMS_HOST.fullmatch(host.removesuffix("."))
        if found is None:
            return None
        mnc, mcc = found[2], found[3]
        if len(mnc) == 2 or mnc[0] != "0":
            return mcc, mnc
        known = [split for code in (mnc, mnc[1:]) if (split := self._split(mcc + code)) == (mcc, code)]
        return known[0] if len(known) == 1 else None

    def _lrn(self, number: Number, said: Uri) -> str | None:
        """Digits, in some countries hexadecimal. North America's without its 1, as all there write it."""
        stated = self._stated(said, "lrn").translate(str.maketrans("", "", "-.()")).removeprefix("+")
        if not _ROUTING_NUMBER.fullmatch(stated):
            return None
        is_nanp = number.e164.startswith("+1") and len(stated) == _NANP_LENGTH and stated[0] == "1"
        return stated[1:] if is_nanp else stated

    def _ported(self, said: Uri, lrn: str | None) -> Tri:
        """The vendor's own word, even where that is "n/a"; else what RFC 4694 makes of a routing number, or of a dip without."""
        stated = self._stated(said, "ported")
        if stated or not self._infers:
            return tri(stated)
        if lrn is not None:
            return Tri.YES
        return Tri.NO if "npdi" in said.parameters and "rn" not in said.parameters else Tri.UNKNOWN

    def _original(self, said: Uri) -> tuple[str | None, str | None, str | None]:
        stated = network(self._stated(said, "orig_mcc"), self._stated(said, "orig_mnc"))
        return text(self._stated(said, "orig_carrier")), *(stated or (None, None))


def _said(number: Number, reply: NaptrReply) -> Uri | None:
    """The best rule that applies and says something, else one that applies. Raises `ProviderProtocolError` for another number's."""
    applied = [
        read(uri) for record in in_order(reply.records) if (uri := apply(record.regexp, number.e164)) is not None
    ]
    for said in applied:
        echoes = [
            said.number,
            *(f"+{said.parameters[name].removeprefix('+')}" for name in ECHOES if said.parameters.get(name)),
        ]
        if any(echo not in {None, number.e164} for echo in echoes):
            raise ProviderProtocolError("a record of another number")
    return next((said for said in applied if said.parameters), applied[0] if applied else None)


def open_driver(options: Options) -> DnsDriver:
    """Imported late: a config without ENUM needs no sockets for it. Raises `ConfigError`."""
    from agi_lookup.providers.dns import DnsDriver  # noqa: PLC0415

    return DnsDriver(options)
