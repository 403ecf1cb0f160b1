"""The numbers that are called, and the oracle: every variable that the answer must hold, from the simulated vendor's own record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final

from agi_lookup.bench.load import Planned
from agi_lookup.sim.asterisk_wire import Call, environment
from agi_lookup.sim.npl_records import record

ENDINGS: Final = ("00", "01", "02")
"""The simulators' scheme: reachable, ported, absent."""
UNIQUEID: Final = "1763742000.1"
VOLATILE: Final = (b"LOOKUP_AGE", b"LOOKUP_MS")


def number(index: int, block: int = 0) -> str:
    """A British mobile number, digits only. Each of the 30 blocks holds 300,000 different ones."""
    return f"447{10 + block:02d}{index // len(ENDINGS):05d}{ENDINGS[index % len(ENDINGS)]}"


def lookup(dialled: str, *, cache: str) -> Planned:
    """A call to `dialled`, and the one command that must answer it."""
    right = {name.encode(): value.encode() for name, value in expected(dialled, cache=cache).items()}

    def is_right(lines: Sequence[bytes]) -> bool:
        return len(lines) == 1 and variables(lines[0]) == right

    return Planned(environment(Call((dialled, UNIQUEID, "-"), uniqueid=UNIQUEID)), is_right)


def expected(dialled: str, *, cache: str) -> dict[str, str]:
    """What a dialplan must read after a lookup of `dialled`; `cache` is `miss` or `fresh`."""
    said: Mapping[str, str] = record(dialled, Decimal(1), Decimal(1))
    ported = said["ported"] == "true"
    plmn = said["mcc"] + said["mnc"]
    return {
        "LOOKUP_ACTION": "allow",
        "LOOKUP_CAUSE": "",
        "LOOKUP_RULE": "",
        "LOOKUP_NUMBER": f"+{dialled}",
        "LOOKUP_COUNTRY": "GB",
        "LOOKUP_TYPE": "mobile",
        "LOOKUP_VALID": "yes",
        "LOOKUP_PORTED": "yes" if ported else "no",
        "LOOKUP_REACHABLE": "yes" if said["reachable"] == "true" else "no",
        "LOOKUP_ROAMING": "unknown",
        "LOOKUP_REASON": "ok" if said["reachable"] == "true" else "absent",
        "LOOKUP_CARRIER": said["operatorname"],
        "LOOKUP_MCC": said["mcc"],
        "LOOKUP_MNC": said["mnc"],
        "LOOKUP_MCCMNC": plmn,
        "LOOKUP_ORIG_CARRIER": said["originaloperatorname"] if ported else said["operatorname"],
        "LOOKUP_ORIG_MCCMNC": said["originalmcc"] + said["originalmnc"] if ported else plmn,
        "LOOKUP_LRN": "",
        "LOOKUP_OCN": "",
        "LOOKUP_SOURCE": "npl",
        "LOOKUP_CACHE": cache,
        "LOOKUP_ERROR": "",
        "LCR_COUNT": "0",
        "LOOKUP_STATUS": "OK",
    }


def variables(line: bytes) -> dict[bytes, bytes]:
    """What an `ARRAY` command sets, without what changes from call to call; empty for any other command."""
    head, _, tail = line.partition(b') "')
    if not head.startswith(b"SET VARIABLE ARRAY(") or not tail.endswith(b'"\n'):
        return {}
    names, values = _names(head), tail[:-2].split(b",")
    if len(names) != len(values) or names[-1] != b"LOOKUP_STATUS":
        return {}
    found = dict(zip(names, values, strict=True))
    for name in VOLATILE:
        found.pop(name, None)
    return found


@lru_cache(maxsize=16)
def _names(head: bytes) -> list[bytes]:
    return head.partition(b"(")[2].split(b",")
