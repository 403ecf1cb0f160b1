"""What a server process needs of the machine: ports, descriptors, an event loop; and the one that runs here already."""

from __future__ import annotations

import http.client
import json
import platform
import re
import resource
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Final

from agi_lookup import __version__
from agi_lookup.agi.words import NO_TOKEN
from agi_lookup.cache.sqlite.file import CACHE_FILE
from agi_lookup.cache.sqlite.lock import server_pid
from agi_lookup.config import Config, reachable
from agi_lookup.doctor.findings import Finding, fail, ok, printable, skipped, warn
from agi_lookup.server import RESERVED_FILES
from agi_lookup.sim.asterisk import Behaviour, play
from agi_lookup.sim.asterisk_args import StackSmashed
from agi_lookup.sim.asterisk_wire import Call
from agi_lookup.web.client import bearer

TEST_NUMBER: Final = "+2100000000000"
"""No country has 210 (ITU-T E.164 lists it as spare), so that in every dial plan it is no number, and nobody is asked or paid."""
TEST_ERROR: Final = "unknown_country_code"
ANSWER_S: Final = 3.0
MAX_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Running:
    """The server that answers at the config's HTTP address, or holds its cache. `version` is None where it does not tell."""

    pid: str | None
    answers: bool = False
    ready: bool = False
    version: str | None = None


def find_running(config: Config) -> Running | None:
    """Looks only."""
    pid = server_pid(config.state_dir / CACHE_FILE) if config.cache.disk else None
    if not config.http.enabled or not config.http.port:
        return Running(pid) if pid else None
    if _get(config, "/healthz") != (200, {"status": "ok"}):
        return Running(pid) if pid else None
    ready = _get(config, "/readyz")[0] == http.client.OK
    info = _get(config, "/api/v1/openapi.json")[1].get("info")
    version = info.get("version") if isinstance(info, dict) else None
    return Running(pid, answers=True, ready=ready, version=version if isinstance(version, str) else None)


def _get(config: Config, path: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON object; 0 where there is no answer, an empty object where it is another."""
    connection = http.client.HTTPConnection(reachable(config.http.host), config.http.port, timeout=ANSWER_S)
    try:
        connection.request("GET", path, headers=bearer(config.http))
        reply = connection.getresponse()
        body = json.loads(reply.read(MAX_BYTES) or b"{}") if reply.status == http.client.OK else {}
    except (OSError, ValueError, RecursionError, http.client.HTTPException):
        return 0, {}
    finally:
        connection.close()
    return reply.status, body if isinstance(body, dict) else {}


def check_server(running: Running | None) -> Iterator[Finding]:
    if running is None:
        yield skipped("server", "none runs here with this config")
        return
    who = f"the server (pid {running.pid})" if running.pid else "the server"
    if not running.answers:
        yield warn("server", f"{who} runs, and its HTTP listener does not answer", "look at its log; is http.enabled?")
        return
    if running.ready:
        yield ok("server", f"{who} is ready")
    else:
        yield fail("server", f"{who} is not ready: it starts or stops", "look at its log")
    if running.version not in (None, __version__):
        what = f"{who} is version {printable(running.version or '')}, installed is {__version__}"
        yield warn("server", what, "restart it: systemctl restart agi-lookup")


async def check_agi(config: Config, running: Running | None) -> list[Finding]:
    """A call as Asterisk makes it, for a number that nobody is asked or paid for."""
    if running is None or not config.server.port:
        return []
    host, port, prefix = reachable(config.server.host), config.server.port, config.variables.prefix
    token = config.server.token.get_secret_value() if config.server.token else NO_TOKEN
    uniqueid = f"{time.time():.3f}"
    call = Call((TEST_NUMBER, uniqueid, token), uniqueid=uniqueid, url=f"agi://{host}:{port}/lookup")
    try:
        played = await play(call, host, port, Behaviour(give_up_s=ANSWER_S))
    except (OSError, StackSmashed) as error:
        return [
            fail("agi", f"{host}:{port} does not answer a call ({type(error).__name__})", "look at the server's log")
        ]
    if played.variables.get(f"{prefix}ERROR") == TEST_ERROR:
        return [ok("agi", f"a call was answered in {played.ms:.0f} ms, for nothing")]
    fix = "look at the server's log: this machine may not be in server.allow, or the server runs with another config"
    return [fail("agi", f"a call was not answered (AGISTATUS={played.agistatus})", fix)]


def check_ports(config: Config, running: Running | None) -> Iterator[Finding]:
    """Free, or the running server's."""
    wanted = [("port agi", config.server.host, config.server.port)]
    if config.http.enabled:
        wanted.append(("port http", config.http.host, config.http.port))
    if config.hooks.port is not None:
        wanted.append(("port hooks", config.hooks.host, config.hooks.port))
    for name, host, port in wanted:
        yield _port(name, host, port, running)


def _port(name: str, host: str, port: int, running: Running | None) -> Finding:
    where = f"{host}:{port}"
    if not port:
        return ok(name, f"{host}, chosen by the system")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.create_server(address[:2], family=family):
            return ok(name, f"{where} is free")
    except OSError as error:
        if running is not None and _listens(host, port):
            return ok(name, f"{where} is the running server's")
        fix = f"ss -ltnp 'sport = :{port}' says whose it is; end that, or choose another port"
        return fail(name, f"{where} cannot be listened on: {error.strerror or type(error).__name__}", fix)


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((reachable(host), port), timeout=ANSWER_S):
            return True
    except OSError:
        return False


def check_descriptors(config: Config, running: Running | None) -> Iterator[Finding]:
    """Connections above the limit are refused, and their calls go on without a lookup."""
    wanted = config.server.max_connections + RESERVED_FILES
    limit = _limit_of(running.pid) if running and running.pid else None
    whose = "the running server's" if limit is not None else "this user's"
    if limit is None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limit = wanted if hard == resource.RLIM_INFINITY else hard
    if limit >= wanted:
        yield ok("descriptors", f"{whose} limit lets {config.server.max_connections} calls ask at once")
        return
    calls = max(0, limit - RESERVED_FILES)
    what = f"{whose} limit of {limit} lets {calls} calls ask at once, server.max_connections says {config.server.max_connections}"
    fix = "raise it (LimitNOFILE= of the unit, or ulimit -n), or lower server.max_connections"
    yield warn("descriptors", what, fix) if calls else fail("descriptors", what, fix)


def _limit_of(pid: str) -> int | None:
    """Another process's hard limit of open files."""
    try:
        limits = Path("/proc", pid, "limits").read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    found = re.search(r"^Max open files +\S+ +(\d+)", limits, re.MULTILINE)
    return int(found[1]) if found else None


def check_loop() -> Iterator[Finding]:
    python = f"Python {platform.python_version()}"
    try:
        import uvloop  # noqa: F401, PLC0415
    except ImportError:
        yield fail("event loop", f"{python} without uvloop: the server cannot start", "install the package anew")
        return
    yield ok("event loop", f"{python}, uvloop {installed('uvloop')}")
