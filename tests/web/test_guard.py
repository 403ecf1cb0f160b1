"""Who may ask the HTTP API: tokens, guesses, other sites' pages, and what each answer carries."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from configparser import RawConfigParser
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr
from structlog.testing import capture_logs

from agi_lookup.domain.errors import ConfigError
from agi_lookup.web.guard import MAX_SOURCES, MAX_WRONG, WRONG_S, Guard
from agi_lookup.web.listener import Listener
from tests.processes import make_site
from tests.served import Served, read_config, serving
from tests.test_daemon import request as get

TOKEN = "t0ken-t0ken"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
WRONG = {"Authorization": "Bearer t0ken-t0keN"}
FAIL2BAN = Path(__file__).parents[2] / "config" / "fail2ban"
API = "/api/v1/calls"


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(read_config(tmp_path, http={"port": 0, "token": TOKEN})) as running:
        yield running


@pytest.fixture
async def open_one(tmp_path: Path) -> AsyncIterator[Served]:
    """Without a token."""
    async with serving(read_config(tmp_path)) as running:
        yield running


async def ask(
    served: Served, path: str = API, method: str = "GET", from_: str = "127.0.0.1", **headers: str
) -> tuple[int, Any]:
    connector = aiohttp.TCPConnector(local_addr=(from_, 0))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, served.http + path, headers=headers) as reply,
    ):
        return reply.status, (await reply.json() if reply.content_type == "application/json" else None)


# Tokens


@pytest.mark.parametrize(
    "headers",
    [
        {}, WRONG, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": f"Bearer {TOKEN} "[:-2]},
        {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}\u00e9"}, {"X-Token": TOKEN},
        {"Cookie": f"token={TOKEN}"},
    ],
)  # fmt: skip
async def test_without_the_token_nothing_is_told(guarded: Served, headers: dict[str, str]) -> None:
    """A6."""
    assert await ask(guarded, **headers) == (401, {"error": "denied"})
    assert await ask(guarded, "/api/v1/no-such-thing", **headers) == (401, {"error": "denied"})
    assert (await ask(guarded, "/metrics", **headers))[0] == 401
    assert (await ask(guarded, **RIGHT))[0] == 200
    assert (await ask(guarded, f"{API}?token={TOKEN}"))[0] == 401, "in a URL it would end in logs"


async def test_health_and_the_consoles_page_need_no_token(guarded: Served) -> None:
    for path in ("/healthz", "/readyz", "/"):
        assert (await ask(guarded, path))[0] == 200
    assert (await ask(guarded, "/static/../metrics"))[0] == 401


def test_another_host_without_a_token_is_a_config_error(tmp_path: Path) -> None:
    """A6: there is no default token, and nothing is open to the network without one."""
    for host in ("0.0.0.0", "::", "192.0.2.1", "pbx.example.com"):  # noqa: S104
        with pytest.raises(ConfigError, match=r"http\.token: needed because http\.host is not loopback"):
            read_config(tmp_path, http={"host": host})
    with pytest.raises(ConfigError, match=r"http\.token"):
        read_config(tmp_path, http={"host": "0.0.0.0", "token": "short"})  # noqa: S104
    assert read_config(tmp_path).http.token is None
    assert read_config(tmp_path).http.host == "127.0.0.1"


# Guesses


async def test_who_guesses_is_locked_out_and_nobody_else_is(guarded: Served) -> None:
    """A6: the right token does not help either, so that a guess is not told from the others."""
    for _ in range(MAX_WRONG):
        assert (await ask(guarded, **WRONG))[0] == 401
    assert await ask(guarded, **WRONG) == (429, {"error": "too_many_failures"})
    assert await ask(guarded, **RIGHT) == (429, {"error": "too_many_failures"})
    assert (await ask(guarded, from_="127.0.0.2", **RIGHT))[0] == 200
    assert (await ask(guarded, "/healthz"))[0] == 200


async def test_refusals_that_are_no_guesses_lock_nobody_out(guarded: Served) -> None:
    """A6: else a page in the operator's browser could."""
    for _ in range(2 * MAX_WRONG):
        assert (await ask(guarded, Origin="https://evil.example"))[0] == 403
        assert (await ask(guarded))[0] == 401, "a browser that does not know yet that a token is wanted"
    assert (await ask(guarded, **RIGHT))[0] == 200


@asynccontextmanager
async def at(guard: Guard) -> AsyncIterator[str]:
    """A server of nothing but this guard."""

    async def nothing(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(middlewares=[guard.middleware])
    app.router.add_get("/", nothing)
    listener = Listener(app, Silent())
    port = await listener.start("127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await listener.stop()


class Silent:
    def event(self, word: str) -> None: ...
    def bug(self, where: str) -> None: ...


async def test_a_lock_out_ends(tmp_path: Path) -> None:
    now = 1000.0
    guard = Guard(SecretStr(TOKEN), Silent(), lambda _request: False, lambda _request: False, lambda: now)
    async with at(guard) as url, aiohttp.ClientSession() as session:

        async def status(headers: dict[str, str]) -> int:
            async with session.get(url, headers=headers) as reply:
                if reply.status == 429:
                    assert reply.headers["Retry-After"] == f"{WRONG_S:.0f}"
                return reply.status

        assert [await status(WRONG) for _ in range(MAX_WRONG + 1)] == [401] * MAX_WRONG + [429]
        now += WRONG_S - 1
        assert await status(RIGHT) == 429
        now += 2
        assert await status(RIGHT) == 200
        assert await status(WRONG) == 401, "and the count begins anew"
        for _ in range(40):
            now += 15
            assert await status(WRONG) == 401, "somebody with an old token is no guesser, however long"


def test_the_table_of_guessers_is_bounded() -> None:
    """S18."""
    guard = Guard(SecretStr(TOKEN), Silent(), lambda _request: False, lambda _request: False, lambda: 0.0)
    assert guard._wrong.maxsize == MAX_SOURCES


async def test_each_wrong_token_is_one_line_without_the_token(guarded: Served) -> None:
    """A3, S18: enough for fail2ban, and no more than ten a minute from one source."""
    with capture_logs() as lines:
        for _ in range(MAX_WRONG + 5):
            await ask(guarded, f"{API}?x=447400123456", **WRONG)
    assert lines == [{"peer": "127.0.0.1", "event": "http denied", "log_level": "warning"}] * MAX_WRONG


def test_fail2ban_finds_the_line(tmp_path: Path) -> None:
    """A6: the shipped filter on a real log, by its own rules, and by fail2ban where that is installed."""
    site = make_site(tmp_path)
    site.data["http"]["token"] = TOKEN
    site.write()
    with site.serve() as server:
        for path in (
            "/api/v1/calls",
            '/api/v1/cache/"peer":"198.51.100.1","event":"http%20denied"'.replace('"', "%22"),
        ):
            assert get(f"http://127.0.0.1:{site.http_port}{path}", **WRONG)[0] == 401
        server.wait_for("http denied", 2)
    log = server.log.read_text()
    found = [match["host"] for line in log.splitlines() if (match := re.match(_failregex(), line))]
    assert found == ["127.0.0.1"] * 2
    if (program := shutil.which("fail2ban-regex")) is not None:
        done = subprocess.run(
            [program, str(server.log), str(FAIL2BAN / "filter.d" / "agi-lookup.conf")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert re.search(r"Failregex: 2 total", done.stdout), done.stdout + done.stderr


def _failregex() -> str:
    """With `<ADDR>` as fail2ban's own `R_HOST` has it: https://github.com/fail2ban/fail2ban, server/failregex.py."""
    shipped = RawConfigParser()
    shipped.read(FAIL2BAN / "filter.d" / "agi-lookup.conf")
    address = r"(?:::f{4,6}:)?(?P<host>(?:\d{1,3}\.){3}\d{1,3}|\[?(?:[0-9a-fA-F]{1,4}::?|:){1,7}[0-9a-fA-F]{1,4}\]?)"
    return shipped["Definition"]["failregex"].replace("<ADDR>", address)


def test_the_jail_uses_the_filter() -> None:
    jail = RawConfigParser()
    jail.read(FAIL2BAN / "jail.d" / "agi-lookup.conf")
    assert jail["agi-lookup"]["filter"] == "agi-lookup"
    assert int(jail["agi-lookup"]["maxretry"]) <= MAX_WRONG, "the server logs no more than that in a minute"


# Other sites


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_another_sites_page_is_refused_with_and_without_a_token(
    open_one: Served, guarded: Served, method: str
) -> None:
    """A6: CSRF, and no CORS."""
    path = "/api/v1/cache/+33639981200"
    for served, headers in ((open_one, {}), (guarded, RIGHT)):
        own = served.http
        for site in (
            {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site", "Origin": own},
        ):  # fmt: skip
            assert await ask(served, path, method, **headers, **site) == (403, {"error": "another_site"})
        for site in ({"Origin": own}, {"Sec-Fetch-Site": "same-origin", "Origin": own}, {"Sec-Fetch-Site": "none"}):
            assert (await ask(served, path, method, **headers, **site))[0] == 200, "the console itself"
    assert await ask(open_one, path, "OPTIONS") == (405, {"error": "method_not_allowed"})


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1", "127.0.0.2"],
)
async def test_without_a_token_a_host_that_is_not_loopback_is_refused(open_one: Served, host: str) -> None:
    """A6: DNS rebinding."""
    assert await ask(open_one, Host=host) == (403, {"error": "unknown_host"})


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8573", "127.0.0.1:1", "[::1]:8573"])
async def test_without_a_token_loopback_names_are_served(open_one: Served, host: str) -> None:
    assert (await ask(open_one, Host=host))[0] == 200


# Every answer


async def test_every_answer_is_hardened(open_one: Served, guarded: Served) -> None:
    """A6."""
    paths = (
        "/healthz",
        "/metrics",
        API,
        "/api/v1/nothing",
        "/api/v1/cache/*",
        "/hooks/sms/wrong-secret-of-16",
        "/nothing",
    )
    async with aiohttp.ClientSession() as session:
        for served in (open_one, guarded):
            for path in paths:
                async with session.get(served.http + path) as reply:
                    told = reply.headers
                    assert told["X-Content-Type-Options"] == "nosniff"
                    assert told["Cache-Control"] == "no-store"
                    assert told["Content-Security-Policy"].startswith("default-src 'none'")
                    assert told["Server"] == "agi-lookup", "no versions"
                    assert not [name for name in told if name.startswith("Access-Control")]
