"""What a CheckMobi record says of one number, in our words: tables of the vendor's and their readers, all pure.

API: https://checkmobi.com/documentation/api-reference, v1, "Lookup API". Every word that the page lists is in a table; any other,
null or nothing is an unknown, never a no.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final, TypeAlias

from agi_lookup.domain.errors import ProviderFailedNumber, ProviderNotCovered
from agi_lookup.domain.model import Identity, NumberType, Reason, Tri
from agi_lookup.providers.base import PlmnSplit
from agi_lookup.providers.gsm import UNSTATED, Meaning
from agi_lookup.providers.replies import Json, amount, digits, network, text, tri, word

YES, NO, UNKNOWN = Tri.YES, Tri.NO, Tri.UNKNOWN

Record: TypeAlias = Mapping[str, Json]

STATES: Final[Mapping[str, Meaning]] = MappingProxyType({
    "connected": Meaning(YES, YES, Reason.OK),
    "absent": Meaning(YES, NO, Reason.ABSENT),
    "no-teleservice-provisioned": Meaning(YES, NO, Reason.NO_TELESERVICE),
    "inconclusive": UNSTATED,
    "no-coverage": Meaning(UNKNOWN, UNKNOWN, Reason.NO_COVERAGE, ProviderNotCovered),
    "failed": Meaning(UNKNOWN, UNKNOWN, Reason.PROVIDER_FAILURE, ProviderFailedNumber),
    "invalid": Meaning(NO, NO, Reason.INVALID_NUMBER),
})  # fmt: skip
"""`reachable`, as a completed lookup says it."""
NOT_ASKED: Final = Meaning(UNKNOWN, UNKNOWN, Reason.NOT_APPLICABLE)

WITH_NETWORK: Final = frozenset({"connected", "absent", "no-teleservice-provisioned", "inconclusive"})
"""Words of `reachable` beside which a stated network is the subscriber's."""

NUMBER_TYPES: Final[Mapping[str, NumberType]] = MappingProxyType({
    "landline": NumberType.LANDLINE,
    "mobile": NumberType.MOBILE,
    "mobile_or_landline": NumberType.MOBILE_OR_LANDLINE,
    "toll_free": NumberType.TOLL_FREE,
    "premium_rate": NumberType.PREMIUM,
    "shared_cost": NumberType.SHARED_COST,
    "personal_number": NumberType.PERSONAL,
    "voip": NumberType.VOIP,
    "pager": NumberType.PAGER,
    "uan": NumberType.UAN,
    "voicemail": NumberType.VOICEMAIL,
    "unknown": NumberType.UNKNOWN,
})  # fmt: skip
FIXED: Final = frozenset({
    NumberType.LANDLINE, NumberType.TOLL_FREE, NumberType.PREMIUM, NumberType.SHARED_COST, NumberType.VOIP, NumberType.UAN,
    NumberType.VOICEMAIL,
})  # fmt: skip
"""No HLR knows these. A personal number or a pager may be a SIM card's."""


def names(record: Record, e164: str) -> bool:
    """Is it this number's record, by both places that name the looked up number, or by the one that does?"""
    stated = (record.get("phone_number"), _object(record, "format").get("e164"))
    return {msisdn(value) for value in stated if value is not None} == {e164}


def msisdn(value: Json) -> str | None:
    """E.164 with `+`, from digits with or without it."""
    found = digits(value.strip().removeprefix("+") if isinstance(value, str) else value, 7, 15)
    return None if found is None else f"+{found}"


def was_asked(record: Record) -> bool:
    """Was anybody asked? Else it is a validation, whichever lookup was paid for: a landline, a number that was rejected."""
    return _word(record, "processing_status") in {"completed", "failed"}


def meaning(record: Record) -> Meaning:
    """`processing_status` says what the word in `reachable` is worth."""
    state = STATES.get(_word(record, "reachable"), UNSTATED)
    match _word(record, "processing_status"):
        case "completed":
            return state
        case "failed":
            return STATES["failed"]
        case "rejected" | "" if number_type(record) in FIXED:
            return NOT_ASKED
        case "rejected" if state.valid is NO and _word(record, "number_type") in NUMBER_TYPES:
            return state  # not a landline that was rejected for being one
    return UNSTATED


def identity(record: Record, split: PlmnSplit) -> Identity:
    carrier, mcc, mnc = _network(record, "current_network", split)
    ported = tri(record.get("is_ported"))
    if ported is NO and not (_found(record) and (carrier or mcc)):
        ported = UNKNOWN  # no network was found: nothing was compared
    return Identity(
        carrier, mcc, mnc, *_network(record, "original_network", split),
        ported=ported,
        type=number_type(record),
        country=_country(record, "original_network") or _country(record, "current_network"),
    )  # fmt: skip


def number_type(record: Record) -> NumberType:
    return NUMBER_TYPES.get(_word(record, "number_type"), NumberType.UNKNOWN)


def cost(record: Record) -> Decimal | None:
    """US dollars."""
    stated = amount(record.get("cost"))
    return stated if stated is not None and stated >= 0 else None


def raw_code(record: Record) -> str:
    """The vendor's word for the reachability, where it is one that is documented."""
    state = _word(record, "reachable")
    return state if state in STATES else ""


def _found(record: Record) -> bool:
    return _word(record, "processing_status") == "completed" and _word(record, "reachable") in WITH_NETWORK


def _word(record: Record, key: str) -> str:
    value = record.get(key)
    return value.strip().lower() if isinstance(value, str) else ""


def _network(record: Record, key: str, split: PlmnSplit) -> tuple[str | None, str | None, str | None]:
    """Name, MCC and MNC."""
    found = _object(record, key)
    plmn = digits(found.get("mccmnc"), 5, 6)
    both = network(found.get("mcc"), found.get("mnc")) or (plmn and split(plmn)) or (None, None)
    return text(found.get("network_name")), *both


def _country(record: Record, key: str) -> str | None:
    iso = word(_object(record, key).get("country_iso2"), 2)
    return iso.upper() if iso and len(iso) == 2 and iso.isalpha() else None


def _object(record: Record, key: str) -> Record:
    value = record.get(key)
    return value if isinstance(value, dict) else {}
