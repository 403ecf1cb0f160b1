"""Back to an older version: what a newer one wrote is refused, never changed, and calls go on.

A "newer" file is a real one of a server that had everything switched on, with a higher version in it.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agi_lookup.calls.file import CALLS_FILE
from agi_lookup.learned import LEARNED_FILE
from agi_lookup.lookup.ledger_file import LEDGER_FILE
from agi_lookup.routing.store import LIVE_FILE
from tests.processes import Process, Site, free_port, make_site, running

NUMBER = "447400123400"
"""Reachable, for the simulator."""
VERSION_OF_COLUMNS = 8
"""Where it stands in a file of rates, 4 bytes."""


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    with running(tmp_path / "sim.log", "sim", "--port", str(port)) as process:
        while b"npl" not in process.log.read_bytes():
            assert process.popen.poll() is None, process.log.read_text()
        yield f"http://127.0.0.1:{port}/npl"


@pytest.fixture
def site(tmp_path: Path, simulator: str) -> Site:
    """All that is ever on disk has been written."""
    site = make_site(tmp_path, provider=simulator)
    site.data["providers"]["ports"] = {"kind": "ported_numbers", "table": str(tmp_path / "state/ported.sqlite")}
    site.data["calls"] = {"enabled": True}
    site.data["routing"] = {"trunks": {"acme": {"vendor": "acme", "dial": "PJSIP/{number}@acme"}}}
    site.data["profiles"]["default"]["deadline_ms"] = 5000
    site.write()
    (tmp_path / "state").mkdir(mode=0o700)
    deck, ports = tmp_path / "acme.csv", tmp_path / "ports.csv"
    deck.write_text("prefix,rate\n44,0.01\n")
    ports.write_text("number,mccmnc\n447400123499,23415\n")
    for command in (
        ("rates", "import", "--vendor", "acme", "--currency", "EUR", str(deck)),
        ("rates", "activate", "acme"),
        ("ports", "import", str(ports)),
    ):
        done = site.cli(*command)
        assert done.returncode == 0, done.stderr + done.stdout
    with site.serve() as process:
        told = site.call(NUMBER)
        process.end()
    assert (told["LOOKUP_SOURCE"], told["LCR_1_TRUNK"]) == ("npl", "acme")
    return site


def set_versions(state: Path, version: int) -> list[Path]:
    """In each file that has one; returns them."""
    databases = sorted(state.glob("*.sqlite"))
    assert {CALLS_FILE, LEDGER_FILE, "cache.sqlite", "ported.sqlite"} <= {path.name for path in databases}
    for path in databases:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
            connection.commit()
    columns = [*state.glob("decks/*.book"), *state.glob("decks/acme/*.deck")]
    assert len(columns) == 2
    for path in columns:
        content = bytearray(path.read_bytes())
        struct.pack_into("<I", content, VERSION_OF_COLUMNS, version)
        path.write_bytes(content)
    live, learned = state / "decks" / LIVE_FILE, state / LEARNED_FILE
    live.write_bytes(live.read_bytes().replace(b"{", b'{"format":%d,' % version, 1))
    learned.write_bytes(learned.read_bytes().replace(b'{"version":1,', b'{"version":%d,' % version, 1))
    assert b"%d" % version in learned.read_bytes()
    return [*databases, *columns, live, learned]


def alarms(process: Process) -> set[str]:
    return {line["code"] for line in process.lines("alarm")}


def test_what_a_newer_version_wrote_stays_as_it_is_while_calls_go_on(site: Site) -> None:
    """C11, and its like of ledger, call log, ported numbers, decks and what was learned."""
    state = site.folder / "state"
    files = set_versions(state, 99)
    before = {path: path.read_bytes() for path in files}

    with site.serve() as process:
        told: dict[str, Any] = site.call(NUMBER)
        refused = [site.cli("rates", "activate", "acme"), site.cli("rates", "rollback", "acme")]
        process.wait_for("alarm", 4)
        process.end()

    assert told["LOOKUP_ACTION"] == "allow"
    assert told["LOOKUP_SOURCE"] == "plan", "a ledger that is not ours to write pays for nothing"
    assert told["LCR_COUNT"] == "0"
    assert all(done.returncode in (2, 3) for done in refused), [done.stderr for done in refused]
    assert alarms(process) >= {
        "sqlite_not_ours",
        "ledger_broken",
        "call_log_failing",
        "book_unusable",
        "learned_unusable",
    }
    assert {path: path.read_bytes() for path in files} == before
    assert not list(state.glob("*.corrupt-*")), "nothing is put aside"
    assert not (state / "learned.unusable").exists()
