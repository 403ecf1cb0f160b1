"""The Asterisk that runs: its version and modules, our dialplan in it, and a call through both that nobody pays for."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from agi_lookup.agi.versions import SERVED
from agi_lookup.config import Config
from agi_lookup.doctor.ami import Ami, AmiError
from agi_lookup.doctor.dialplan import SETTINGS, check_globals
from agi_lookup.doctor.findings import Finding, fail, ok, printable, skipped, warn
from agi_lookup.doctor.process import TEST_ERROR, TEST_NUMBER

MODULES: Final = (
    *("res_agi", "app_dial", "app_exec", "app_stack", "func_callerid", "func_channel", "func_dialplan"),
    *("func_hangupcause", "func_logic", "func_strings", "func_timeout"),
)
"""What the shipped contexts use."""
TEST_CONTEXT: Final = "agi-lookup-doctor"
TEST_S: Final = 15.0
POLL_S: Final = 0.05
PERMISSIONS: Final = (
    "give the user write = command,originate,reporting in manager.conf, then: asterisk -rx 'manager reload'"
)
SERVER: Final = "is the server running, and do AGI_LOOKUP_URL and AGI_LOOKUP_TOKEN fit it?"


def check_asterisk(config: Config, host: str, port: int, user: str, secret: str) -> Iterator[Finding]:
    """Over its manager interface. Starts one call, from and to its own dialplan."""
    try:
        with Ami(host, port, user, secret) as ami:
            ami.ping()
            yield ok("ami", f"{host}:{port} lets {printable(user)} in")
            for check in (_version, _modules, _context):
                yield _tried(check, ami)
            yield from _globals(ami, config)
            yield _tried(_test_call, ami)
    except AmiError as error:
        yield fail("ami", printable(f"{error}"), "check --ami, --ami-user and --ami-secret against manager.conf")


def _tried(check: Callable[[Ami], Finding], ami: Ami) -> Finding:
    """One that is not allowed does not keep the others from being made."""
    try:
        return check(ami)
    except AmiError as error:
        return warn(check.__name__.strip("_").replace("_", " "), printable(f"{error}"), PERMISSIONS)


def _version(ami: Ami) -> Finding:
    said = next(iter(ami.show("core show version")), "")
    found = re.match(r"Asterisk (?:certified[/-])?(?:GIT-)?(\d+)", said)
    if found is None:
        return warn("version", f"not understood: {printable(said)}", "")
    shown = printable(" ".join(said.split(" ")[:2]))
    if int(found[1]) in SERVED:
        return ok("version", shown)
    fix = f"versions {SERVED[0]} to {SERVED[-1]} are served"
    return (
        fail("version", f"{shown} is too old", fix)
        if int(found[1]) < SERVED[0]
        else warn("version", f"{shown} is not tried", fix)
    )


def _modules(ami: Ami) -> Finding:
    running = {line.split(".so")[0] for line in ami.show("module show") if ".so" in line and "Not Running" not in line}
    if missing := [name for name in MODULES if name not in running]:
        return fail(
            "modules",
            f"not loaded: {', '.join(missing)}",
            f"asterisk -rx 'module load {missing[0]}.so'; see modules.conf",
        )
    return ok("modules", "all that the dialplan uses are loaded")


def _context(ami: Ami) -> Finding:
    shown = "\n".join(ami.show("dialplan show agi-lookup"))
    if "Context 'agi-lookup'" in shown:
        return ok("context", "agi-lookup is loaded")
    return fail(
        "context", "Asterisk has not loaded the context agi-lookup", "include it, then: asterisk -rx 'dialplan reload'"
    )


def _globals(ami: Ami, config: Config) -> Iterator[Finding]:
    """As they are now, which files and `dialplan set global` made them. The token is compared, and not shown."""
    try:
        loaded = {name: ami.variable(None, name) for name in SETTINGS}
    except AmiError as error:
        yield warn("loaded globals", printable(f"{error}"), PERMISSIONS)
        return
    for finding in check_globals(loaded, config):
        yield replace(finding, name="loaded globals")


def _test_call(ami: Ami) -> Finding:
    if f"Context '{TEST_CONTEXT}'" not in "\n".join(ami.show(f"dialplan show {TEST_CONTEXT}")):
        return skipped("test call", "the loaded dialplan has no test of its own: it is of an older version")
    name = f"{TEST_CONTEXT}-{secrets.token_hex(8)}"
    call = f"{name}-2"  # the half that runs the dialplan; of two ids one may not begin with the other
    ami.send_action(
        Action="Originate",
        Channel=f"Local/s@{TEST_CONTEXT}/n",
        Application="Wait",
        Data="1",
        Timeout=str(int(TEST_S * 1000)),
        Async="true",
        ChannelId=f"{name}-1",
        OtherChannelId=call,
        Variable=f"__AGI_LOOKUP_TEST={TEST_NUMBER}",
    )
    if not _tested(ami, call):
        return fail("test call", f"it did not come back in {TEST_S:.0f} s", "look at Asterisk's log")
    status, error, ms = (ami.variable(call, f"LOOKUP_{name}") for name in ("STATUS", "ERROR", "MS"))
    if (status, error) == ("BADNUMBER", TEST_ERROR):
        return ok("test call", f"the server answered it in {printable(ms)} ms, for nothing")
    if status == "NONE":
        return fail("test call", "it went on without an answer", SERVER)
    return fail("test call", f"LOOKUP_STATUS={printable(status)} LOOKUP_ERROR={printable(error)}", SERVER)


def _tested(ami: Ami, call: str) -> bool:
    """The lookup came back, with an answer or without. The channel is there only when the call has begun."""
    until = time.monotonic() + TEST_S
    while time.monotonic() < until:
        try:
            if ami.variable(call, "AGI_LOOKUP_TESTED"):
                return True
        except AmiError as error:
            if "No such channel" not in str(error):
                raise
        time.sleep(POLL_S)
    return False
