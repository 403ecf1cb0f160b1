"""`agi-lookup serve` as a process of its own: start, signals, crashes, its HTTP side, and the commands beside it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from agi_lookup import wiring
from agi_lookup.cache.sqlite import Mode
from agi_lookup.daemon import Daemon
from agi_lookup.domain.model import Facet, LookupQuery, Number, NumberType, Tri
from agi_lookup.lag import LagMeter
from agi_lookup.metrics import Metrics
from agi_lookup.providers.base import NumberResult, SourceOptions
from agi_lookup.server import Server
from tests.lookup.virtual_time import run
from tests.processes import Process, Site, cli, free_port, make_site, running, until
from tests.served import read_config

NUMBER = Number("+33639980100", "FR", NumberType.MOBILE, Tri.YES)


@contextmanager
def simulator(folder: Path, *args: str) -> Iterator[str]:
    """The NPL simulator's base URL."""
    port = free_port()
    with running(folder / "sim.log", "sim", "--port", str(port), *args) as process:
        wait_for_port(port, process)
        yield f"http://127.0.0.1:{port}/npl"


def wait_for_port(port: int, process: Process) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.popen.poll() is None, process.log.read_text()
        time.sleep(0.02)
    raise AssertionError("the port never opened")


def bought(base: str) -> int:
    """Numbers that the simulator was asked about."""
    return sum(account["numbers"] for account in fetch(base.removesuffix("/npl") + "/_sim/bill").values())


def request(url: str, **headers: str) -> tuple[int, str]:
    """GET: the status and the body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", parts._replace(scheme="", netloc="").geturl(), headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def fetch(url: str) -> Any:
    status, body = request(url)
    assert status == 200, body
    return json.loads(body)


@pytest.fixture
def npl(tmp_path: Path) -> Iterator[str]:
    with simulator(tmp_path) as base:
        yield base


@pytest.fixture
def site(tmp_path: Path, npl: str) -> Site:
    return make_site(tmp_path, provider=npl)


def test_the_quickstart_answers_from_the_numbering_plan(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    with site.serve():
        got = site.call("447400123456")

    assert (got["LOOKUP_STATUS"], got["LOOKUP_ACTION"], got["LOOKUP_NUMBER"]) == ("PARTIAL", "allow", "+447400123456")
    assert (got["LOOKUP_COUNTRY"], got["LOOKUP_TYPE"], got["LOOKUP_SOURCE"]) == ("GB", "mobile", "plan")
    assert got["LOOKUP_ORIG_CARRIER"] != ""
    assert (got["LOOKUP_CARRIER"], got["LOOKUP_PORTED"], got["LOOKUP_REACHABLE"]) == ("", "unknown", "unknown")


def test_a_provider_is_paid_once_and_the_answer_survives_kill_9(site: Site, npl: str) -> None:
    """C6, F25, O1."""
    with site.serve() as server:
        first, second = site.call("447400123401"), site.call("07400123401")
        until(lambda: site.json("cache", "stats")["rows"] == 2)  # how soon that is, tests/cache says
        server.end(signal.SIGKILL)
    with site.serve():
        third = site.call("447400123401")

    assert (first["LOOKUP_STATUS"], first["LOOKUP_CACHE"], first["LOOKUP_PORTED"]) == ("OK", "miss", "yes")
    assert (second["LOOKUP_STATUS"], second["LOOKUP_CACHE"]) == ("OK", "fresh")
    assert (third["LOOKUP_STATUS"], third["LOOKUP_CACHE"], third["LOOKUP_CARRIER"]) == (
        "OK",
        "fresh",
        first["LOOKUP_CARRIER"],
    )
    assert bought(npl) == 1


@pytest.mark.parametrize("dialled", ["112", "999", "911", "+1911", "9999", "9*112", "0112"])
def test_emergency_numbers_never_reach_a_provider(site: Site, npl: str, dialled: str) -> None:
    """B1."""
    with site.serve():
        got = site.call(dialled)

    assert (got["LOOKUP_STATUS"], got["LOOKUP_ACTION"], got["LOOKUP_NUMBER"]) == ("EMERGENCY", "allow", "")
    assert bought(npl) == 0


def test_a_hanging_provider_costs_the_deadline_and_no_more(tmp_path: Path, npl: str) -> None:
    site = make_site(tmp_path, provider=npl, deadline_ms=1500)
    with site.serve():
        shown = site.json("call", "447400123421", "--agi", site.agi)

    got = shown["variables"]
    assert (got["LOOKUP_STATUS"], got["LOOKUP_ACTION"], got["LOOKUP_ERROR"]) == ("TIMEOUT", "allow", "timeout")
    assert 1490 <= int(got["LOOKUP_MS"]) < 1950
    assert (shown["commands"], shown["early_bytes"]) == (1, 0)


def test_a_slow_answer_is_kept_for_the_next_call(tmp_path: Path) -> None:
    """P20."""
    with simulator(tmp_path, "--latency-ms", "1500") as npl:
        site = make_site(tmp_path, provider=npl)
        with site.serve():
            assert site.call("447400123400", "--option", "timeout_ms=500")["LOOKUP_STATUS"] == "TIMEOUT"
            until(lambda: bool(fetch(f"http://127.0.0.1:{site.http_port}/api/v1/cache/447400123400")["entries"]))
            got = site.call("447400123400")
        assert (got["LOOKUP_STATUS"], got["LOOKUP_CACHE"]) == ("OK", "fresh")
        assert bought(npl) == 1


def test_a_dead_number_is_blocked_only_when_told_to(site: Site) -> None:
    with site.serve() as server:
        shadow = site.call("447400123403")
        site.data["policy"] = {"dead_numbers": {"mode": "enforce"}}
        site.write()
        server.popen.send_signal(signal.SIGHUP)
        server.wait_for("reloaded")
        enforced, absent = site.call("447400123403"), site.call("447400123402")

    assert (shadow["LOOKUP_ACTION"], shadow["LOOKUP_RULE"]) == ("allow", "shadow:dead_number")
    assert (enforced["LOOKUP_ACTION"], enforced["LOOKUP_CAUSE"]) == ("block", "1")
    assert (absent["LOOKUP_ACTION"], absent["LOOKUP_REASON"], absent["LOOKUP_REACHABLE"]) == ("allow", "absent", "no")


def test_a_bad_reload_keeps_the_old_config_and_says_why(site: Site) -> None:
    """A1, O4."""
    with site.serve() as server:
        good = site.config.read_text()
        for number, bad in enumerate(["profiles: [", "", "nonsense: 1\n" + good], 1):
            site.config.write_text(bad)
            server.popen.send_signal(signal.SIGHUP)
            problems = server.wait_for("reload failed, the old config stays", number)
            assert str(site.config) in problems[-1]["problem"]
            assert site.call("447400123400")["LOOKUP_STATUS"] == "OK"


class SlowDriver:
    """Answers nothing, a minute later, and notes what was done to it while a lookup was under way."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.closed = self.closed_too_soon = False
        self._under_way = False

    async def run(self, lookup: Any, *, timeout_s: float) -> dict[str, NumberResult]:
        lookup.close()
        self._under_way = True
        self.asked.set()
        await asyncio.sleep(60.0)
        self._under_way = False
        return {}

    async def close(self) -> None:
        self.closed, self.closed_too_soon = True, self._under_way


def test_a_reload_leaves_the_old_connections_to_the_lookups_that_still_wait(tmp_path: Path) -> None:
    """O4: a wait in line, or for a webhook, is longer than any time-out."""

    async def main() -> None:
        providers = {"ported": {"kind": "ported_numbers", "timeout_s": 0.3}}
        config = read_config(tmp_path, providers=providers)
        core = await wiring.open_core(config, Metrics(), Mode.SERVER)
        made: list[SlowDriver] = []

        def make_driver(_options: SourceOptions) -> SlowDriver:
            made.append(SlowDriver())
            return made[-1]

        daemon = Daemon(tmp_path / "agi-lookup.yaml", core, LagMeter(), make_driver)
        daemon.generation = old = daemon.build(config)
        daemon.attach(cast("Server", SimpleNamespace()))
        deadline = asyncio.get_running_loop().time() + 120.0
        query = LookupQuery(NUMBER, frozenset({Facet.IDENTITY}))
        asking = asyncio.create_task(old.kit.profiles["default"].resolver.resolve(query, deadline=deadline))
        await made[0].asked.wait()

        daemon.reload()
        await asking
        await asyncio.sleep(2.0)

        assert [(driver.closed, driver.closed_too_soon) for driver in made] == [(True, False), (False, False)]
        await daemon.close()
        await core.close(0.0)

    run(main())


def test_a_reload_says_what_needs_a_restart(site: Site) -> None:
    with site.serve() as server:
        site.data["server"]["port"] = free_port()
        site.data["server"]["token"] = "s3cret"
        site.write()
        server.popen.send_signal(signal.SIGHUP)
        (line,) = server.wait_for("reloaded")

        assert line["needs_restart"] == ["server.port"]
        assert site.call("447400123400", "--token", "s3cret")["LOOKUP_STATUS"] == "OK"


def test_sigterm_ends_with_0_and_keeps_what_was_bought(site: Site, npl: str) -> None:
    """O3."""
    with site.serve() as server:
        site.call("447400123400")
        assert server.end(signal.SIGTERM, within_s=5) == 0
    with site.serve():
        assert site.call("447400123400")["LOOKUP_CACHE"] == "fresh"
    assert bought(npl) == 1


def test_a_port_in_use_is_one_clear_line(site: Site) -> None:
    """O10."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", site.agi_port))
        taken.listen()
        done = site.cli("serve")

    assert done.returncode == 3
    assert f"cannot listen on 127.0.0.1:{site.agi_port} (Address already in use)" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_config_is_one_clear_line(tmp_path: Path) -> None:
    """O10."""
    done = cli("--config", str(tmp_path / "absent.yaml"), "serve")

    assert done.returncode == 2
    assert "cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_corrupt_database_stops_nothing(site: Site) -> None:
    """C10."""
    state = site.folder / "state"
    state.mkdir()
    (state / "cache.sqlite").write_bytes(b"this is no database" * 1000)
    with site.serve() as server:
        assert site.call("447400123400")["LOOKUP_STATUS"] == "OK"
        assert server.lines("alarm"), "the operator is told"
    assert list(state.glob("*corrupt*")), "nothing is thrown away"


def test_a_database_that_another_process_has_locked_stops_nothing(site: Site) -> None:
    """C9."""
    with site.serve():
        site.call("447400123400")
        other = sqlite3.connect(site.folder / "state" / "cache.sqlite", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        got = site.call("447400123401")
        other.execute("ROLLBACK")
        other.close()

    assert got["LOOKUP_STATUS"] == "OK"


def test_health_metrics_and_api(site: Site) -> None:
    with site.serve():
        site.call("447400123401")
        base = f"http://127.0.0.1:{site.http_port}"
        _, metrics = request(f"{base}/metrics")
        looked_up = fetch(f"{base}/api/v1/lookup/447400123401")

        assert fetch(f"{base}/healthz") == {"status": "ok"}
        assert fetch(f"{base}/readyz") == {"ready": True}
        assert (looked_up["number"], looked_up["cache"]) == ("+447400123401", "fresh")

    assert 'agi_lookup_calls_total{action="allow",cache="miss",status="OK"} 1.0' in metrics
    assert 'agi_lookup_source_requests_total{provider="npl",result="answer"} 1.0' in metrics
    assert "447400123401" not in metrics


def test_the_api_wants_its_token_and_a_loopback_name(site: Site) -> None:
    """A6."""
    base = f"http://127.0.0.1:{site.http_port}"
    with site.serve():
        assert request(f"{base}/api/v1/cache/447400123401", Host="evil.example")[0] == 403
    site.data["http"]["token"] = "t0ken-t0ken"
    site.write()
    with site.serve():
        assert request(f"{base}/metrics")[0] == 401
        assert request(f"{base}/metrics", Authorization="Bearer wrong")[0] == 401
        assert request(f"{base}/metrics", Authorization="Bearer t0ken-t0ken")[0] == 200
        assert fetch(f"{base}/healthz") == {"status": "ok"}
        assert site.json("lookup", "447400123400")["status"] == "OK", "the command line knows the token"


def test_another_sites_page_cannot_spend_through_the_operators_browser(site: Site, npl: str) -> None:
    """A6."""
    url = f"http://127.0.0.1:{site.http_port}/api/v1/lookup/447400123401"
    with site.serve():
        assert request(url, Origin="https://evil.example")[0] == 403
        assert request(url, **{"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert bought(npl) == 0


def test_idle_http_connections_leave_room_for_calls(site: Site) -> None:
    with site.serve():
        idle = [socket.create_connection(("127.0.0.1", site.http_port)) for _ in range(200)]
        assert site.call("447400123400")["LOOKUP_STATUS"] == "OK"
        until(lambda: sum(map(is_closed, idle)) >= 200 - 64)
        for client in idle:
            client.close()


def is_closed(client: socket.socket) -> bool:
    """By the other side, which says nothing."""
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def test_sigterm_waits_for_what_is_being_paid_for(tmp_path: Path) -> None:
    """O3: the caller has gone on, the answer is on its way."""
    with simulator(tmp_path, "--latency-ms", "3000") as npl:
        site = make_site(tmp_path, provider=npl)
        site.data["server"]["drain_s"] = 30
        site.write()
        with site.serve() as server:
            assert site.call("447400123400", "--option", "timeout_ms=500")["LOOKUP_STATUS"] == "TIMEOUT"
            assert server.end(signal.SIGTERM) == 0
        with site.serve():
            assert site.call("447400123400")["LOOKUP_CACHE"] == "fresh"
        assert bought(npl) == 1


def test_a_request_that_cannot_be_parsed_puts_no_number_into_the_log(site: Site) -> None:
    """S13: libraries log on their own."""
    with site.serve() as server:
        with socket.create_connection(("127.0.0.1", site.http_port)) as client:
            client.sendall(b"GET /api/v1/lookup/+447400123401 HTTP/9.9\r\nAuthorization: c4n4ry\x00\r\n\r\n")
            client.recv(1000)
        server.end(signal.SIGTERM)
        text = server.log.read_text()
    assert "447400123401" not in text
    assert "c4n4ry" not in text


def test_commands_beside_a_running_server_share_its_cache(site: Site, npl: str) -> None:
    with site.serve():
        paid = site.json("lookup", "07400123401")
        got = site.call("447400123401")
        forgotten = site.json("cache", "forget", "447400123401")
        again = site.call("447400123401")

    assert (paid["status"], paid["cache"], got["LOOKUP_CACHE"]) == ("OK", "miss", "fresh")
    assert forgotten["forgotten"] == 2
    assert again["LOOKUP_CACHE"] == "miss"
    assert bought(npl) == 2


def test_commands_without_a_server_keep_what_they_buy(site: Site, npl: str) -> None:
    first, second = site.json("lookup", "447400123401"), site.json("lookup", "447400123401")
    explained = site.json("explain", "447400123401")

    assert (first["cache"], second["cache"]) == ("miss", "fresh")
    assert set(first) >= {"number", "status", "country", "type", "valid", "identity", "liveness", "source", "cache", "age_s",
                          "cost", "currency", "error", "ms"}  # fmt: skip
    assert (first["cost"], first["currency"]) == ("1.00", "credits")
    assert [s["step"] for s in explained["steps"]] == [
        "emergency", "number", "cache", "gates", "lookup", "routes", "rules"
    ]  # fmt: skip
    assert bought(npl) == 1


def test_a_second_server_on_the_same_state_does_not_touch_it(site: Site, tmp_path: Path) -> None:
    """C12."""
    folder = tmp_path / "second"
    folder.mkdir()
    second = make_site(folder)
    second.data["state_dir"] = site.data["state_dir"]
    second.write()
    with site.serve(), second.serve() as other:
        assert second.call("447400123456")["LOOKUP_STATUS"] == "PARTIAL"
        assert other.lines("alarm")
        assert site.call("447400123400")["LOOKUP_STATUS"] == "OK"


CANARIES = ("c4n4ry-p4ss", "447400123499")


def test_no_secret_and_no_whole_number_in_any_log(tmp_path: Path, npl: str) -> None:
    """A3, S13: at the most talkative level, with good and refused credentials."""
    for password in ("sim-pass", CANARIES[0]):
        folder = tmp_path / password
        folder.mkdir()
        site = make_site(folder, provider=npl)
        site.data["providers"]["npl"]["password"] = password
        site.data["log"] = {"level": "debug"}
        site.write()
        with site.serve(PYTHONASYNCIODEBUG="1") as server:
            site.call(CANARIES[1])
            site.call("447400123423")
            server.end(signal.SIGTERM)
            text = server.log.read_text()
        for canary in CANARIES:
            assert canary not in text


def test_an_idle_server_leaves_no_file_open_to_others(site: Site) -> None:
    """S17."""
    with site.serve():
        site.call("447400123400")
    state = site.folder / "state"

    assert state.stat().st_mode & 0o777 == 0o700
    assert {f.stat().st_mode & 0o077 for f in state.iterdir()} == {0}
    assert os.access(state / "cache.sqlite", os.R_OK)


def test_a_server_leaves_no_core_and_no_file_to_others(site: Site) -> None:
    """S17: whatever the limits and the umask of who started it."""
    with site.serve(("sh", "-c", 'umask 022; ulimit -c unlimited; exec "$@"', "sh")) as server:
        limits = Path(f"/proc/{server.pid}/limits").read_text()
        status = Path(f"/proc/{server.pid}/status").read_text()

    assert re.search(r"^Max core file size +0 ", limits, re.MULTILINE)
    assert re.search(r"^Umask:\s+0077$", status, re.MULTILINE)
