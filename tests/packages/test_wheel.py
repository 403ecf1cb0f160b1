"""The wheel: whole, the same each time it is built, and enough to serve calls in an environment of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.packages.building import BASE_PYTHON, REPOSITORY, lock_wheels
from tests.processes import make_site

SOURCES = ("agi_lookup", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel is built of, without what lies about in a tree that is worked in."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        path = REPOSITORY / name
        if path.is_dir():
            shutil.copytree(path, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(path, folder)
    return folder


def build(source: Path, to: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", to],
        cwd=source,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
        capture_output=True,
        check=True,
    )
    (wheel,) = to.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source, tmp_path_factory.mktemp("dist"))


def test_the_wheel_has_every_file_of_the_package_and_its_licences(source: Path, wheel: Path) -> None:
    """Presets, templates, tables and recorded answers are not Python, and are missed only when they are wanted."""
    wanted = {str(path.relative_to(source)) for path in (source / "agi_lookup").rglob("*") if path.is_file()}
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        commands = archive.read(entry_points).decode()

    assert wanted <= names
    assert {name.split("/")[0] for name in names - wanted} == {entry_points.split("/")[0]}, "nothing else is in it"
    assert {"LICENSE", "NOTICE"} <= {Path(name).name for name in names if "/licenses/" in name}
    assert "agi-lookup = agi_lookup.cli.main:main" in commands
    assert "agi-lookup-agi = agi_lookup.script:main" in commands


def test_two_builds_are_the_same_to_the_byte(source: Path, wheel: Path, tmp_path: Path) -> None:
    for path in source.rglob("*"):
        os.utime(path)

    again = build(source, tmp_path)

    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()


@pytest.mark.timeout(600)
def test_a_clean_environment_serves_calls_from_the_wheel_and_the_lock(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "venv"
    venv.EnvBuilder(with_pip=False).create(home)
    pip = [BASE_PYTHON, "-m", "pip", "--isolated", "--python", str(home / "bin/python"), "install", "--quiet"]
    subprocess.run(
        [*pip, "--no-index", "--find-links", str(lock_wheels(BASE_PYTHON)), str(wheel)],
        env={**os.environ, "PIP_CONFIG_FILE": os.devnull},
        check=True,
    )
    monkeypatch.chdir(tmp_path)  # so that what is imported is what was installed
    monkeypatch.setattr("tests.processes.CLI", (str(home / "bin/agi-lookup"),))
    site = make_site(tmp_path)

    with site.serve():
        told = site.call("447400123456")

    assert (told["LOOKUP_STATUS"], told["LOOKUP_COUNTRY"]) == ("PARTIAL", "GB")
