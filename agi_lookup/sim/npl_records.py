"""The simulated vendor's knowledge of numbers: what each scenario looks like in Number Portability Lookup's words."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from agi_lookup.sim.countries import Country, country_of
from agi_lookup.sim.scenarios import Scenario

Record: TypeAlias = dict[str, Any]


NO_NETWORK: Final = {"imsi": "", "mcc": "", "mnc": "", "plmn": "", "operatorname": ""}
UNDETERMINED: Final = {"reachable": "undetermined", "validnumber": "undetermined"}
NO_HLR: Final = {"imsi": "", "mcc": "", "mnc": "", "plmn": "", "mobile": "false", **UNDETERMINED}


def _failed(code: int, text: str, *, valid: str = "true") -> Mapping[str, str]:
    return {"errorcode": str(code), "errortext": text, "reachable": "false", "validnumber": valid}


DIFFERENCES: Final[Mapping[Scenario, Mapping[str, str]]] = {
    Scenario.ABSENT: _failed(27, "Absent Subscriber"),
    Scenario.UNKNOWN_SUBSCRIBER: {**_failed(1, "Unknown Subscriber", valid="false"), **NO_NETWORK},
    Scenario.NO_TELESERVICE: _failed(11, "Teleservice Not Provisioned"),
    Scenario.NO_COVERAGE: {**_failed(35, "Data Missing or Unroutable"), **NO_NETWORK, **UNDETERMINED},
    Scenario.INCONCLUSIVE: {**_failed(32, "SM Delivery Failure"), **NO_NETWORK, **UNDETERMINED},
    Scenario.PARTNER_FAILURE: {**_failed(34, "Partner System Failure"), **NO_NETWORK, **UNDETERMINED},
    Scenario.NETWORK_ONLY: UNDETERMINED,
    Scenario.LANDLINE: {**NO_HLR, "landline": "true", "numbertype": "LANDLINE", "reachable": "not_sms_capable"},
    Scenario.VOIP: {**NO_HLR, "numbertype": "VOIP"},
    Scenario.TOLL_FREE: {**NO_HLR, "numbertype": "TOLLFREE"},
    Scenario.CALL_BARRED: _failed(13, "Call Barred"),
    Scenario.INVALID: {**_failed(36, "Lookup Failure"), **NO_NETWORK, **UNDETERMINED},
}


def record(number: str, price: Decimal, balance: Decimal) -> Record:
    """The vendor's record of `number` (digits without `+`). A price above 1 means that the serving MSC was asked for."""
    scenario = Scenario.of(number)
    home = country_of(number)
    found = _north_american(number, home) if home.iso == "US" else _mobile(number, home, scenario)
    found |= {"transactioncost": f"{price:.2f}", "userbalance": f"{balance:.2f}"}
    if price > 1 and found.get("reachable") == "true":
        found["msc"] = _abroad(home) if scenario is Scenario.ROAMING else f"{home.calling_code}77990"[:5]
    return _distorted(found, scenario)


def _mobile(number: str, home: Country, scenario: Scenario) -> Record:
    current, other = home.networks if number[-3:-2] in "02468" else reversed(home.networks)
    ported = scenario is Scenario.PORTED
    return {
        "msisdn": number,
        "countrycode": home.calling_code,
        "countryiso": home.iso,
        "countryname": home.name,
        "errorcode": "0",
        "errortext": "OK",
        "imsi": f"{home.mcc}{current[0]}"
        if scenario is Scenario.NETWORK_ONLY
        else f"{home.mcc}{current[0]}".ljust(15, "0"),
        "landline": "false",
        "localformat": f"0{number.removeprefix(home.calling_code)}",
        "lrn": "",
        "mcc": home.mcc,
        "mnc": current[0],
        "mobile": "true",
        "numbertype": "MOBILE",
        "ocn": "",
        "operatorname": current[1],
        "originalcarrier": other[1] if ported else "",
        "originalmcc": home.mcc if ported else "",
        "originalmnc": other[0] if ported else "",
        "originaloperatorname": other[1] if ported else "",
        "plmn": f"{home.mcc}{current[0]}",
        "ported": str(ported).lower(),
        "reachable": "true",
        "spid": "",
        "timezone": home.timezone,
        "validnumber": "true",
        **DIFFERENCES.get(scenario, {}),
    }


def _north_american(number: str, home: Country) -> Record:
    """No HLR there: an OCN lookup, and nothing of liveness."""
    landline = Scenario.of(number) is Scenario.LANDLINE
    return {
        "msisdn": number,
        "countrycode": home.calling_code,
        "countryiso": home.iso,
        "countryname": home.name,
        "errorcode": "0",
        "errortext": "OK",
        "carrier": "Example Local Exchange" if landline else home.networks[0][1],
        "lrn": f"{number[1:7]}0000",
        "numbertype": "CLEC" if landline else "PCS",
        "ocn": "7421" if landline else "6529",
        "ported": str(Scenario.of(number) is Scenario.PORTED).lower(),
        "spid": "7421" if landline else "6529",
        "timezone": home.timezone,
        **UNDETERMINED,
    }


def _abroad(home: Country) -> str:
    return "33689" if home.calling_code != "33" else "44779"


def _distorted(found: Record, scenario: Scenario) -> Record:
    """The same record as no page promises it."""
    match scenario:
        case Scenario.NULLS:
            return {key: found[key] if key == "msisdn" else None for key in found}
        case Scenario.TYPES_FLIPPED:
            return {key: _retyped(value) for key, value in found.items()}
        case Scenario.UNKNOWN_KEYS:
            return {"x-new": {"list": [1, None]}, **dict(reversed(found.items())), "score": 0.93}
        case Scenario.OTHER_NUMBER:
            return {**found, "msisdn": f"{found['msisdn'][:-2]}00"}
    return found


def _retyped(value: str) -> object:
    if value in {"true", "false"}:
        return value == "true"
    return int(value) if value.isascii() and value.isdigit() else value
