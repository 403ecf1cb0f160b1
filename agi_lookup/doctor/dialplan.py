"""Does Asterisk's dialplan ask us, with the shipped contexts, and in the way that the config expects?"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agi_lookup.agi.words import NO_TOKEN
from agi_lookup.config import Config
from agi_lookup.doctor.conf_files import Dialplan, read_dialplan
from agi_lookup.doctor.findings import Finding, fail, ok, printable, skipped, warn

PACK: Final = "extensions_agi_lookup.conf"
FINGERPRINT: Final = "6c753c11ae8a749c3674b8e09d07a36bfc2db671c6dac9a8a26841ad858b6302"
"""Of the shipped pack without comments; a test keeps it true."""
CONTEXT: Final = "agi-lookup"
DEFAULT_PORT: Final = 4573
DEFAULT_URL: Final = f"agi://127.0.0.1:{DEFAULT_PORT}"
DEFAULT_WATCHDOG_S: Final = 1.5
SETTINGS: Final = ("AGI_LOOKUP_URL", "AGI_LOOKUP_TOKEN", "AGI_LOOKUP_OPTIONS", "AGI_LOOKUP_WATCHDOG_S")
CALLS: Final = re.compile(r"\bagi-lookup(-dial)?,s,1\b")
COPY: Final = f"copy {PACK} (of the dialplan folder, or /usr/share/agi-lookup/asterisk) beside extensions.conf"


def check_dialplan(folder: Path, config: Config) -> Iterator[Finding]:
    """The files in `folder`: what a running Asterisk has loaded may be older."""
    try:
        plan = read_dialplan(folder)
    except FileNotFoundError:
        yield skipped("dialplan", f"no extensions.conf in {folder}: no Asterisk on this machine?")
        return
    except OSError as error:
        yield skipped("dialplan", f"{folder}/extensions.conf cannot be read: {error.strerror}")
        return
    for name in plan.missing:
        yield warn(
            "dialplan", f"{printable(name)} is included and cannot be read", "Asterisk may refuse the whole dialplan"
        )
    yield from _check_pack(plan)
    if CONTEXT in plan.contexts:
        yield from check_globals(plan.globals, config)


def _check_pack(plan: Dialplan) -> Iterator[Finding]:
    homes = plan.contexts.get(CONTEXT, [])
    if not homes:
        what = f"{PACK} is not included"
        if plan.has_exec:
            what += ", unless a #exec does it"
        yield fail("dialplan", what, f'{COPY}, and write #include "{PACK}" into it')
        return
    if len(set(homes)) > 1:
        names = ", ".join(str(path) for path in homes)
        yield fail("dialplan", f"the context {CONTEXT} is in several files: {names}", "include one of them only")
        return
    path = homes[0]
    if fingerprint(plan.files[path]) == FINGERPRINT:
        yield ok("dialplan", f"{path} is the shipped one")
    else:
        yield warn(
            "dialplan", f"{path} is of another version, or was changed", f"{COPY}, then: asterisk -rx 'dialplan reload'"
        )
    if not any(CALLS.search(line) for file, lines in plan.files.items() if file != path for line in lines):
        fix = "same => n,Gosub(agi-lookup,s,1(${EXTEN})) before your Dial(): see dialplan/README.md"
        yield warn("dialplan", "nothing calls agi-lookup yet", fix)


def fingerprint(lines: list[str]) -> str:
    """Of what Asterisk reads of a file. `lines` are without comments and blank lines."""
    return hashlib.sha256("\n".join(" ".join(line.split()) for line in lines).encode()).hexdigest()


def check_globals(given: Mapping[str, str], config: Config) -> Iterator[Finding]:
    """The settings of the dialplan against those of the server."""
    varying = [name for name, value in given.items() if name.startswith("AGI_LOOKUP_") and "${" in value]
    for name in varying:
        yield skipped("globals", f"{name} is worked out by Asterisk")
    known = {name: value for name, value in given.items() if name not in varying}
    findings = [
        *(_check_url(known.get("AGI_LOOKUP_URL") or DEFAULT_URL, config) if "AGI_LOOKUP_URL" not in varying else ()),
        *(_check_token(known.get("AGI_LOOKUP_TOKEN") or NO_TOKEN, config) if "AGI_LOOKUP_TOKEN" not in varying else ()),
        *_check_watchdog(known, config),
    ]
    yield from findings
    if not findings:
        yield ok("globals", "address, token and watchdog fit the config")


def _check_url(url: str, config: Config) -> Iterator[Finding]:
    fix = f"AGI_LOOKUP_URL = agi://{config.server.host}:{config.server.port}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORT
    except ValueError:
        yield fail("globals", f"AGI_LOOKUP_URL {printable(url)} is no address", fix)
        return
    if parts.scheme != "agi" or parts.path:
        what = f"AGI_LOOKUP_URL {printable(url)} is not agi://HOST:PORT"
        yield warn("globals", what, fix) if parts.scheme == "hagi" else fail("globals", what, fix)
        return
    if config.server.port and port != config.server.port:
        yield fail("globals", f"the dialplan asks port {port}, the server listens on {config.server.port}", fix)
    try:
        asked, listened = ipaddress.ip_address(host), ipaddress.ip_address(config.server.host)
    except ValueError:
        if host != config.server.host:
            fix = "use an address: Asterisk looks names up in the call, without a time limit"
            yield warn("globals", f"AGI_LOOKUP_URL names {printable(host)}", fix)
        return
    if asked != listened and not listened.is_unspecified:
        yield fail("globals", f"the dialplan asks {asked}, the server listens on {listened}", fix)


def _check_token(token: str, config: Config) -> Iterator[Finding]:
    """Neither is shown."""
    wanted = config.server.token.get_secret_value() if config.server.token else NO_TOKEN
    if not hmac.compare_digest(token.encode(), wanted.encode()):
        what = (
            "the dialplan has a token, the config has none"
            if wanted == NO_TOKEN
            else "the dialplan's token is not the config's"
        )
        yield fail("globals", what, "set AGI_LOOKUP_TOKEN to server.token: every call is refused until then")


def _check_watchdog(given: Mapping[str, str], config: Config) -> Iterator[Finding]:
    """It has to leave the server its deadline; and the options of the request have to be ones that the server knows."""
    options = dict(part.partition("=")[::2] for part in given.get("AGI_LOOKUP_OPTIONS", "").split(",") if part)
    name = options.get("profile", "default")
    if name not in config.profiles:
        fix = f"use one of {', '.join(config.profiles)}"
        yield fail("globals", f"AGI_LOOKUP_OPTIONS names profile {printable(name)}, which is not in the config", fix)
        return
    text = given.get("AGI_LOOKUP_WATCHDOG_S") or str(DEFAULT_WATCHDOG_S)
    asked_ms = options.get("timeout_ms", "")
    deadline_ms = int(asked_ms) if re.fullmatch(r"[0-9]{1,6}", asked_ms) else config.profiles[name].deadline_ms
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{0,6})?", text):
        yield fail(
            "globals", f"AGI_LOOKUP_WATCHDOG_S {printable(text)} is no number of seconds", "AGI_LOOKUP_WATCHDOG_S = 1.5"
        )
    elif float(text) * 1000 < deadline_ms + 100:
        what = f"the watchdog ends a lookup after {text} s, the server may take {deadline_ms} ms (profile {name})"
        fix = f"AGI_LOOKUP_WATCHDOG_S = {deadline_ms / 1000 + 0.5:g}"
        yield fail("globals", what, fix)
