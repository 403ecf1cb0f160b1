"""The simulated vendor's knowledge of numbers: what each scenario looks like in Numberyo's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from agi_lookup.sim.countries import Country, country_of
from agi_lookup.sim.scenarios import Scenario

Record: TypeAlias = dict[str, Any]

NO_NETWORK: Final = {"operator_name": None, "plmn": None, "mcc": None, "mnc": None, "imsi": None}
NOT_LIVE: Final = {"reachable": None, "valid_number": None}
NO_HLR: Final = {**NO_NETWORK, **NOT_LIVE, "ported": None}
UNREACHABLE: Final = {"reachable": False, "valid_number": True}
UNDETERMINED: Final = {"ported": "undetermined", "reachable": "undetermined", "valid_number": "undetermined"}

DIFFERENCES: Final[Mapping[Scenario, Mapping[str, object]]] = {
    Scenario.ABSENT: UNREACHABLE,
    Scenario.UNKNOWN_SUBSCRIBER: {**NO_HLR, "reachable": False, "valid_number": False},
    Scenario.NO_TELESERVICE: UNREACHABLE,
    Scenario.INCONCLUSIVE: {**NO_NETWORK, **UNDETERMINED},
    Scenario.NETWORK_ONLY: NOT_LIVE,
    Scenario.LANDLINE: NO_HLR,
    Scenario.VOIP: NO_HLR,
    Scenario.TOLL_FREE: NO_HLR,
    Scenario.CALL_BARRED: UNREACHABLE,
}


def hlr_results(number: str, observed: str) -> list[Record]:
    """What the vendor knows of `number` (digits without `+`). `observed` is the time to state."""
    scenario = Scenario.of(number)
    if scenario is Scenario.NO_COVERAGE:
        return []
    found = _distorted(_hlr(number, country_of(number), scenario, observed), scenario)
    return [found] * (2 if scenario is Scenario.DUPLICATE else 1)


def verify_results(number: str) -> list[Record]:
    """The documented keys; the vendor's page leaves the others out."""
    home = country_of(number)
    return [{"e164_format": f"+{number}", "valid_number": True, "number_carrier": home.networks[0][1]}]


def _hlr(number: str, home: Country, scenario: Scenario, observed: str) -> Record:
    current, other = home.networks if number[-3:-2] in "02468" else reversed(home.networks)
    ported = scenario is Scenario.PORTED
    return {
        "country_code": int(home.calling_code or 0),
        "country_name": home.name,
        "operator_name": current[1],
        "msisdn": number,
        "ported": ported,
        "reachable": True,
        "valid_number": True,
        "plmn": f"{home.mcc}{current[0]}",
        "mcc": home.mcc,
        "mnc": current[0],
        "imsi": f"{home.mcc}{current[0]}".ljust(15, "0"),
        "local_format": number.removeprefix(home.calling_code),
        "msc": None,
        "original_operator_name": other[1] if ported else None,
        "number_requested": number,
        "created_at": observed,
        **DIFFERENCES.get(scenario, {}),
    }


def _distorted(found: Record, scenario: Scenario) -> Record:
    """The same result as no page promises it."""
    match scenario:
        case Scenario.NULLS:
            return {key: found[key] if key == "number_requested" else None for key in found}
        case Scenario.TYPES_FLIPPED:
            return {key: _retyped(value) for key, value in found.items()}
        case Scenario.UNKNOWN_KEYS:
            return {"x_new": {"list": [1, None]}, **dict(reversed(found.items())), "score": 0.93}
        case Scenario.OTHER_NUMBER:
            another = f"{found['msisdn'][:-2]}00"
            return {**found, "msisdn": another, "number_requested": another}
    return found


def _retyped(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
