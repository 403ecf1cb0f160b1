"""`agi-lookup cache`: a look, a farewell, a move."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Site, make_site
from tests.test_daemon import simulator


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A cache that knows two numbers."""
    with simulator(tmp_path) as npl:
        site = make_site(tmp_path, provider=npl)
        site.cli("lookup", "447400123401", "447400123403")
        yield site


def test_stats_count_what_is_there(site: Site) -> None:
    figures = site.json("cache", "stats")

    assert (figures["rows"], figures["identities"], figures["livenesses"]) == (4, 2, 2)


def test_get_shows_both_facets_with_their_origin(site: Site) -> None:
    entries = site.json("cache", "get", "07400 123401")["entries"]

    assert {entry["facet"] for entry in entries} == {"identity", "liveness"}
    assert {entry["provider"] for entry in entries} == {"npl"}


def test_get_reads_as_text_with_times_for_people_and_nothing_that_is_not_known(site: Site) -> None:
    text = site.cli("cache", "get", "447400123401").stdout

    assert re.search(r"^observed_at  20[0-9-]{8} [0-9:]{8}Z$", text, re.MULTILINE)
    assert re.search(r"^mcc          234$", text, re.MULTILINE)
    assert "None" not in text
    assert "{" not in text


def test_get_of_an_unknown_number_is_a_negative_answer(site: Site) -> None:
    done = site.cli("cache", "get", "447400999999", "--json")

    assert (done.returncode, json.loads(done.stdout)) == (1, {"entries": []})


def test_forget_erases_one_number_and_no_other(site: Site) -> None:
    assert site.json("cache", "forget", "447400123401")["forgotten"] == 2
    assert site.json("cache", "get", "447400123401") == {"entries": []}
    assert len(site.json("cache", "get", "447400123403")["entries"]) == 2
    assert site.cli("cache", "forget", "447400123401").returncode == 1


def test_an_export_fills_another_cache(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "cache.jsonl"
    assert site.cli("cache", "export", str(file)).returncode == 0
    site.data["state_dir"] = str(tmp_path / "elsewhere")
    site.write()

    assert site.json("cache", "import", str(file)) == {"lines": 4, "kept": 4}
    assert site.json("cache", "import", str(file)) == {"lines": 4, "kept": 0}, "doing it again is safe"
    assert site.json("lookup", "447400123401")["cache"] == "fresh"


def test_a_bad_line_is_named_and_what_came_before_is_kept(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "cache.jsonl"
    site.cli("cache", "export", str(file))
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:2], '{"number": "garbage"}', *lines[2:]]))
    site.data["state_dir"] = str(tmp_path / "elsewhere")
    site.write()

    done = site.cli("cache", "import", str(file))

    assert done.returncode == 3
    assert "line 3" in done.stderr
    assert "Traceback" not in done.stderr
    assert site.json("cache", "stats")["rows"] == 2


def test_import_waits_for_the_server_to_be_stopped(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "cache.jsonl"
    site.cli("cache", "export", str(file))
    with site.serve():
        done = site.cli("cache", "import", str(file))

    assert done.returncode == 3
    assert "stop it" in done.stderr


@pytest.mark.parametrize("number", ["112112112112112112", "letters", "1471"])
def test_what_is_no_number_is_one_clear_line(site: Site, number: str) -> None:
    done = site.cli("cache", "get", number)

    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
