"""The Debian package on a fresh Debian 12: installed, called through a real Asterisk, upgraded, removed, purged."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import yaml

from tests.asterisk.lab import Call, running
from tests.asterisk.root import asterisk_root
from tests.debian import Unavailable
from tests.packages.building import build_deb, python_of_debian
from tests.packages.machine import UNIT, USER, Machine
from tests.packages.root import debian_root, fresh
from tests.processes import Process, free_port

pytestmark = [pytest.mark.asterisk, pytest.mark.alone, pytest.mark.timeout(900, func_only=True)]

NUMBER = "447400123400"
"""Reachable, for the simulator."""
CONFIG = "/etc/agi-lookup/agi-lookup.yaml"
SECRET = "/etc/agi-lookup/npl.password"
STATE = "/var/lib/agi-lookup"
DIALPLAN = "/usr/share/agi-lookup/asterisk"
NEXT_VERSION = "9.0.0-1"


def cannot(why: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module", autouse=True)
def unhindered(untraced: None) -> None:
    """What runs here is the package's, not what is measured."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (python := python_of_debian()) is None:
        cannot("the package is built with Python 3.11, Debian 12's")
    return build_deb(tmp_path_factory.mktemp("dist"), python)


@pytest.fixture
def machine() -> Iterator[Machine]:
    try:
        root = debian_root()
    except Unavailable as error:
        cannot(str(error))
    with fresh(root) as copy:
        yield Machine(copy)


def next_version(package: Path, folder: Path) -> Path:
    """The same with a higher version, and another default config."""
    tree, newer = folder / "tree", folder / "next.deb"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control, config = tree / "DEBIAN/control", tree / CONFIG.lstrip("/")
    control.write_text("".join(_newer(line) for line in control.read_text().splitlines(keepends=True)))
    config.write_text("# The default of another version.\n" + config.read_text())
    subprocess.run(["dpkg-deb", "-Znone", "-b", tree, newer], check=True, stdout=subprocess.DEVNULL)
    return newer


def _newer(line: str) -> str:
    return f"Version: {NEXT_VERSION}\n" if line.startswith("Version:") else line


def put(machine: Machine, package: Path) -> str:
    shutil.copy(package, machine.path("/srv"))
    return f"/srv/{package.name}"


def configure(machine: Machine, agi_port: int, sim_port: int) -> str:
    """As its administrator would: an account, trunks and the vendor's rates. Returns the file's text."""
    secret = machine.path(SECRET)
    secret.write_text("sim-pass\n")
    secret.chmod(0o640)  # of the folder's group
    config = yaml.safe_load(machine.path(CONFIG).read_text())
    config["server"] = {"port": agi_port}
    config["http"] = {"port": free_port()}
    config["profiles"]["default"]["deadline_ms"] = 5000
    config["providers"] = {
        "npl": {
            "kind": "numberportabilitylookup",
            "base_url": f"http://127.0.0.1:{sim_port}/npl",
            "allow_private": True,
            "user": "sim-user",
            "password": f"file:{SECRET}",
        }
    }
    config["routing"] = {"trunks": {"acme": {"vendor": "acme", "dial": "Local/{number}@trunk-good/n"}}}
    text = "# Ours.\n" + yaml.safe_dump(config)
    machine.path(CONFIG).write_text(text)
    machine.path("/srv/acme.csv").write_text("prefix,rate\n44,0.01\n")
    for command in (
        ("agi-lookup", "check"),
        ("agi-lookup", "rates", "import", "--vendor", "acme", "--currency", "EUR", "/srv/acme.csv"),
        ("agi-lookup", "rates", "activate", "acme"),
    ):
        done = machine.user_runs(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    return text


def owner(path: Path, passwd: Path) -> str:
    """By the names of the machine, which are not ours."""
    by_id = {int(line.split(":")[2]): line.split(":")[0] for line in passwd.read_text().splitlines()}
    return f"{by_id[path.stat().st_uid]} {path.stat().st_mode & 0o777:o}"


def check_installed(machine: Machine) -> None:
    passwd, group = machine.path("/etc/passwd"), machine.path("/etc/group")
    assert owner(machine.path(STATE), passwd) == f"{USER} 700"
    environment = machine.path("/etc/agi-lookup/environment")
    assert owner(environment, passwd) == "root 640"
    assert f"{USER}:x:{environment.stat().st_gid}:" in group.read_text()
    assert machine.path("/etc/systemd/system/multi-user.target.wants/agi-lookup.service").is_symlink()
    assert machine.user_runs("agi-lookup", "--version").returncode == 0
    assert machine.user_runs("agi-lookup", "check").returncode == 0, "the shipped config is good as it is"
    machine.root_runs("agi-lookup", "init", "--yes", "--country", "FR", "--config", "/etc/agi-lookup/first.yaml")
    done = machine.user_runs("agi-lookup", "--config", "/etc/agi-lookup/first.yaml", "check")
    assert done.returncode == 0, done.stderr
    findings = {f["name"]: f for f in machine.json("agi-lookup", "doctor")}
    assert [f for f in findings.values() if f["status"] == "fail"] == []
    assert findings["state_dir"]["status"] == "ok"
    assert not list(machine.path("/opt/agi-lookup").rglob("hatchling*")), "what only builds need is not in it"


async def call(machine: Machine, port: int) -> Call:
    """Through a real Asterisk, with the package's dialplan."""
    with running(asterisk_root(), machine.path(DIALPLAN)) as asterisk:
        return await asterisk.call(NUMBER, context="agi-lookup-dial", AGI_LOOKUP_URL=f"agi://127.0.0.1:{port}")


def variables(machine: Machine, port: int) -> dict[str, str]:
    told: dict[str, str] = machine.json("agi-lookup", "call", NUMBER, "--agi", f"127.0.0.1:{port}")["variables"]
    return told


async def check_first_calls(machine: Machine, port: int, process: Process) -> None:
    done = await call(machine, port)
    told = variables(machine, port)

    assert done.dialled == [f"trunk-good {NUMBER}"], process.log.read_text()
    assert done.at("hangup")["LOOKUP_SOURCE"] == "npl"
    assert (told["LOOKUP_CACHE"], told["LCR_1_TRUNK"]) == ("fresh", "acme")


async def test_a_life_of_the_package(package: Path, machine: Machine, tmp_path: Path) -> None:
    """An upgrade and a removal keep config, cache, ledger and decks; a purge keeps nothing."""
    port, sim_port = free_port(), free_port()
    machine.apt("install", put(machine, package))
    check_installed(machine)
    config = configure(machine, port, sim_port)

    with machine.running(tmp_path / "sim.log", "agi-lookup", "sim", "--port", str(sim_port)):
        with machine.service(tmp_path / "first.log") as process:
            await check_first_calls(machine, port, process)
            spent = machine.json("agi-lookup", "spend")
            machine.apt("install", put(machine, next_version(package, tmp_path)))
            assert variables(machine, port)["LOOKUP_STATUS"] == "OK", "it serves on until it is restarted"

        assert machine.version() == NEXT_VERSION
        assert machine.path(CONFIG).read_text() == config
        assert machine.path(f"{CONFIG}.dpkg-dist").exists()
        with machine.service(tmp_path / "second.log"):
            told = variables(machine, port)
            assert (told["LOOKUP_CACHE"], told["LCR_1_TRUNK"], told["LOOKUP_SOURCE"]) == ("fresh", "acme", "npl")
            assert machine.json("agi-lookup", "spend") == spent, "nothing is paid again"

    machine.apt("remove", "agi-lookup")
    assert not machine.path("/opt/agi-lookup").exists()
    assert not machine.path(UNIT).exists()
    assert machine.path(CONFIG).read_text() == config
    assert {"cache.sqlite", "ledger.sqlite", "decks"} <= {path.name for path in machine.path(STATE).iterdir()}

    machine.apt("purge", "agi-lookup")
    left = machine.root_runs("find", "/", "-xdev", "-name", "*agi-lookup*", "-not", "-path", "/srv/*").stdout.split()
    assert left == []
