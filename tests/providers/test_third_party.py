"""A sixth vendor: in this repository with one file, recordings and a config block; in another package without touching this one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agi_lookup import config
from agi_lookup.domain.errors import ConfigError
from agi_lookup.domain.model import LookupAnswer, Number
from agi_lookup.providers import loading
from agi_lookup.providers.http import HttpDriver
from tests.providers.replay import NOW, split
from tests.providers.servers import Exchange, raw_server

ROOT = Path(__file__).parents[2]
SIXTH = Path(__file__).parent / "sixth"
NUMBER = "+447700900123"
SEEN_BY_TESTS = ("pyproject.toml", "tests/__init__.py", "tests/conftest.py", "tests/providers", "agi_lookup")


def repository_with_a_sixth(folder: Path) -> Path:
    """A copy of this repository with the sixth vendor's files where they belong, and nothing else changed."""
    for name in SEEN_BY_TESTS:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    shutil.copy(SIXTH / "acme.py", folder / "agi_lookup/providers/acme.py")
    shutil.copytree(SIXTH / "recorded", folder / "agi_lookup/sim/recorded/acme")
    return folder


def run(repository: Path, *command: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "PYTEST"))}
    environment = {**inherited, "ACME_KEY": "s3cr3t", "PYTHONPATH": str(repository)}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=repository, env=environment, capture_output=True, text=True, check=False
    )


def contract(repository: Path) -> subprocess.CompletedProcess[str]:
    return run(
        repository,
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "tests/providers/test_contract.py",
        "-k",
        "acme",
    )


@pytest.mark.timeout(600)
def test_a_sixth_vendor_is_one_file_recordings_and_a_block(tmp_path: Path) -> None:
    repository = repository_with_a_sixth(tmp_path)
    done = contract(repository)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) > 40  # what is demanded of every kind, by its recordings alone

    checked = run(repository, "agi_lookup.cli.main", "--config", str(SIXTH / "block.yaml"), "check")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.timeout(600)
def test_the_contract_finds_the_fault_of_a_sixth_vendor(tmp_path: Path) -> None:
    """P9: a word that is not understood is read as a no."""
    repository = repository_with_a_sixth(tmp_path)
    vendor = repository / "agi_lookup/providers/acme.py"
    honest = 'tri(found.get("moved")) if mcc else Tri.UNKNOWN'
    assert honest in vendor.read_text()
    vendor.write_text(vendor.read_text().replace(honest, 'Tri.YES if found.get("moved") is True else Tri.NO'))
    done = contract(repository)
    assert done.returncode == 1
    assert "test_what_a_vendor_stops_saying_becomes_unknown[acme-good]" in done.stdout


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The vendor as a package of somebody else, as `pip install` would leave it. Gives where its config may be written."""
    package, info = tmp_path / "site" / "acme_lookup", tmp_path / "site" / "acme_lookup-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(SIXTH / "acme.py", package / "vendor.py")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-lookup\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[agi_lookup.providers]\nacme = acme_lookup.vendor\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("ACME_KEY", "s3cr3t")
    for name in [name for name in sys.modules if name.startswith("acme_lookup")]:
        monkeypatch.delitem(sys.modules, name)  # of another test's folder
    return tmp_path


def block(folder: Path, kind: str, *more: str) -> Path:
    path = folder / "agi-lookup.yaml"
    text = (SIXTH / "block.yaml").read_text().replace("kind: acme", f"kind: {kind}")
    path.write_text(text + "".join(f"    {line}\n" for line in more))
    return path


async def acme(exchange: Exchange) -> None:
    """The vendor's side."""
    if "key=s3cr3t" not in exchange.body.decode():
        await exchange.answer(b"who are you?", "401 Unauthorized")
        return
    body = {"number": "447700900123", "carrier": "Example Mobile", "mcc": "234", "mnc": "01", "moved": "true"}
    await exchange.answer(json.dumps(body).encode())


@pytest.mark.parametrize("kind", ["acme", "acme_lookup.vendor"])
async def test_a_vendor_of_another_package_is_found_configured_and_answers(installed: Path, kind: str) -> None:
    """By entry point, and by the module's name."""
    async with raw_server(acme) as server:
        read = config.read(block(installed, kind, f"base_url: {server.url}", "allow_private: true"))
        options = read.providers["acme"]
        driver = HttpDriver(options)
        provider = loading.find(options.kind).Provider("acme", options, split)
        answers = await driver.run(provider.lookup([Number(NUMBER)], NOW), timeout_s=5.0)
        await driver.close()
    answer = answers[NUMBER]
    assert isinstance(answer, LookupAnswer)
    assert answer.identity is not None
    assert (answer.provider, answer.identity.mnc, answer.identity.ported) == ("acme", "01", "yes")
    assert "acme" in loading.known()


def test_its_own_options_are_checked_like_ours(installed: Path) -> None:
    with pytest.raises(ConfigError, match=r":6: providers\.acme\.kee: unknown key"):
        config.read(block(installed, "acme", "kee: x"))
