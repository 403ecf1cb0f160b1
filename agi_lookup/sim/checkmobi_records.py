"""The simulated CheckMobi's knowledge of numbers: what each scenario looks like in its words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from agi_lookup.sim.countries import Country, country_of
from agi_lookup.sim.scenarios import Scenario

Record: TypeAlias = dict[str, Any]

NORTH_AMERICA: Final = "1"
FIXED_TYPES: Final[Mapping[Scenario, str]] = {
    Scenario.LANDLINE: "landline",
    Scenario.VOIP: "voip",
    Scenario.TOLL_FREE: "toll_free",
}
NOBODY: Final = dict.fromkeys(
    ("country_iso2", "country_prefix", "country_name", "area", "mccmnc", "mcc", "mnc", "network_name")
)
NO_NETWORK: Final = {"is_ported": None, "imsi": None, "current_network": NOBODY}
DIFFERENCES: Final[Mapping[Scenario, Mapping[str, object]]] = {
    Scenario.ABSENT: {"reachable": "absent"},
    Scenario.UNKNOWN_SUBSCRIBER: {"reachable": "invalid", **NO_NETWORK},
    Scenario.NO_TELESERVICE: {"reachable": "no-teleservice-provisioned"},
    Scenario.NO_COVERAGE: {"reachable": "no-coverage", **NO_NETWORK},
    Scenario.INCONCLUSIVE: {"reachable": "inconclusive", **NO_NETWORK},
    Scenario.PARTNER_FAILURE: {"reachable": "failed", "processing_status": "failed", **NO_NETWORK},
    Scenario.NETWORK_ONLY: {"reachable": "inconclusive"},
    Scenario.CALL_BARRED: {"reachable": "absent"},
    Scenario.INVALID: {"reachable": "invalid", "processing_status": "rejected", "number_type": "unknown", **NO_NETWORK},
}


def falls_back(number: str) -> bool:
    """Is it validated only, for nothing, whichever lookup was asked for? In North America only a lookup can tell a landline."""
    return Scenario.of(number) in FIXED_TYPES and not number.startswith(NORTH_AMERICA)


def is_paid(method: str, number: str) -> bool:
    refused = Scenario.of(number) in {Scenario.INVALID, Scenario.RATE_LIMITED}
    return method != "verify" and not falls_back(number) and not refused


def record(method: str, number: str, cost: float, *, prefix_as_text: bool) -> Record:
    """The vendor's record of `number` (digits without `+`), as `hlr`, `mnp` and `verify` say it."""
    home, scenario = country_of(number), Scenario.of(number)
    prefix: object = home.calling_code if prefix_as_text else int(home.calling_code or 0)
    found = _form(number, home, cost)
    if method == "verify" or falls_back(number):
        found |= {"number_type": _issued_type(number), "original_network": _issuer(number, home, prefix)}
        return _distorted(found, scenario)
    found |= {**_looked_up(number, home, prefix), **DIFFERENCES.get(scenario, {})}
    if method == "mnp":
        for key in ("is_ported", "reachable", "original_network"):
            del found[key]
    return _distorted(found, scenario)


def _form(number: str, home: Country, cost: float) -> Record:
    national = number.removeprefix(home.calling_code)
    return {
        "id": f"5eed0000-0000-4000-8000-{number[-12:]:0>12}",
        "cost": cost,
        "phone_number": f"+{number}",
        "number_type": "mobile",
        "timezone": home.timezone,
        "format": {
            "e164": f"+{number}",
            "international": f"+{home.calling_code} {national}",
            "national": f"0{national}",
            "rfc3966": f"tel:+{home.calling_code}-{national}",
        },
    }


def _issued_type(number: str) -> str:
    """As the numbering plan says, without anybody asked."""
    return "mobile_or_landline" if number.startswith(NORTH_AMERICA) else FIXED_TYPES.get(Scenario.of(number), "mobile")


def _issuer(number: str, home: Country, prefix: object) -> Record:
    """As the validation names it: without codes, and of mobile numbers only."""
    current, other = _networks(number, home)
    name = (other if Scenario.of(number) is Scenario.PORTED else current)[1]
    return {**_place(home, prefix), "network_name": name if _issued_type(number) == "mobile" else None}


def _networks(number: str, home: Country) -> tuple[tuple[str, str], ...]:
    """The one that serves the number, and the other."""
    return home.networks if number[-3:-2] in "02468" else home.networks[::-1]


def _looked_up(number: str, home: Country, prefix: object) -> Record:
    current, other = _networks(number, home)
    ported = Scenario.of(number) is Scenario.PORTED
    return {
        "number_type": FIXED_TYPES.get(Scenario.of(number), "mobile"),
        "is_ported": ported,
        "reachable": "inconclusive" if number.startswith(NORTH_AMERICA) else "connected",
        "processing_status": "completed",
        "imsi": f"{home.mcc}{current[0]}".ljust(15, "0"),
        "original_network": _network(home, prefix, other if ported else current),
        "current_network": _network(home, prefix, current),
    }


def _network(home: Country, prefix: object, network: tuple[str, str]) -> Record:
    mnc, name = network
    return {**_place(home, prefix), "mccmnc": f"{home.mcc}{mnc}", "mcc": home.mcc, "mnc": mnc, "network_name": name}


def _place(home: Country, prefix: object) -> Record:
    return {"country_iso2": home.iso, "country_prefix": prefix, "country_name": home.name, "area": home.name}


def _distorted(found: Record, scenario: Scenario) -> Record:
    """The same record as no page promises it."""
    match scenario:
        case Scenario.NULLS:
            return {key: found[key] if key == "phone_number" else None for key in found}
        case Scenario.TYPES_FLIPPED:
            return {key: _retyped(value) for key, value in found.items()}
        case Scenario.UNKNOWN_KEYS:
            return {"x-new": {"list": [1, None]}, **dict(reversed(found.items())), "score": 0.93}
        case Scenario.OTHER_NUMBER:
            other = f"{found['phone_number'][:-2]}00"
            return {**found, "phone_number": other, "format": {**found["format"], "e164": other}}
    return found


def _retyped(value: object) -> object:
    if isinstance(value, dict):
        return {key: _retyped(item) for key, item in value.items()}
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() else value
    return value if value is None else str(value)
