"""The simulated SMS Partner's knowledge of numbers: what each scenario looks like in a notification."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from agi_lookup.sim.countries import country_of
from agi_lookup.sim.scenarios import Scenario

Record: TypeAlias = dict[str, Any]


def _failed(code: int, name: str) -> Mapping[str, object]:
    return {"errorGrpId": code, "errorName": f"EC_{name}", "errorDesc": name.replace("_", " ").title()}


NO_NETWORK: Final = {"mccMnc": "", "ported": 0}
NO_WORD: Final = {**_failed(255, "UNKNOWN_ERROR"), **NO_NETWORK}
"""What is no mobile number has no HLR; the page has no error of its own for it."""
DIFFERENCES: Final[Mapping[Scenario, Mapping[str, object]]] = {
    Scenario.PORTED: {"ported": 1},
    Scenario.ABSENT: _failed(27, "ABSENT_SUBSCRIBER"),
    Scenario.UNKNOWN_SUBSCRIBER: {**_failed(1, "UNKNOWN_SUBSCRIBER"), **NO_NETWORK},
    Scenario.NO_TELESERVICE: _failed(11, "TELESERVICE_NOT_PROVISIONED"),
    Scenario.INCONCLUSIVE: {**_failed(32, "SM_DELIVERY_FAILURE"), **NO_NETWORK},
    Scenario.PARTNER_FAILURE: {**_failed(34, "SYSTEM_FAILURE"), **NO_NETWORK},
    Scenario.NETWORK_ONLY: _failed(255, "UNKNOWN_ERROR"),
    Scenario.LANDLINE: NO_WORD,
    Scenario.VOIP: NO_WORD,
    Scenario.TOLL_FREE: NO_WORD,
    Scenario.CALL_BARRED: _failed(13, "CALL_BARRED"),
}


def record(number: str, message_id: str, now: float) -> Record:
    """What is posted of `number` (digits without `+`), observed at `now` (Unix seconds)."""
    home, scenario = country_of(number), Scenario.of(number)
    current, _ = home.networks if number[-3:-2] in "02468" else reversed(home.networks)
    found: Record = {
        "phone": f"+{number}",
        "messageId": message_id,
        "mccMnc": f"{home.mcc}{current[0]}",
        "ported": 0,
        "errorGrpId": 0,
        "errorName": "NO_ERROR ",
        "errorDesc": "No Error",
        "date": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000"),
        **DIFFERENCES.get(scenario, {}),
    }
    return _distorted(found, scenario)


def format_check(sent: str) -> Record:
    """What the free check of a number's form says of it."""
    number = sent.strip().removeprefix("+")
    home, scenario = country_of(number), Scenario.of(number)
    national = number.removeprefix(home.calling_code)
    return {
        "request": sent,
        "success": scenario is not Scenario.INVALID,
        "countryCode": home.name,
        "prefixCode": int(home.calling_code or 0),
        "phoneNumber": f"0{national}",
        "type": "Fixed line" if scenario is Scenario.LANDLINE else "Mobile",
        "network": "",
        "format": {
            "e164": f"+{number}",
            "international": f"+{home.calling_code} {national}",
            "national": f"0{national}",
            "rfc3966": f"tel:+{home.calling_code}-{national}",
        },
    }


def _distorted(found: Record, scenario: Scenario) -> Record:
    """The same record as no page promises it."""
    match scenario:
        case Scenario.NULLS:
            return {key: value if key == "phone" else None for key, value in found.items()}
        case Scenario.TYPES_FLIPPED:
            flipped = {"mccMnc": int(found["mccMnc"]), "ported": bool(found["ported"]), "errorGrpId": "0"}
            return {**found, **flipped, "phone": int(found["phone"])}
        case Scenario.UNKNOWN_KEYS:
            return {"x-new": {"list": [1, None]}, **dict(reversed(found.items())), "score": 0.93}
        case Scenario.OTHER_NUMBER:
            return {**found, "phone": f"{found['phone'][:-2]}00"}
    return found
