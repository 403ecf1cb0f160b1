"""Lookups as `lookup --json` shows them."""

from __future__ import annotations

from typing import Any


def shown(status: str = "OK", **given: Any) -> dict[str, Any]:
    """What a source has just told for one credit; `given` replaces parts."""
    whole = {
        "number": "+447700900123",
        "status": status,
        "country": "GB",
        "type": "mobile",
        "valid": "yes",
        "identity": {"carrier": "Example", "mcc": "234", "mnc": "01", "mccmnc": "23401", "ported": "no"},
        "liveness": {"reachable": "yes", "reason": "ok", "roaming": "no"},
        "source": "hlr",
        "cache": "miss",
        "age_s": 0,
        "cost": "1",
        "currency": "credits",
        "error": None,
        **given,
    }
    return {"costs": {whole["currency"]: whole["cost"]} if whole["cost"] else {}, **whole}


def failed(error: str, status: str = "PARTIAL", **given: Any) -> dict[str, Any]:
    """No source has told anything."""
    return shown(status, source="plan", cost=None, currency=None, error=error, **given)
