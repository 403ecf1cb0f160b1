"""Reads a described vendor's reply: from its words to ours.

A word that no map names is unknown. A fact needs its witness: not ported needs a network that was found, a reason needs the
reachability that it explains, and of liveness only a method that asks the subscriber's network may speak.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal

from agi_lookup.domain.errors import ProviderError, ProviderProtocolError
from agi_lookup.domain.model import Identity, Liveness, Method, NumberType, Reason, Tri
from agi_lookup.providers import gsm
from agi_lookup.providers.base import HttpReply, PlmnSplit
from agi_lookup.providers.http_json_answer import IDENTITY_PATHS, LIVENESS_PATHS, Answer, Values
from agi_lookup.providers.http_json_paths import fill, stands, value_at, word_of
from agi_lookup.providers.replies import Json, amount, digits, integer, network, strict_json, text, tri, word

CODE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}|[0-9]{1,6}")
"""A status word or a small number: nothing that could be a subscriber's."""

COMPACT: Final = re.compile(r"^([0-9]{8})([0-9]{6})$", re.ASCII)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
OWN_TYPES: Final = {kind.value: kind for kind in NumberType}
OWN_REASONS: Final = {reason.value: reason for reason in Reason}

AGREES: Final[Mapping[Tri, frozenset[Reason]]] = {
    Tri.YES: frozenset({Reason.OK, Reason.BUSY}),
    Tri.NO: frozenset(Reason) - {Reason.OK, Reason.BUSY, Reason.NETWORK_ONLY},
    Tri.UNKNOWN: frozenset({
        Reason.NO_TELESERVICE, Reason.FACILITY_NOT_SUPPORTED, Reason.NO_COVERAGE, Reason.NETWORK_ONLY, Reason.NOT_APPLICABLE,
        Reason.INCONCLUSIVE, Reason.PROVIDER_FAILURE, Reason.TIMEOUT,
    }),
}  # fmt: skip
"""Which reasons can explain a reachability. A reason can block a call, so one that contradicts is dropped."""


def body_of(reply: HttpReply, answer: Answer) -> Json:
    """Raises `ProviderProtocolError`."""
    return _pairs(reply.body) if answer.format == "pairs" else strict_json(reply.body)


def _pairs(body: bytes) -> Json:
    """`key=value;key=value`, or one a line; what is no pair is passed over."""
    try:
        parts = re.split(r"[;\r\n]+", body.decode("utf-8"))
    except UnicodeDecodeError:
        parts = []
    pairs = [(key.strip(), value.strip()) for key, equals, value in (part.partition("=") for part in parts) if equals]
    if not pairs or len(dict(pairs)) != len(pairs):
        raise ProviderProtocolError("no key=value pairs, or a key that stands twice")
    return dict(pairs)


def record_of(found: Json, answer: Answer, e164: str) -> Json:
    """The part of the reply that is about our number. Raises `ProviderProtocolError` when none is."""
    record = value_at(found, answer.record, e164) if answer.record else found
    if isinstance(record, list) and answer.number:
        record = _one([item for item in record if _is_ours(item, answer, e164)])
    elif answer.number and not _is_ours(record, answer, e164):
        raise ProviderProtocolError("no record for the number that was asked")
    paths = (getattr(answer, name) for name in (*IDENTITY_PATHS, *LIVENESS_PATHS))
    if not any(stands(record, path, e164) for path in paths if path is not None):
        raise ProviderProtocolError("none of the keys that were expected")
    return record


def _one(records: list[Json]) -> Json:
    if not records:
        raise ProviderProtocolError("no record for the number that was asked")
    if any(record != records[0] for record in records):
        raise ProviderProtocolError("several records that contradict each other")
    return records[0]


def _is_ours(record: Json, answer: Answer, e164: str) -> bool:
    ours = fill("{national}" if answer.number_as == "national" else "{digits}", e164)
    return word_of(value_at(record, answer.number, e164)).removeprefix("+") == ours


class Reader:
    """Reads one record. The readers never raise: what is odd is unknown."""

    def __init__(self, record: Json, answer: Answer, values: Values, split: PlmnSplit, e164: str) -> None:
        self._record = record
        self._answer = answer
        self._values = values
        self._split = split
        self._e164 = e164

    def identity(self) -> Identity:
        carrier, original = text(self._at("carrier")), text(self._at("orig_carrier"))
        current, issued = self._network(""), self._network("orig_")
        ported = self._tri("ported")
        if ported is Tri.NO and not (carrier or original or current or issued):
            ported = Tri.UNKNOWN  # nothing was compared
        if ported is Tri.NO:  # it is one network, wherever it is named
            carrier, original = carrier or original, original or carrier
            current, issued = current or issued, issued or current
        mcc, mnc = current or (None, None)
        orig_mcc, orig_mnc = issued or (None, None)
        return Identity(
            carrier, mcc, mnc, original, orig_mcc, orig_mnc,
            ported=ported,
            ported_date=_date(self._at("ported_date")),
            type=self._type(),
            country=_country(self._at("country")),
            lrn=digits(self._at("lrn"), 10, 10),
            ocn=word(self._at("ocn")),
            spid=word(self._at("spid")),
        )  # fmt: skip

    def method(self) -> Method:
        """How this answer was come by: without `live_when`, nobody asked the subscriber's network."""
        method, live_when = self._answer.method, self._answer.live_when
        if method is not Method.HLR or live_when is None or live_when.holds(self._record, self._e164):
            return method
        return Method.MNP

    def liveness(self) -> Liveness | None:
        """None where the vendor never knows. Not asked and not told is an answer, or the next call would buy the same again."""
        answer = self._answer
        if answer.method is not Method.HLR:
            return None
        if self.method() is not Method.HLR:
            return Liveness(reason=Reason.INCONCLUSIVE if self.identity().empty else Reason.NETWORK_ONLY)
        if answer.gsm_error is not None:
            meaning = self._gsm_meaning()
            return Liveness(meaning.reachable, meaning.reason, meaning.valid, self._tri("roaming"))
        reachable = self._tri("reachable")
        return Liveness(reachable, self._reason(reachable), self._tri("valid"), self._tri("roaming"))

    def failure(self) -> ProviderError | None:
        """What the vendor's code is when the record holds nothing else."""
        failure = self._gsm_meaning().failure
        return failure(f"GSM error {self.code()}") if failure else None

    def cost(self) -> Decimal | None:
        stated = amount(self._at("cost"))
        return stated if stated is not None and stated >= 0 else None

    def balance(self) -> Decimal | None:
        return amount(self._at("balance"))

    def code(self) -> str:
        value = self._at("gsm_error" if self._answer.gsm_error and not self._answer.code else "code")
        said = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
        return said if CODE.fullmatch(said) else ""

    def observed_at(self, now: float) -> float:
        """Unix seconds: the vendor's own time where it states one with an offset, else `now`."""
        stated = _time(self._at("observed_at"))
        return now if stated is None or stated.tzinfo is None else (stated - EPOCH).total_seconds()

    def _gsm_meaning(self) -> gsm.Meaning:
        return gsm.meaning(integer(self._at("gsm_error")))

    def _at(self, fact: str) -> Json:
        return value_at(self._record, getattr(self._answer, fact), self._e164)

    def _tri(self, fact: Literal["reachable", "valid", "ported", "roaming"]) -> Tri:
        value, known = self._at(fact), getattr(self._values, fact)
        return tri(value) if known is None else known.get(word_of(value), Tri.UNKNOWN)

    def _type(self) -> NumberType:
        known = OWN_TYPES if self._values.type is None else self._values.type
        return known.get(word_of(self._at("type")), NumberType.UNKNOWN)

    def _reason(self, reachable: Tri) -> Reason:
        known = OWN_REASONS if self._values.reason is None else self._values.reason
        said = known.get(word_of(self._at("reason")))
        if said is not None and said in AGREES[reachable]:
            return said
        return Reason.OK if reachable is Tri.YES else Reason.INCONCLUSIVE

    def _network(self, prefix: Literal["", "orig_"]) -> tuple[str, str] | None:
        stated = network(self._at(f"{prefix}mcc"), self._at(f"{prefix}mnc"))
        plmn = digits(self._at(f"{prefix}mccmnc"), 5, 6)
        return stated or (plmn and self._split(plmn)) or None


def _country(value: Json) -> str | None:
    iso = word(value, 2)
    return iso.upper() if iso and len(iso) == 2 and iso.isalpha() else None


def _date(value: Json) -> str | None:
    """ISO 8601, of what is a date of this trade; a day without a time stays one."""
    stated = _time(value)
    if stated is None or not 1990 <= stated.year <= 2100:
        return None
    return stated.date().isoformat() if len(word_of(value)) <= 10 else stated.isoformat()


def _time(value: Json) -> datetime | None:
    """From ISO 8601 or YYYYMMDDhhmmss."""
    said = value.strip() if isinstance(value, str) else ""
    try:
        return datetime.fromisoformat(COMPACT.sub(r"\1T\2", said))
    except ValueError:
        return None
