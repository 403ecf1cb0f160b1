"""The MAP/GSM error numbers that SMS Partner, Number Portability Lookup, Infobip and many resellers share.

Numbers and names are those of 3GPP TS 29.002 as vendors publish them; what each means *for a voice call* is our reading: several
are answers of the SMS plane (a teleservice that is not provisioned, a full message list), so they say little about ringing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from agi_lookup.domain.errors import ProviderError, ProviderFailedNumber, ProviderNotCovered
from agi_lookup.domain.model import Reason, Tri

YES, NO, UNKNOWN = Tri.YES, Tri.NO, Tri.UNKNOWN


@dataclass(frozen=True, slots=True)
class Meaning:
    """`failure` is the error to report when the record holds nothing else; None: the code is a real answer."""

    valid: Tri
    reachable: Tri
    reason: Reason
    failure: type[ProviderError] | None = None


UNSTATED: Final = Meaning(UNKNOWN, UNKNOWN, Reason.INCONCLUSIVE)
UNLISTED: Final = Meaning(UNKNOWN, UNKNOWN, Reason.INCONCLUSIVE, ProviderFailedNumber)

MEANINGS: Final[Mapping[int, Meaning]] = MappingProxyType({
    0: Meaning(YES, YES, Reason.OK),
    1: Meaning(NO, NO, Reason.UNKNOWN_SUBSCRIBER),
    5: Meaning(UNKNOWN, NO, Reason.UNKNOWN_SUBSCRIBER),  # unidentified: the MSC/VLR's word, not the HLR's
    6: Meaning(YES, NO, Reason.ABSENT_SM),
    7: Meaning(YES, NO, Reason.UNKNOWN_EQUIPMENT),
    8: Meaning(YES, NO, Reason.ROAMING_NOT_ALLOWED),
    9: Meaning(UNKNOWN, NO, Reason.ILLEGAL_SUBSCRIBER),
    10: Meaning(YES, UNKNOWN, Reason.NO_TELESERVICE),  # bearer service
    11: Meaning(YES, NO, Reason.NO_TELESERVICE),
    12: Meaning(YES, NO, Reason.ILLEGAL_EQUIPMENT),
    13: Meaning(YES, NO, Reason.CALL_BARRED),
    20: Meaning(YES, UNKNOWN, Reason.INCONCLUSIVE),  # supplementary service incompatibility
    21: Meaning(YES, UNKNOWN, Reason.FACILITY_NOT_SUPPORTED),
    27: Meaning(YES, NO, Reason.ABSENT),
    29: Meaning(YES, NO, Reason.ABSENT),  # as older clients of the same vendors list it
    31: Meaning(YES, YES, Reason.BUSY),  # busy for a short message: it is there
    32: Meaning(UNKNOWN, UNKNOWN, Reason.INCONCLUSIVE),
    33: Meaning(YES, UNKNOWN, Reason.INCONCLUSIVE),  # message waiting list full
    34: Meaning(UNKNOWN, UNKNOWN, Reason.PROVIDER_FAILURE, ProviderFailedNumber),
    35: Meaning(UNKNOWN, UNKNOWN, Reason.NO_COVERAGE, ProviderNotCovered),
    36: Meaning(UNKNOWN, UNKNOWN, Reason.PROVIDER_FAILURE, ProviderFailedNumber),
    38: Meaning(UNKNOWN, UNKNOWN, Reason.NOT_APPLICABLE, ProviderNotCovered),
    51: Meaning(UNKNOWN, UNKNOWN, Reason.PROVIDER_FAILURE, ProviderFailedNumber),
    255: Meaning(UNKNOWN, UNKNOWN, Reason.INCONCLUSIVE, ProviderFailedNumber),
})  # fmt: skip


def meaning(code: int | None) -> Meaning:
    """None is a reply without a code; a number that nobody lists is a failure of the vendor, never of the subscriber."""
    return UNSTATED if code is None else MEANINGS.get(code, UNLISTED)
