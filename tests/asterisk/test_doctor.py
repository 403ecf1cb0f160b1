"""`agi-lookup doctor` on a real Asterisk: what it finds out over the manager interface, and a test call that nobody pays for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from agi_lookup.doctor.ami import Ami, AmiError
from tests.asterisk.lab import Asterisk
from tests.processes import Site, cli, make_site
from tests.test_daemon import bought, simulator

SECRET: Final = "c4nary-of-the-manager"
FOUND_BY_AMI: Final = ("ami", "version", "modules", "context", "loaded globals", "test call")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path, deadline_ms=1000)


@contextmanager
def asked(asterisk: Asterisk, site: Site) -> Iterator[None]:
    """Asterisk's dialplan asks this site's server."""
    asterisk.cli(f"dialplan set global AGI_LOOKUP_URL agi://{site.agi}")
    try:
        yield
    finally:
        asterisk.cli("dialplan reload")
        asterisk.cli("dialplan set global AGI_LOOKUP_URL agi://127.0.0.1:4573")


def examine(
    asterisk: Asterisk, site: Site, *, user: str = "doctor", secret: str = SECRET
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit status, and the last finding of each name. No secret is ever shown."""
    done = cli(
        *("--config", str(site.config), "doctor", "--json", "--asterisk-conf", str(asterisk.home / "etc")),
        *("--ami", f"127.0.0.1:{asterisk.ami_port}", "--ami-user", user, "--ami-secret", "env:AMI_SECRET"),
        environ={"AMI_SECRET": secret},
    )
    assert secret == "lab" or secret not in done.stdout + done.stderr  # the lab's own is in the names of folders
    return done.returncode, {finding["name"]: finding for finding in json.loads(done.stdout)}


def states(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: found[name]["status"] for name in FOUND_BY_AMI if name in found}


def test_a_call_goes_through_asterisk_and_server_and_costs_nothing(asterisk: Asterisk, tmp_path: Path) -> None:
    """Even where all that is not excluded is paid for."""
    with simulator(tmp_path) as npl:
        site = make_site(tmp_path, provider=npl, pay_for_invalid=True, deadline_ms=1000)
        with asked(asterisk, site), site.serve() as server:
            _, found = examine(asterisk, site)
            calls = server.lines("call")
        assert bought(npl) == 0
    assert states(found) == dict.fromkeys(FOUND_BY_AMI, "ok"), found
    assert [(call["status"], call["error"]) for call in calls] == [("BADNUMBER", "unknown_country_code")] * 2, (
        "straight, too"
    )
    assert found["version"]["what"].startswith("Asterisk ")


def test_what_asterisk_has_loaded_is_compared_with_the_shipped_dialplan(asterisk: Asterisk, site: Site) -> None:
    """The lab includes the shipped file; its server is elsewhere than the dialplan says, and that is seen."""
    _, found = examine(asterisk, site)
    assert found["dialplan"]["status"] == "ok"
    assert found["dialplan"]["what"].endswith("extensions_agi_lookup.conf is the shipped one")
    for name in ("globals", "loaded globals"):
        assert found[name]["what"] == f"the dialplan asks port 4573, the server listens on {site.agi_port}"


def test_a_server_that_is_down_is_seen_from_asterisk(asterisk: Asterisk, site: Site) -> None:
    with asked(asterisk, site):
        status, found = examine(asterisk, site)
    assert (status, found["test call"]["status"]) == (1, "fail")
    assert "without an answer" in found["test call"]["what"]


def test_a_wrong_secret_is_a_finding_and_not_shown(asterisk: Asterisk, site: Site) -> None:
    """A3."""
    status, found = examine(asterisk, site, secret="wr0ng-canary")
    assert (status, states(found)) == (1, {"ami": "fail"})
    assert "Authentication failed" in found["ami"]["what"]


def test_what_the_user_may_not_do_does_not_hide_the_rest(asterisk: Asterisk, site: Site) -> None:
    """The lab's own user may originate calls only."""
    _, found = examine(asterisk, site, user="lab", secret="lab")
    assert found["ami"]["status"] == "ok"
    assert states(found) | {"ami": "warn"} == dict.fromkeys(FOUND_BY_AMI, "warn")
    assert "manager.conf" in found["version"]["fix"]


def test_a_dialplan_that_is_not_loaded_is_seen(asterisk: Asterisk, site: Site) -> None:
    try:
        asterisk.cli("dialplan remove context agi-lookup")
        asterisk.cli("dialplan remove context agi-lookup-doctor")
        status, found = examine(asterisk, site)
    finally:
        asterisk.cli("dialplan reload")
    assert status == 1
    assert (found["context"]["status"], found["test call"]["status"]) == ("fail", "skipped")


def test_a_missing_module_is_named(asterisk: Asterisk, site: Site) -> None:
    try:
        asterisk.cli("module unload func_hangupcause.so")
        _, found = examine(asterisk, site)
    finally:
        asterisk.cli("module load func_hangupcause.so")
    assert found["modules"]["what"] == "not loaded: func_hangupcause"


def test_a_line_break_begins_no_other_action(asterisk: Asterisk) -> None:
    with Ami("127.0.0.1", asterisk.ami_port, "doctor", SECRET) as ami:
        with pytest.raises(AmiError, match="line break"):
            ami.show("core show version\r\n\r\nAction: Originate")
        assert ami.show("core show version")[0].startswith("Asterisk ")
