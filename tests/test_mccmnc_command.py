"""`agi-lookup mccmnc import`: the operator's table wins, and a bad one changes nothing."""

from __future__ import annotations

from pathlib import Path

from tests.processes import make_site

HEAD = "mcc,mnc,country,brand,operator,status\n"


def test_an_imported_name_is_used_where_the_provider_gives_none(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    site.data["mccmnc_dir"] = str(tmp_path / "networks")
    site.write()
    table = tmp_path / "mine.csv"
    table.write_text(HEAD + "999,01,GB,Mine,Mine Ltd,operational\n")

    assert site.json("mccmnc", "import", str(table)) == {"rows": 1, "added": 1, "changed": 0, "removed": 0}
    assert (tmp_path / "networks" / "mine.csv").read_text() == table.read_text()
    assert site.cli("check").returncode == 0


def test_a_bad_table_is_one_clear_line_and_changes_nothing(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    site.data["mccmnc_dir"] = str(tmp_path / "networks")
    site.write()
    table = tmp_path / "mine.csv"
    table.write_text(HEAD + "999,01,GB,Mine,Mine Ltd,operational\n99,1,GB,Bad,Bad,operational\n")

    done = site.cli("mccmnc", "import", str(table))

    assert done.returncode == 2
    assert f"{table}:3" in done.stderr
    assert list((tmp_path / "networks").iterdir()) == []


def test_without_a_folder_it_says_what_to_set(tmp_path: Path) -> None:
    done = make_site(tmp_path).cli("mccmnc", "import", "x.csv")

    assert done.returncode == 2
    assert "mccmnc_dir" in done.stderr
