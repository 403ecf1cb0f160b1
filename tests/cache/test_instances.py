"""Whole instances, as processes, that share a Valkey: what is bought once is known to all, and without it calls go on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cache.servers import Server
from tests.processes import Site, make_site, until
from tests.test_daemon import bought, simulator

ONE, TWO = "447400123401", "447400123400"


@pytest.fixture
def npl(tmp_path: Path) -> Iterator[str]:
    with simulator(tmp_path) as base:
        yield base


def sharing(folder: Path, npl: str, valkey: Server) -> Site:
    folder.mkdir()
    site = make_site(folder, provider=npl)
    site.data["cache"] = {"shared": {"url": "env:VALKEY_URL", "timeout_ms": 5_000}}
    site.write()
    return site


@pytest.fixture
def sites(tmp_path: Path, npl: str, valkey: Server, monkeypatch: pytest.MonkeyPatch) -> tuple[Site, Site]:
    monkeypatch.setenv("VALKEY_URL", valkey.url)
    return sharing(tmp_path / "a", npl, valkey), sharing(tmp_path / "b", npl, valkey)


def test_what_one_instance_bought_another_does_not_buy_again(
    sites: tuple[Site, Site], npl: str, valkey: Server
) -> None:
    """C13: nor do calls wait when the server is gone."""
    one, other = sites
    with one.serve(), other.serve() as process:
        first = one.call(ONE)
        until(lambda: len(valkey.keys()) == 2)  # it is written behind
        second = other.call(ONE)
        valkey.kill()
        third = other.call(TWO)
        process.wait_for("alarm")

    assert (first["LOOKUP_STATUS"], first["LOOKUP_CACHE"]) == ("OK", "miss")
    assert (second["LOOKUP_STATUS"], second["LOOKUP_CACHE"]) == ("OK", "fresh")
    assert (third["LOOKUP_SOURCE"], third["LOOKUP_CACHE"]) == ("npl", "miss")
    assert bought(npl) == 2


def test_forget_reaches_the_shared_tier_with_and_without_a_server(
    sites: tuple[Site, Site], npl: str, valkey: Server
) -> None:
    """S16."""
    one, other = sites
    one.cli("lookup", ONE, TWO)
    assert len(valkey.keys()) == 4

    assert one.json("cache", "forget", ONE)["forgotten"] == 2
    with other.serve():
        assert other.json("cache", "forget", TWO)["forgotten"] == 2

    assert valkey.keys() == []


def test_forget_says_when_the_shared_tier_has_to_wait(sites: tuple[Site, Site], valkey: Server) -> None:
    """S16."""
    one, _ = sites
    valkey.kill()
    done = one.cli("cache", "forget", ONE)

    assert done.returncode == 3
    assert "not written yet" in done.stderr
    assert "Traceback" not in done.stderr


def test_checking_a_config_connects_to_nothing(sites: tuple[Site, Site], valkey: Server) -> None:
    valkey.hang()
    done = sites[0].cli("check")

    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_shared_tier_its_library_is_not_loaded() -> None:
    code = "import sys, agi_lookup.daemon, agi_lookup.cli.main; sys.exit('redis' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
