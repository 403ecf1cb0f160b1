"""`agi-lookup ports`: files into the table, and a running server that uses them at once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.in_process import Command, runner
from tests.processes import CLI, Site, make_site

HEAD = "number,carrier,mcc,mnc,ported,ported_at\n"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = make_site(tmp_path)
    site.data["providers"] = {"ported": {"kind": "ported_numbers", "table": str(tmp_path / "ported.sqlite")}}
    site.write()
    return site


@pytest.fixture
def ports(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return runner("ports", site, monkeypatch, capsys)


def write(site: Site, *lines: str, head: str = HEAD) -> str:
    file = site.folder / "feed.csv"
    file.write_text(head + "".join(f"{line}\n" for line in lines))
    return str(file)


def test_what_is_imported_is_shown_and_counted(site: Site, ports: Command) -> None:
    file = write(site, "+447700900001,Example Mobile,234,15,yes,2024-05-01", "447700900002,Example Mobile,234,15,yes,")

    assert ports("import", file, "--json").json == {"lines": 2, "malformed": 0, "written": 2, "numbers": 2, "blocks": 0}

    shown = ports("show", "07700 900001", "--json").json
    assert (shown["found"], shown["carrier"], shown["mnc"], shown["ported"]) == (True, "Example Mobile", "15", "yes")
    stats = ports("stats", "--json").json
    assert (stats["numbers"], [run["source"] for run in stats["imports"]]) == (2, ["feed.csv"])
    assert "feed.csv: 2 lines" in ports("stats").stdout


def test_a_number_that_is_not_there_is_a_negative_answer(site: Site, ports: Command) -> None:
    ports("import", write(site, "447700900001,Example Mobile,234,15,yes,"))

    done = ports("show", "447700900099", "--json")

    assert (done.returncode, done.json) == (1, {"number": "+447700900099", "found": False})


def test_another_layout_is_told_with_options(site: Site, ports: Command) -> None:
    file = write(site, "447700900001;23415;Example", head="MSISDN;PLMN;Op\n")

    done = ports(
        "import", file, "--delimiter", ";", "--column", "number=MSISDN", "--column", "mccmnc=PLMN",
        "--column", "carrier=Op", "--set", "ported=yes",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    shown = ports("show", "447700900001", "--json").json
    assert (shown["carrier"], shown["mcc"], shown["mnc"], shown["ported"]) == ("Example", "234", "15", "yes")


def test_a_stream_is_read_from_standard_input(site: Site, ports: Command) -> None:
    done = subprocess.run(
        [*CLI, "--config", str(site.config), "ports", "import", "-", "--json"],
        input=(HEAD + "447700900001,Example,234,15,yes,\n").encode(),
        capture_output=True,
        check=False,
    )

    assert (done.returncode, json.loads(done.stdout)["numbers"]) == (0, 1)


def test_malformed_lines_are_named_and_nothing_is_imported(site: Site, ports: Command) -> None:
    good = "447700900001,Example,234,15,yes,"
    ports("import", write(site, good))

    done = ports("import", write(site, "447700900002,Example,234,15,yes,", "07700900003,Example,234,15,yes,"))

    assert done.returncode == 2
    assert "feed.csv:3: number must be" in done.stderr
    assert "1 of 2 lines are malformed" in done.stderr
    assert "07700900003" not in done.stderr
    assert ports("stats", "--json").json["numbers"] == 1


def test_a_flood_of_malformed_lines_is_cut_short(site: Site, ports: Command) -> None:
    done = ports("import", write(site, *["bad,,,,,"] * 1000))

    assert done.returncode == 2
    assert "1000 of 1000" in done.stderr
    assert len(done.stderr.splitlines()) < 30


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--delimiter", "::"], "--delimiter"),
        (["--encoding", "klingon"], "klingon"),
        (["--column", "number"], "--column"),
        (["--set", "nummer=1"], "nummer"),
        (["--provider", "npl"], "npl"),
    ],
)
def test_wrong_options_are_one_clear_line(site: Site, ports: Command, wrong: list[str], named: str) -> None:
    done = ports("import", write(site, "447700900001,Example,234,15,yes,"), *wrong)

    assert done.returncode == 2
    assert named in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_without_a_table_in_the_config_it_says_what_to_add(site: Site, ports: Command) -> None:
    site.data["providers"] = {}
    site.write()
    done = ports("stats")

    assert done.returncode == 2
    assert "ported_numbers" in done.stderr


def test_before_the_first_import_there_is_nothing_to_read(site: Site, ports: Command) -> None:
    for command in (["show", "447700900001"], ["stats"]):
        done = ports(*command)
        assert done.returncode == 3
        assert "import" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_of_several_tables_one_is_named(site: Site, ports: Command) -> None:
    site.data["providers"]["other"] = {"kind": "ported_numbers", "table": str(site.folder / "other.sqlite")}
    site.write()
    file = write(site, "447700900001,Example,234,15,yes,")

    unnamed = ports("import", file)
    assert unnamed.returncode == 2
    assert "other" in unnamed.stderr
    assert ports("import", file, "--provider", "other").returncode == 0
    assert ports("stats", "--provider", "other", "--json").json["numbers"] == 1


def test_a_running_server_answers_from_what_was_just_imported(site: Site) -> None:
    site.data["providers"]["ported"]["timeout_s"] = 9  # a busy machine has its time
    site.write()
    with site.serve() as server:
        before = site.call("447400123456")
        site.cli("ports", "import", write(site, "447400123456,Example Mobile,234,15,yes,2024-05-01"))
        after = site.call("447400123456")
        fallen_silent = server.popen.poll()

    assert (before["LOOKUP_SOURCE"], before["LOOKUP_CARRIER"]) == ("plan", "")
    assert (after["LOOKUP_SOURCE"], after["LOOKUP_CARRIER"], after["LOOKUP_PORTED"]) == (
        "ported",
        "Example Mobile",
        "yes",
    )
    assert fallen_silent is None
