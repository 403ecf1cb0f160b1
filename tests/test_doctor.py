"""`agi-lookup doctor`: what it says of a machine, with real files, sockets and servers."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from agi_lookup import __version__
from agi_lookup.cache.sqlite.file import open_writer
from agi_lookup.doctor import examination
from agi_lookup.doctor.examination import Manager
from tests.cache.servers import valkey_server
from tests.processes import CLI, Site, make_site
from tests.test_daemon import bought, simulator

CANARY = "c4nary"


@dataclass
class Examined:
    readable: bool
    findings: list[dict[str, Any]]

    def states(self, name: str) -> list[str]:
        return [f["status"] for f in self.findings if f["name"] == name]

    def says(self, name: str) -> str:
        return " | ".join(f["what"] for f in self.findings if f["name"] == name)

    @property
    def failed(self) -> set[str]:
        return {f["name"] for f in self.findings if f["status"] == "fail"}


def examine(site: Site, manager: Manager | None = None) -> Examined:
    """Everything that is wrong says what to do; no secret is shown; nothing breaks."""
    examined = examination.examine(site.config, site.folder, manager)
    shown = str(examined.findings)
    assert CANARY not in shown
    assert all(f.fix for f in examined.findings if f.status in ("warn", "fail")), shown
    assert "a check broke off" not in shown
    return Examined(examined.readable, list(map(asdict, examined.findings)))


def run(site: Site, *args: str, wrap: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*wrap, *CLI, "--config", str(site.config), "doctor", "--asterisk-conf", str(site.folder), *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path, deadline_ms=1000)


def test_a_fresh_machine_is_ready(site: Site) -> None:
    examined = examine(site)
    assert (examined.readable, examined.failed) == (True, set())
    assert examined.states("config") == ["ok"]
    assert examined.states("port agi") == examined.states("port http") == ["ok"]
    assert examined.states("state_dir") == examined.states("databases") == ["ok"]
    assert examined.says("server") == "none runs here with this config"
    assert not (site.folder / "state").exists(), "it changes nothing"


def test_people_get_a_table_with_what_to_do_at_its_end(site: Site) -> None:
    with closing(socket.create_server(("127.0.0.1", site.agi_port))):
        done = run(site)
    found, _, todo = done.stdout.partition("\nWhat to do:\n")
    assert done.returncode == 1
    assert any(line.split()[:3] == ["fail", "port", "agi"] for line in found.splitlines())
    assert f"sport = :{site.agi_port}" in todo


def test_a_config_that_cannot_be_used_ends_it(site: Site) -> None:
    """O10: the machine is looked at all the same."""
    site.config.write_text(f"profiles: {{}}\nnonsense: {CANARY}\n")
    examined = examine(site)
    assert not examined.readable
    assert "nonsense: unknown key" in examined.says("config")
    assert examined.states("event loop") == ["ok"]


def test_no_config_at_all_is_said_with_what_to_do(site: Site) -> None:
    site.config.unlink()
    done = run(site, "--json")
    (finding, *_) = json.loads(done.stdout)
    assert (done.returncode, finding["name"], finding["status"]) == (2, "config", "fail")


def test_a_port_of_another_program_is_told_from_our_servers(site: Site) -> None:
    """O10."""
    with closing(socket.create_server(("127.0.0.1", site.http_port))):
        examined = examine(site)
    assert examined.failed == {"port http"}
    with site.serve():
        examined = examine(site)
    assert examined.failed == set()
    assert "the running server's" in examined.says("port agi")
    assert examined.says("server").endswith("is ready")
    assert "a call was answered" in examined.says("agi")


def test_a_server_that_runs_with_another_token_is_told(site: Site) -> None:
    """F23: calls are refused, though the server is ready."""
    with site.serve():
        site.data["server"]["token"] = CANARY
        site.write()
        assert examine(site).failed == {"agi"}


def test_a_server_of_another_version_is_told(site: Site, tmp_path: Path) -> None:
    """What answers is the old one, after an upgrade without a restart."""
    with subprocess.Popen([sys.executable, "-c", OLD_SERVER, str(site.http_port)], stdout=subprocess.PIPE) as old:
        assert old.stdout is not None
        try:
            old.stdout.readline()
            examined = examine(site)
        finally:
            old.kill()
    assert "warn" in examined.states("server")
    assert f"is version 0.0.9, installed is {__version__}" in examined.says("server")


OLD_SERVER = """
import http.server, json, sys
SAID = {"/healthz": {"status": "ok"}, "/readyz": {"ready": True}, "/api/v1/openapi.json": {"info": {"version": "0.0.9"}}}
class Old(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps(SAID[self.path]).encode())
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Old)
print("listening", flush=True)
server.serve_forever()
"""


def test_a_file_limit_below_the_connections_is_told(site: Site) -> None:
    """F21."""
    done = run(site, "--json", wrap=("prlimit", "--nofile=300:300"))
    (finding,) = (f for f in json.loads(done.stdout) if f["name"] == "descriptors")
    assert (done.returncode, finding["status"]) == (0, "warn")
    assert "limit of 300 lets" in finding["what"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_disk_that_is_nearly_full_is_told(site: Site) -> None:
    """C8. A file system in memory is told too: what was paid for goes with a restart."""
    state = site.folder / "state"
    state.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", state], check=True)
    try:
        examined = examine(site)
    finally:
        subprocess.run(["umount", state], check=True)
    assert examined.states("disk") == ["fail", "warn"]
    assert "is on tmpfs" in examined.says("disk")


def test_state_that_others_may_read_or_cannot_be_written_is_told(site: Site) -> None:
    """S17."""
    state = site.folder / "state"
    state.mkdir(mode=0o755)
    assert examine(site).states("state_dir") == ["warn"]
    state.rmdir()
    state.write_text("no folder")
    assert examine(site).states("state_dir") == ["fail"]


def corrupt(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("spoil", [corrupt, newer])
def test_a_spoilt_database_is_told_and_left_as_it_is(site: Site, spoil: Any) -> None:
    """C10, C11."""
    state = site.folder / "state"
    state.mkdir(mode=0o700)
    with closing(open_writer(state / "cache.sqlite")) as connection:
        connection.execute("INSERT INTO entry VALUES (447400123456, 0, 1, 2, x'00')")
        connection.commit()
    assert examine(site).states("cache.sqlite") == ["ok"]
    spoil(state / "cache.sqlite")
    before = {path.name: path.read_bytes() for path in state.iterdir()}
    examined = examine(site)
    assert examined.failed == {"cache.sqlite"}
    assert {path.name: path.read_bytes() for path in state.iterdir()} == before


def test_a_database_in_use_is_looked_at_beside_its_writer(site: Site) -> None:
    """C9, C12."""
    with site.serve():
        site.call("447400123456")
        assert examine(site).states("cache.sqlite") == ["ok"]
        assert site.call("447400123457")["LOOKUP_STATUS"] == "PARTIAL"


def test_accounts_are_asked_for_their_balance_alone(tmp_path: Path) -> None:
    """P11, P12: let in, refused, low; and nobody is paid."""
    with simulator(tmp_path, "--limit", "npl.credit=12.5") as npl:
        site = make_site(tmp_path, provider=npl, deadline_ms=1000)
        account = site.data["providers"]["npl"]
        site.data["providers"] |= {
            "refused": {**account, "password": CANARY},
            "low": {**account, "low_balance": "20"},
            "away": {**account, "base_url": "http://127.0.0.1:9/npl"},
            "table": {"kind": "ported_numbers", "table": str(tmp_path / "ported.sqlite")},
        }
        site.data["budget"] = {"providers": {"npl": {"per_day": {"credits": "10"}}}}
        site.write()
        examined = examine(site)
        assert bought(npl) == 0
    assert examined.says("provider npl") == "lets us in, 12.50 credits left"
    assert examined.says("provider refused") == "its free balance call failed: auth"
    assert examined.states("provider low") == ["warn"]
    assert examined.states("provider away") == ["fail"]
    assert examined.states("provider table") == ["warn"]
    assert "npl: 10 credits a day at most" in examined.says("budget")
    assert "refused is paid in credits without a daily cap" in examined.says("budget")
    assert examined.failed == {"provider refused", "provider away"}


def test_an_account_without_credit_is_told(tmp_path: Path) -> None:
    with simulator(tmp_path, "--limit", "npl.credit=0") as npl:
        site = make_site(tmp_path, provider=npl, deadline_ms=1000)
        examined = examine(site)
    assert examined.failed == {"provider npl"}


def test_what_everybody_reaches_is_told(site: Site) -> None:
    """F22, F23, A6."""
    site.data["server"] |= {"host": "0.0.0.0", "allow": ["0.0.0.0/0"]}  # noqa: S104
    site.data["http"] |= {"host": "0.0.0.0", "token": f"{CANARY}-of-http"}  # noqa: S104
    site.write()
    examined = examine(site)
    assert examined.states("access") == ["fail", "warn", "warn"]


def test_secrets_that_others_may_read_are_told(site: Site) -> None:
    """A3, S12."""
    secret = site.folder / "token"
    secret.write_text(CANARY)
    secret.chmod(0o644)
    site.data["server"]["token"] = f"file:{secret}"
    site.write()
    assert examine(site).states("secrets") == ["warn"]
    secret.chmod(0o600)
    assert examine(site).states("secrets") == ["ok"]


def test_the_shared_cache_is_reached_or_not(site: Site) -> None:
    """C13."""
    with valkey_server() as server:
        site.data["cache"] = {"shared": {"url": server.url}}
        site.write()
        assert examine(site).states("shared cache") == ["ok"]
    examined = examine(site)
    assert examined.states("shared cache") == ["fail"]


def test_trunks_without_rates_are_told(site: Site) -> None:
    site.data["routing"] = {"trunks": {"acme": {"vendor": "acme", "dial": "PJSIP/{number}@acme"}}}
    site.write()
    assert "no deck of vendor 'acme' is live" in examine(site).says("rates")
    deck = site.folder / "acme.csv"
    deck.write_text("prefix,rate\n44,0.01\n")
    for done in (
        site.cli("rates", "import", str(deck), "--vendor", "acme", "--currency", "EUR"),
        site.cli("rates", "activate", "acme"),
    ):
        assert done.returncode == 0, done.stderr
    assert examine(site).says("rates") == "live decks: acme 0 days old"
    (book,) = (site.folder / "state" / "decks").glob("*.book")
    book.write_bytes(b"no book")
    assert "rates" in examine(site).failed


def test_the_manager_interface_needs_all_of_its_options(site: Site) -> None:
    done = site.cli("doctor", "--ami", "127.0.0.1")
    assert (done.returncode, "belong together" in done.stderr) == (2, True)
    done = site.cli("doctor", "--ami", "127.0.0.1", "--ami-user", "u", "--ami-secret", CANARY)
    assert (done.returncode, "env:NAME" in done.stderr, CANARY in done.stderr) == (2, True, False)


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"Asterisk Call Manager/9.0.0\r\nResponse: Error\r\n"]
)
def test_what_is_no_manager_interface_holds_nobody_up(site: Site, said: bytes) -> None:
    """It says something else, or nothing, and closes or stays."""
    with subprocess.Popen([sys.executable, "-c", STRANGER, said.hex()], stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None
        try:
            port = int(stranger.stdout.readline())
            examined = examine(site, Manager("127.0.0.1", port, "u", CANARY))
        finally:
            stranger.kill()
    assert examined.failed == {"ami"}


def test_no_manager_interface_at_all_is_told(site: Site) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]
    examined = examine(site, Manager("127.0.0.1", port, "u", CANARY))
    assert examined.says("ami") == f"127.0.0.1:{port}: Connection refused"


STRANGER = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
peer = server.accept()[0]
peer.sendall(bytes.fromhex(sys.argv[1]))
while peer.recv(1000): pass
"""
