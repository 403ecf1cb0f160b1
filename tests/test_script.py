"""`AGI(agi-lookup-agi,...)`: one process a call, the same arguments, the same variables."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.environments import UNIQUEID, environment
from tests.processes import Site, make_site
from tests.test_daemon import bought, simulator

PATIENT = """
from agi_lookup import guarantee, script
guarantee.GIVE_UP_S, script.HAND_OVER_S = 60.0, 8.0  # a busy machine is no dialplan's watchdog
script.main()
"""
SCRIPT = (sys.executable, "-c", PATIENT)


@pytest.fixture
def npl(tmp_path: Path) -> Iterator[str]:
    with simulator(tmp_path) as base:
        yield base


@pytest.fixture
def site(tmp_path: Path, npl: str) -> Site:
    return make_site(tmp_path, provider=npl)


def script_environment(*args: str) -> bytes:
    """As res_agi.c prints it for a process: without the network lines."""
    whole = environment(*args, changes={"agi_request": "agi-lookup-agi", "agi_network_script": None})
    return whole.removeprefix(b"agi_network: yes\n")


def play(
    site: Site, *args: str, data: bytes | None = None, replies: bytes = b"200 result=1\n" * 5
) -> tuple[int, list[str], str]:
    """Exit status, the commands that the script wrote, and what it said on standard error."""
    given = (script_environment(*args) if data is None else data) + replies
    done = subprocess.run(
        SCRIPT,
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "AGI_LOOKUP_CONFIG": str(site.config)},
    )
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode()


def variables(command: str) -> dict[str, str]:
    names, values = command.removeprefix('SET VARIABLE "ARRAY(').removesuffix('"').split(')" "')
    return dict(zip(names.split(","), values.split(","), strict=True))


def test_it_sets_the_same_variables_as_the_server(site: Site, npl: str) -> None:
    status, commands, _ = play(site, "447400123401", UNIQUEID, "-")
    mine = variables(commands[0])
    with site.serve():
        theirs = site.call("447400123401")

    assert (status, len(commands)) == (0, 1)
    assert list(mine) == list(theirs)
    changing = {"LOOKUP_MS", "LOOKUP_AGE", "LOOKUP_CACHE"}
    assert {k: v for k, v in mine.items() if k not in changing} == {
        k: v for k, v in theirs.items() if k not in changing
    }
    assert (mine["LOOKUP_CACHE"], theirs["LOOKUP_CACHE"]) == ("miss", "fresh"), "what a call bought serves the next"
    assert bought(npl) == 1


def test_it_asks_the_running_server_rather_than_paying_beside_it(site: Site, npl: str) -> None:
    with site.serve():
        site.call("447400123401")
        _, commands, _ = play(site, "447400123401", UNIQUEID, "-", "need=identity+liveness")

    assert variables(commands[0])["LOOKUP_CACHE"] == "fresh"
    assert bought(npl) == 1


def test_an_answer_that_comes_too_late_is_kept(tmp_path: Path) -> None:
    with simulator(tmp_path, "--latency-ms", "1500") as npl:
        site = make_site(tmp_path, provider=npl)
        _, commands, _ = play(site, "447400123401", UNIQUEID, "-", "timeout_ms=300")
        late = variables(commands[0])
        _, commands, _ = play(site, "447400123401", UNIQUEID, "-")
        assert (late["LOOKUP_STATUS"], late["LOOKUP_ACTION"]) == ("TIMEOUT", "allow")
        assert variables(commands[0])["LOOKUP_CACHE"] == "fresh"
        assert bought(npl) == 1


REFUSED = {
    "wrong uniqueid": script_environment("447400123401", "1.1", "-"),
    "wrong token": script_environment("447400123401", UNIQUEID, "guess"),
    "forged argument": script_environment("447400123401", UNIQUEID, "-").replace(
        b"agi_extension: s\n", b"agi_extension: s\nagi_arg_1: +15550000\n"
    ),
    "no environment": b"",
    "half an environment": b"agi_request: x\n",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_trusted_commits_nothing(site: Site, data: bytes) -> None:
    status, commands, said = play(site, data=data)

    assert (status, commands) == (1, [])
    assert "Traceback" not in said
    assert "447400123401" not in said


@pytest.mark.parametrize("replies", [b"", b"HANGUP\n", b"510 Invalid or unknown command\n", b"520-Invalid\n"])
def test_a_caller_who_hangs_up_leaves_no_traceback(site: Site, replies: bytes) -> None:
    """pyst2 says ValueError for a HANGUP line, and would read the usage text of a 520 for ever."""
    status, _, said = play(site, "447400123401", UNIQUEID, "-", replies=replies)

    assert status == 1
    assert "Traceback" not in said


REPORT = (
    "result",
    "+447400123401",
    UNIQUEID,
    "-",
    "trunk=acme",
    "dialstatus=ANSWER",
    "cause=16",
    "tech=200",
    "billsec=12",
)


def result_status(site: Site, *args: str) -> str:
    status, commands, said = play(site, *args)
    assert (status, len(commands)) == (0, 1), said
    return variables(commands[0])["LOOKUP_RESULT_STATUS"]


def test_a_report_reaches_the_running_server(site: Site) -> None:
    """It is the server that learns, as from a report over FastAGI; its call log shows it."""
    site.data["calls"] = {"enabled": True}
    site.write()
    with site.serve() as server:
        assert result_status(site, *REPORT) == "OK"
        server.end()
    with closing(sqlite3.connect(site.folder / "state" / "calls.sqlite")) as log:
        assert log.execute("SELECT trunk, dialstatus, sip_code, billsec FROM result").fetchall() == [
            ("acme", "ANSWER", 200, 12)
        ]


def test_a_report_without_a_server_teaches_nobody(site: Site) -> None:
    """O1. What is learned is one process's: several that wrote it would undo each other's."""
    assert result_status(site, *REPORT) == "DEGRADED"
    assert not (site.folder / "state").exists()


@pytest.mark.parametrize(("number", "status"), [("999", "EMERGENCY"), ("12ab", "BADNUMBER")])
def test_a_report_of_no_ordinary_call_is_told_so(site: Site, number: str, status: str) -> None:
    """B1."""
    assert result_status(site, "result", number, *REPORT[2:]) == status


def test_a_server_that_hangs_over_a_report_holds_the_call_no_longer_than_the_dialplan_would(site: Site) -> None:
    """O2, F9: silent, or no server of ours."""
    with closing(socket.create_server(("127.0.0.1", site.agi_port))):
        assert result_status(site, *REPORT) == "DEGRADED"


@pytest.mark.parametrize("forged", [("result",), REPORT[:4], (*REPORT[:3], "guess", *REPORT[4:]), (*REPORT, "more=1")])
def test_a_report_that_cannot_be_trusted_commits_nothing(site: Site, forged: tuple[str, ...]) -> None:
    """F23."""
    assert play(site, *forged)[:2] == (1, [])


def test_lookup_may_be_said(site: Site) -> None:
    status, commands, _ = play(site, "lookup", "447400123400", UNIQUEID, "-")
    assert (status, variables(commands[0])["LOOKUP_STATUS"]) == (0, "OK")


def test_a_broken_config_commits_nothing_and_says_why(site: Site) -> None:
    site.config.write_text("nonsense: 1")
    status, commands, said = play(site, "447400123401", UNIQUEID, "-")

    assert (status, commands) == (1, [])
    assert "nonsense: unknown key" in said
