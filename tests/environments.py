"""Environments as Asterisk 22 prints them (res_agi.c setup_env), for tests."""

from __future__ import annotations

from collections.abc import Mapping

UNIQUEID = "1763759842.17"

VALUES: dict[str, str] = {
    "agi_network": "yes",
    "agi_network_script": "lookup",
    "agi_request": "agi://127.0.0.1:4573/lookup",
    "agi_channel": "PJSIP/carrier-00000011",
    "agi_language": "en",
    "agi_type": "PJSIP",
    "agi_uniqueid": UNIQUEID,
    "agi_version": "22.10.1",
    "agi_callerid": "+447700900001",
    "agi_calleridname": "unknown",
    "agi_callingpres": "0",
    "agi_callingani2": "0",
    "agi_callington": "0",
    "agi_callingtns": "0",
    "agi_dnid": "447400123456",
    "agi_rdnis": "unknown",
    "agi_context": "agi-lookup",
    "agi_extension": "s",
    "agi_priority": "6",
    "agi_enhanced": "0.0",
    "agi_accountcode": "",
    "agi_threadid": "139872918210240",
}


def environment(*args: str, changes: Mapping[str, str | None] | None = None) -> bytes:
    """The bytes of an environment with `args`; `changes` replaces values, None leaves the line out."""
    values = {**VALUES, **(changes or {})}
    lines = [f"{key}: {value}" for key, value in values.items() if value is not None]
    lines += [f"agi_arg_{n}: {arg}" for n, arg in enumerate(args, 1)]
    return ("\n".join(lines) + "\n\n").encode("utf-8", "surrogateescape")


def lookup_environment(number: str = "447400123456", *options: str, token: str = "-") -> bytes:
    return environment(number, UNIQUEID, token, *options)
