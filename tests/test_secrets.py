"""No secret of the config shows anywhere: in logs at their most talkative, metrics, pages, files, commands' output or `ps`.

Vendors here are as bad as they can be: they send back in headers, bodies and redirects whatever they were sent.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final
from urllib.parse import quote

import pytest

from agi_lookup.providers import loading
from agi_lookup.sim import recordings
from tests.processes import CLI, Process, Site, make_site

pytestmark = pytest.mark.usefixtures("untraced")

PRESETS: Final = {
    name.split(".")[0] for name in os.listdir(Path(loading.__file__).parent / "presets") if name.endswith(".yaml")
}
NUMBERS: Final = [f"4474009876{index:02d}" for index in range(8)]
LONG: Final = 32


class Vendor(BaseHTTPRequestHandler):
    """Each account (the first part of the path) is treated worse by turns; who it is asked for says how."""

    def log_message(self, *_args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        echo = f"{self.path} {self.headers} {self.rfile.read(length).decode('latin-1')}"
        turns: Counter[str] = self.server.turns  # type: ignore[attr-defined]
        account = self.path.split("/")[1]
        turns[account] += 1
        match turns[account]:
            case 1:
                self._say(500, {"error": echo, "message": echo})
            case 2:
                self._say(200, [{"msisdn": echo, "status": echo, "error": echo, "results": [{"error": echo}]}])
            case 3:
                where = f"http://{self.headers.get('Host')}/elsewhere?{quote(echo)}"
                self._say(302, {"error": echo}, Location=where)
            case 4:
                time.sleep(1.5)
                self._say(200, {})
            case _:
                self._say(401, {"error": echo, "detail": echo}, **{"WWW-Authenticate": quote(echo)})

    do_POST = do_GET  # noqa: N815 - http.server's name

    def _say(self, status: int, body: object, **headers: str) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            return


@contextmanager
def vendor() -> Iterator[tuple[str, Counter[str]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
    server.turns = Counter()  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.turns  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()


class Secrets:
    """Made up as the config asks for them: what each is, by the name of its environment variable."""

    def __init__(self) -> None:
        self.environ: dict[str, str] = {}

    def new(self) -> str:
        name = f"CANARY_{len(self.environ)}"
        self.environ[name] = f"c4n4ry{len(self.environ):02d}x7Zq".ljust(LONG, "k")
        return f"env:{name}"

    def found_in(self, *texts: bytes) -> list[str]:
        return [
            name for name, secret in self.environ.items() for text in texts if any(f in text for f in forms(secret))
        ]


def forms(secret: str) -> list[bytes]:
    """As it is, and inside of what is Base64, wherever it begins there."""
    found = [secret.encode()]
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + secret.encode())
        found.append(encoded[4 if before else 0 : -4])
    return found


def block(kind: str, base_url: str, secrets: Secrets, **more: Any) -> dict[str, Any]:
    """A provider with a canary in every option that may hold a secret."""
    fields = loading.find(kind).Options.model_fields
    made: dict[str, Any] = {"kind": kind, "base_url": base_url, "allow_private": True, "timeout_s": 1, **more}
    for name, field in fields.items():
        if "SecretStr" in str(field.annotation):
            made[name] = secrets.new()
        elif field.is_required() and name not in made:
            made[name] = field.examples[0] if field.examples else f"a-{name}"
    if "webhook_secret" in made:
        made["public_url"] = base_url
    return made


def accounts(base_url: str, secrets: Secrets) -> dict[str, dict[str, Any]]:
    made = {k: block(k, f"{base_url}/{k}", secrets) for k in recordings.kinds() if k != "http_json"}
    for name in sorted(PRESETS):
        made[name] = block("http_json", f"{base_url}/{name}", secrets, preset=name, account="an-account")
    made["tls"] = block("hlrlookup", f"{base_url}/tls".replace("http:", "https:"), secrets)
    return made


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.timeout(300)
def test_no_secret_shows_anywhere(tmp_path: Path, closed_port: int) -> None:
    """A3, S13: every secret of every kind of provider, the tokens, the webhooks' and the Valkey's; when all goes wrong, too."""
    secrets = Secrets()
    with vendor() as (base_url, turns):
        site = make_site(tmp_path)
        site.data["server"]["token"] = secrets.new()
        site.data["http"]["token"] = secrets.new()
        valkey = secrets.new().removeprefix("env:")
        secrets.environ["VALKEY_URL"] = f"redis://user:{secrets.environ[valkey]}@127.0.0.1:{closed_port}"
        site.data |= {
            "providers": accounts(base_url, secrets),
            "cache": {"shared": {"url": "env:VALKEY_URL"}},
            "calls": {"enabled": True},
            "log": {"level": "debug"},
        }
        site.write()
        assert len(secrets.environ) > 2 + len(site.data["providers"])
        with site.serve(PYTHONASYNCIODEBUG="1", **secrets.environ) as server:
            pages = [drive(site, name, secrets) for name in site.data["providers"]]
            pages += [get(site, path, secrets) for path in every_page(site, secrets)]
            pages.append(Path(f"/proc/{server.pid}/cmdline").read_bytes())
            said = [run(site, secrets, *args) for args in COMMANDS]
            reload_what_is_wrong(site, server, secrets)
            server.end(signal.SIGTERM)
            log = server.log.read_bytes()
        said.append(run(site, secrets, "lookup", NUMBERS[0], "--provider", "numberyo"))
        files = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]

    asked = {name for name in site.data["providers"] if turns[name] >= 5}
    assert asked == site.data["providers"].keys() - {"tls"}, "each vendor saw all of its secrets, and threw them back"
    assert b"c4n4ry" not in b"".join([log, *pages, *said, *files]), secrets.found_in(log, *pages, *said, *files)
    assert secrets.found_in(log, *pages, *said, *files) == []
    assert b"provider_auth" in log
    assert b"reload failed" in log


COMMANDS: Final = (("check",), ("doctor", "--json"), ("balance",), ("explain", NUMBERS[0]))


def drive(site: Site, provider: str, secrets: Secrets) -> bytes:
    """One provider is asked until it refuses."""
    return b"".join(
        get(site, f"/api/v1/lookup/{number}?provider={provider}&wait_s=5", secrets) for number in NUMBERS[:6]
    )


def every_page(site: Site, secrets: Secrets) -> list[str]:
    document = json.loads(get(site, "/api/v1/openapi.json", secrets).partition(b"\n\n")[2])
    paths = [path for path, operations in document["paths"].items() if "get" in operations]
    return ["/", "/nowhere", *(path.replace("{number}", NUMBERS[0]).replace("{id}", "x") for path in paths)]


def get(site: Site, path: str, secrets: Secrets) -> bytes:
    """Status line, headers and body."""
    token = secrets.environ[site.data["http"]["token"].removeprefix("env:")]
    connection = http.client.HTTPConnection("127.0.0.1", site.http_port, timeout=30)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        reply = connection.getresponse()
        return f"{reply.status} {reply.headers}".encode() + reply.read()
    finally:
        connection.close()


def run(site: Site, secrets: Secrets, *args: str) -> bytes:
    """All that a command says, whatever comes of it."""
    done = subprocess.run(
        [*CLI, "--config", str(site.config), *args],
        capture_output=True, check=False, timeout=60, env={**os.environ, **secrets.environ},
    )  # fmt: skip
    return done.stdout + done.stderr


def reload_what_is_wrong(site: Site, server: Process, secrets: Secrets) -> None:
    """Where the secrets stand: the log says what `check` would say."""
    secret = next(iter(secrets.environ.values()))
    good = dict(site.data)
    wrong: list[dict[str, Any]] = [
        {"server": {"token": f"{secret} with a blank"}},
        {"http": {"token": secret[:4]}},
        {"cache": {"shared": {"url": f"http://user:{secret}@host"}}},
        {"providers": {"npl": {"kind": "numberportabilitylookup", "password": secret, "passwrd": secret}}},
        {"providers": {"hlr": {"kind": "hlrlookup", "api_key": [secret], "api_secret": {secret: secret}}}},
        {"providers": {"smspartner": {**good["providers"]["smspartner"], "public_url": f"ftp://{secret}@host"}}},
    ]
    for number, bad in enumerate(wrong, 1):
        site.data = good | bad
        site.write()
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for("reload failed, the old config stays", number)
    site.data = good
    site.write()


def test_a_bug_in_a_command_is_told_to_standard_error_without_what_its_frames_hold(tmp_path: Path) -> None:
    """A3, F9: what `agi-lookup-agi` writes to standard output, Asterisk takes for commands."""
    site = make_site(tmp_path)
    program = f"""
import asyncio, structlog
from pathlib import Path
from agi_lookup.config import read_config
from agi_lookup.oneoff import opened

async def main():
    async with opened(read_config(Path({str(site.config)!r}))):
        try:
            key = "c4n4ry"
            raise RuntimeError(key)
        except RuntimeError:
            structlog.get_logger().exception("a bug")

asyncio.run(main())
"""
    done = subprocess.run([*CLI[:1], "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == ""
    assert json.loads(done.stderr)["error"] == "RuntimeError"
    assert "c4n4ry" not in done.stderr
