"""Webhooks over real sockets: who is let in, what is believed, and what hostile bodies cost."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs
from yarl import URL

from agi_lookup.domain.errors import ConfigError
from agi_lookup.domain.model import LookupAnswer
from agi_lookup.metrics import Metrics
from agi_lookup.providers.base import Notice
from agi_lookup.web import listener as listener_module
from agi_lookup.web.hooks import MAX_BODY_BYTES, Hooks, application
from agi_lookup.web.listener import MAX_CONNECTIONS, MAX_PER_SOURCE, Listener
from tests.processes import Process, free_port, make_site
from tests.served import SECRET, Served, block, read_config, serving

NUMBER = "+33639981200"
GOOD = {"phone": NUMBER, "mccMnc": "20801", "ported": 0, "errorGrpId": 0, "errorName": "NO_ERROR "}
SIGNING = {
    "kind": "checkmobi", "secret_key": "k", "public_url": "https://pbx.example.com", "webhook_secret": SECRET,
    "signature_key": "sign-me",
}  # fmt: skip
MEBIBYTE = 1024 * 1024


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(read_config(tmp_path)) as running:
        yield running


async def post(url: str, body: object = GOOD, **headers: str) -> int:
    return (await posted(url, body, **headers))[0]


async def posted(url: str, body: object = GOOD, **headers: str) -> tuple[int, bytes]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.post(URL(url, encoded=True), data=io.BytesIO(data), headers=headers) as reply,
    ):
        return reply.status, await reply.read()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    parts = URL(url)
    reader, writer = await asyncio.open_connection(parts.host, parts.port)
    try:
        yield reader, writer
    finally:
        writer.close()


def head(url: str, *headers: str) -> bytes:
    lines = [f"POST {URL(url).raw_path} HTTP/1.1", "Host: pbx.example.com", *headers, "", ""]
    return "\r\n".join(lines).encode()


async def status(reader: asyncio.StreamReader) -> int:
    return int((await reader.readline()).split()[1])


# Who is let in


async def test_a_genuine_notice_is_answered_at_once_and_ends_the_wait(served: Served) -> None:
    served.core.notices.expect("sms", NUMBER)
    wait = asyncio.create_task(served.core.notices.result("sms", NUMBER, 30.0))
    assert await posted(served.url()) == (200, b"")
    answer = await wait
    assert isinstance(answer, LookupAnswer)
    assert answer.identity is not None
    assert (answer.identity.mcc, answer.identity.mnc) == ("208", "01")
    assert served.events() == {"hook_accepted": 1}


async def test_who_does_not_know_the_path_learns_nothing(served: Served) -> None:
    """A4: provider, secret and body are never told apart."""
    paths = [
        served.url(secret="wrong-secret-of-16"), served.url(secret=SECRET[:-1]), served.url(secret=f"{SECRET}x"),
        served.url(secret=SECRET.upper()), served.url(secret="%00"), served.url(secret="%ff"), served.url(secret="%C3%A9"),
        served.url("other"), served.url("SMS"), served.url("%73ms", "x"), served.url("sms%2F", SECRET),
    ]  # fmt: skip
    replies = {await posted(url, body) for url in paths for body in (GOOD, b"")}
    assert replies == {(404, b"404: Not Found")}
    assert set(served.events()) == {"hook_denied"}


async def test_a_path_that_does_not_exist_looks_the_same(served: Served) -> None:
    for path in ("/hooks", "/hooks/", "/hooks/sms", "/hooks/sms/", f"/hooks/sms/{SECRET}/", f"/hooks//{SECRET}"):
        assert await posted(served.hooks + path) == (404, b"404: Not Found")


async def test_only_post_is_a_webhook(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        for method in ("GET", "PUT", "DELETE", "HEAD"):
            for secret in (SECRET, "wrong-secret-of-16"):
                async with session.request(method, served.url(secret=secret)) as reply:
                    assert reply.status == 405


@pytest.mark.parametrize(
    "secret", ["a/b/c/d/e/f/g/h/i", "100% sure & more?", "é" * 16, "..%2F../../metrics", "x" * 500]
)
async def test_any_secret_makes_a_path(tmp_path: Path, secret: str) -> None:
    config = read_config(tmp_path, providers={"sms": block(webhook_secret=secret)})
    async with serving(config) as served:
        path = config.providers["sms"].webhook_url("sms").removeprefix("http://127.0.0.1:9")
        assert await post(served.hooks + path) == 200
        assert await post(served.hooks + path[:-1]) == 404


async def test_a_provider_without_webhooks_takes_none(tmp_path: Path) -> None:
    npl = {"kind": "numberportabilitylookup", "user": "u", "password": SECRET}
    checkmobi = {"kind": "checkmobi", "secret_key": SECRET}
    async with serving(read_config(tmp_path, providers={"npl": npl, "mobi": checkmobi})) as served:
        for name in ("npl", "mobi"):
            for secret in (SECRET, "None", ""):
                assert await post(served.url(name, secret)) == 404


@pytest.mark.parametrize(
    ("networks", "expected"), [(["10.0.0.0/8"], 404), (["10.0.0.0/8", "127.0.0.0/8"], 200), ([], 404)]
)
async def test_the_access_list_of_a_provider(tmp_path: Path, networks: list[str], expected: int) -> None:
    """S19"""
    config = read_config(tmp_path, providers={"sms": block(webhook_allow=networks), "open": block()})
    async with serving(config) as served:
        assert await post(served.url()) == expected
        assert await post(served.url("open")) == 200


# What is believed


async def test_a_number_that_was_never_asked_for_changes_nothing(served: Served) -> None:
    """A5: the vendor is told 200, because it did nothing wrong and would only try again."""
    late: list[LookupAnswer] = []
    served.core.notices.on_late = late.append
    served.core.notices.expect("other", NUMBER)
    assert await post(served.url()) == 200
    assert late == []
    assert served.events() == {"hook_unasked": 1}


async def test_a_notice_sent_again_is_taken_once(served: Served) -> None:
    """A4"""
    served.core.notices.expect("sms", NUMBER)
    assert [await post(served.url()) for _ in range(3)] == [200, 200, 200]
    assert served.events() == {"hook_accepted": 1, "hook_repeated": 2}


async def test_every_number_of_a_notice_is_counted(served: Served) -> None:
    records = [{**GOOD, "phone": f"+336399812{n:02}"} for n in range(10)]
    for n in range(4):
        served.core.notices.expect("sms", f"+336399812{n:02}")
    assert await post(served.url(), records) == 200
    assert served.events() == {"hook_accepted": 4, "hook_unasked": 6}


@pytest.mark.parametrize("body", [b"", b"null", b"{", b"[]", b"a=b", b"\xff\xfe", b'{"phone": null}'])
async def test_what_the_provider_cannot_read_is_a_bad_request(served: Served, body: bytes) -> None:
    assert await post(served.url(), body) == 400
    assert served.events() == {"hook_refused": 1}


async def test_a_signature_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """A4: where the vendor signs, the path is not enough."""
    async with serving(read_config(tmp_path, providers={"mobi": SIGNING})) as served:
        assert await post(served.url("mobi"), b"{}") == 401
        assert await post(served.url("mobi"), b"{}", **{"X-CheckMobi-Signature": "00" * 32}) == 401
        assert await post(served.url("mobi", "wrong-secret-of-16"), b"{}") == 404


class Broken:
    """A kind of another package, with a bug."""

    always = False
    name = "sms"

    def notice(self, notice: Notice, now: float) -> Any:
        raise RuntimeError(f"cannot read {notice.body!r} of {SECRET}")


async def test_a_bug_in_a_provider_is_counted_and_shows_nothing(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """O9"""
    served.generation = replace(served.generation, providers={"sms": Broken()})  # type: ignore[dict-item]
    asyncio.get_running_loop().set_debug(True)
    with capture_logs() as lines:
        code, body = await posted(served.url())
    assert code == 500
    assert b"Traceback" not in body
    assert lines == [
        {"event": "a bug in reading a webhook", "provider": "sms", "error": "RuntimeError", "log_level": "error"}
    ]
    assert SECRET not in caplog.text
    assert served.core.metrics.registry.get_sample_value("agi_lookup_bugs_total", {"where": "hook"}) == 1


# Hostile bodies


async def test_a_gigabyte_is_refused_before_a_byte_of_it_is_read(served: Served) -> None:
    """A4"""
    async with connected(served.hooks) as (reader, writer):
        writer.write(head(served.url(), "Content-Length: 1073741824"))
        assert await status(reader) == 413
    assert served.events() == {"hook_refused": 1}


@pytest.mark.parametrize("secret", [SECRET, "wrong-secret-of-16"])
async def test_an_endless_body_is_cut_off(served: Served, secret: str) -> None:
    """A4: neither does a stranger make us read on."""
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    sent = 0
    async with connected(served.hooks) as (reader, writer):
        writer.write(head(served.url(secret=secret), "Transfer-Encoding: chunked"))
        try:
            while sent < 1024 * MEBIBYTE:
                writer.write(chunk)
                await writer.drain()
                sent += len(chunk)
        except ConnectionError:
            pass
        with suppress(ConnectionError):
            assert await status(reader) == (413 if secret == SECRET else 404)
    assert sent < 1024 * MEBIBYTE, "it was all read"
    assert await post(served.url()) == 200, "the next is served"


@pytest.mark.parametrize(
    ("kind", "max_batch", "most"),
    [
        (block(), 1, 64 * 1024),
        (block(), 100, 100 * 2048),
        (SIGNING, 1000, MAX_BODY_BYTES),
    ],
)
async def test_a_body_is_as_long_as_a_batch_may_be(
    tmp_path: Path, kind: dict[str, Any], max_batch: int, most: int
) -> None:
    async with serving(read_config(tmp_path, providers={"sms": {**kind, "max_batch": max_batch}})) as served:
        start = json.dumps([GOOD]).encode()
        assert await post(served.url(), start.ljust(most)) in {200, 401}
        assert await post(served.url(), start.ljust(most + 1)) == 413


async def test_a_slow_body_is_given_up(served: Served) -> None:
    """A4"""
    listener = Listener(application(Hooks(served, body_s=0.2)), served.core.metrics)
    port = await listener.start("127.0.0.1", 0)
    try:
        async with connected(f"http://127.0.0.1:{port}") as (reader, writer):
            writer.write(head(served.url(), "Content-Length: 100") + b'{"phone"')
            assert await status(reader) == 408
            await reader.read()  # and it hangs up
    finally:
        await listener.stop()
    assert served.events() == {"hook_refused": 1}


async def test_headers_that_never_end_are_given_up(served: Served) -> None:
    """A4"""
    listener = Listener(application(Hooks(served)), served.core.metrics, idle_s=0.2)
    port = await listener.start("127.0.0.1", 0)
    try:
        async with connected(f"http://127.0.0.1:{port}") as (silent, _):
            async with connected(f"http://127.0.0.1:{port}") as (reader, writer):
                writer.write(head(served.url())[:-10])
                assert await reader.read() == b""
            assert await silent.read() == b""
    finally:
        await listener.stop()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x-gzip", "gzip, identity"])
async def test_a_compressed_body_is_refused_unopened(served: Served, encoding: str) -> None:
    """A4, P6: 16 MiB in 16 KiB."""
    served.core.notices.expect("sms", NUMBER)
    bomb = gzip.compress(json.dumps(GOOD).encode().ljust(16 * MEBIBYTE))
    assert await post(served.url(), bomb, **{"Content-Encoding": encoding}) == 415
    assert await post(served.url(), b"no such thing", **{"Content-Encoding": encoding}) == 415
    assert await post(served.url(secret="wrong-secret-of-16"), bomb, **{"Content-Encoding": encoding}) == 404
    assert served.events() == {"hook_refused": 2, "hook_denied": 1}


async def test_a_body_that_breaks_off_is_refused(served: Served) -> None:
    served.core.notices.expect("sms", NUMBER)
    async with connected(served.hooks) as (reader, writer):
        writer.write(head(served.url(), "Transfer-Encoding: chunked") + b"5\r\n12345\r\nnonsense\r\n")
        assert await status(reader) == 400
    assert served.events() == {}, "aiohttp saw it first"
    async with connected(served.hooks) as (_, writer):
        writer.write(head(served.url(), "Content-Length: 1000") + json.dumps(GOOD).encode())
        await writer.drain()
    await until(lambda: served.events() == {"hook_refused": 1})
    assert await post(served.url()) == 200


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():
            await asyncio.sleep(0.005)


async def test_idle_connections_do_not_take_every_descriptor(served: Served) -> None:
    """F21"""
    idle = [
        await asyncio.open_connection(URL(served.hooks).host, URL(served.hooks).port)
        for _ in range(MAX_CONNECTIONS + 10)
    ]
    ended = [asyncio.create_task(reader.read()) for reader, _ in idle]
    await until(lambda: sum(task.done() for task in ended) >= 10)
    for _, writer in idle:
        writer.close()
    await asyncio.gather(*ended, return_exceptions=True)
    refused = served.core.metrics.registry.get_sample_value("agi_lookup_events_total", {"event": "http_refused"})
    assert refused == 10


async def test_one_stranger_cannot_take_every_connection(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A4, F21: nor can all strangers together keep this machine out."""
    monkeypatch.setattr(listener_module, "_is_here", lambda source: source == "127.0.0.1")
    parts = URL(served.hooks)
    kept, writers, reading = [], [], []
    for last in range(2, 8):
        mine = []
        for _ in range(MAX_PER_SOURCE + 1):
            reader, writer = await asyncio.open_connection(parts.host, parts.port, local_addr=(f"127.0.0.{last}", 0))
            mine.append(asyncio.create_task(reader.read()))
            writers.append(writer)
        await until(lambda mine=mine: any(task.done() for task in mine))  # type: ignore[misc]
        reading += mine
        kept.append(sum(not task.done() for task in mine))
    assert kept[:4] == [MAX_PER_SOURCE] * 4
    assert await post(served.url()) == 200
    for writer in writers:
        writer.close()
    await asyncio.gather(*reading, return_exceptions=True)


def test_one_machine_has_64_bits_of_ipv6() -> None:
    of = listener_module.network_of
    assert of("2001:db8::1") == of("2001:db8::ffff:2") != of("2001:db8:0:1::1")
    assert of("::ffff:192.0.2.1") != of("::ffff:192.0.2.2")
    assert of("fe80::1%eth0") == of("fe80::2%eth0")


@pytest.mark.parametrize(("networks", "heard"), [(["10.0.0.0/8"], False), (["127.0.0.0/8"], True)])
async def test_a_listener_for_webhooks_alone_hangs_up_on_who_may_send_none(
    tmp_path: Path, networks: list[str], heard: bool
) -> None:
    """A4: no provider takes webhooks from there, so the connection is not kept either."""
    config = read_config(tmp_path, providers={"sms": block(webhook_allow=networks)}, hooks={"port": 0})
    async with serving(config) as served, connected(served.hooks) as (reader, writer):
        writer.write(head(served.url(), "Content-Length: 2", "Connection: close") + b"{}")
        with suppress(ConnectionError):
            assert bool(await reader.read()) is heard


async def test_one_connection_brings_many_notices(served: Served) -> None:
    numbers = [f"+336399812{n:02}" for n in range(50)]
    for number in numbers:
        served.core.notices.expect("sms", number)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        for number in numbers:
            async with session.post(served.url(), json={**GOOD, "phone": number}) as reply:
                assert reply.status == 200
    assert served.events() == {"hook_accepted": 50}


# Where


async def test_hooks_need_no_token_and_everything_else_still_does(tmp_path: Path) -> None:
    """A6"""
    config = read_config(tmp_path, http={"port": 0, "token": "t0ken-t0ken"})
    async with serving(config) as served, aiohttp.ClientSession() as session:
        assert await post(served.url(), Host="pbx.example.com") == 200
        assert await post(served.url(), Origin="https://evil.example") == 200, "it knows the secret"
        for path in ("/metrics", "/api/v1/lookup/447400123456", "/nothing", f"/hooks/sms/{SECRET}/../../../metrics"):
            async with session.get(served.http + path) as reply:
                assert reply.status == 401


async def test_a_listener_of_its_own_serves_nothing_else(tmp_path: Path) -> None:
    """S19"""
    config = read_config(tmp_path, hooks={"port": 0})
    async with serving(config) as served, aiohttp.ClientSession() as session:
        assert served.hooks != served.http
        assert await post(served.url()) == 200
        assert await post(served.http + f"/hooks/sms/{SECRET}") == 404
        for path in ("/", "/healthz", "/readyz", "/metrics", "/api/v1/lookup/447400123456"):
            async with session.get(served.hooks + path) as reply:
                assert reply.status == 404


async def test_webhooks_come_in_where_http_is_switched_off(tmp_path: Path) -> None:
    config = read_config(tmp_path, http={"enabled": False}, hooks={"port": 0})
    async with serving(config) as served:
        assert await post(served.url()) == 200


def test_webhooks_with_nowhere_to_come_in_are_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hooks\.port: needed for webhooks"):
        read_config(tmp_path, http={"enabled": False})


# Reload


async def test_a_reload_changes_the_secret_and_leaves_the_waits(served: Served, tmp_path: Path) -> None:
    """O4, S14"""
    served.core.notices.expect("sms", NUMBER)
    wait = asyncio.create_task(served.core.notices.result("sms", NUMBER, 30.0))
    await served.reload(read_config(tmp_path, providers={"sms": block(webhook_secret="another-secret-of-16")}))
    assert await post(served.url()) == 404
    assert await post(served.url(secret="another-secret-of-16")) == 200
    assert isinstance(await wait, LookupAnswer)
    await served.reload(read_config(tmp_path, providers={}))
    assert await post(served.url(secret="another-secret-of-16")) == 404


# Logs


async def test_refusals_are_counted_always_and_logged_once_a_minute(served: Served) -> None:
    with capture_logs() as lines:
        for _ in range(20):
            await post(served.url(secret="wrong-secret-of-16"))
            await post(served.url(), b"nonsense")
    assert served.events() == {"hook_denied": 20, "hook_refused": 20}
    assert lines == [
        {"event": "hook denied", "provider": "", "why": "", "log_level": "warning"},
        {"event": "hook refused", "provider": "sms", "why": "malformed", "log_level": "warning"},
    ]


async def test_neither_secret_nor_number_goes_into_a_log(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """A3, S13: aiohttp's own loggers too, at their most talkative."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    served.core.notices.expect("sms", NUMBER)
    with capture_logs() as lines:
        await post(served.url())
        await post(served.url(), {**GOOD, "ported": []})
        await post(served.url(), NUMBER.encode())
        await post(served.url(secret=f"{SECRET}-canary"))
        for broken in (b"\r\nX\x00: y\r\n\r\n", b"\r\nContent-Length: -1\r\n\r\n", b" garbage\r\n\r\n"):
            async with connected(served.hooks) as (reader, writer):
                writer.write(head(served.url()).removesuffix(b"\r\n\r\n") + broken)
                await reader.read(200)
    shown = caplog.text + repr(lines) + served.core.metrics.exposition().decode()
    for hidden in (SECRET, "canary", NUMBER.removeprefix("+")):
        assert hidden not in shown


async def test_what_is_no_http_does_not_fill_the_log(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """S18"""
    for _ in range(20):
        async with connected(served.hooks) as (reader, writer):
            writer.write(b"POST /\xc3\xa9 HTTP/1.1\r\n\r\n")
            assert b" 400 " in await reader.read(100)
    assert len(caplog.records) == 1


# The whole server


def test_the_server_takes_webhooks_and_a_new_secret_by_reload(tmp_path: Path) -> None:
    """O4, S13, S14: as a process, with its real log."""
    site = make_site(tmp_path)
    port = free_port()
    site.data["hooks"] = {"port": port}
    site.data["log"] = {"level": "debug"}
    site.data["providers"] = {"sms": block(api_key="c4n4ry-key")}
    site.write()
    url = f"http://127.0.0.1:{port}/hooks/sms/"
    with site.serve(PYTHONASYNCIODEBUG="1") as server:
        assert server.lines("serving")[0]["hooks"] == f"127.0.0.1:{port}"
        assert asyncio.run(post(url + SECRET)) == 200
        assert asyncio.run(post(url + "wrong-secret-of-16")) == 404
        site.data["providers"]["sms"]["webhook_secret"] = "another-secret-of-16"
        site.data["hooks"]["port"] = port + 1
        site.write()
        assert reloaded(server)["needs_restart"] == ["hooks.port"]
        assert asyncio.run(post(url + SECRET)) == 404
        assert asyncio.run(post(url + "another-secret-of-16", b"nonsense")) == 400
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(f"POST {URL(url).raw_path}another-secret-of-16é HTTP/1.1\r\n\r\n".encode())
            assert b" 400 " in client.recv(1000), "and what is no HTTP is not quoted in the log"
        assert server.end(signal.SIGTERM) == 0
        text = server.log.read_text()
    for hidden in (SECRET, "wrong-secret", "another-secret", "c4n4ry", NUMBER.removeprefix("+")):
        assert hidden not in text


def reloaded(server: Process) -> dict[str, Any]:
    server.popen.send_signal(signal.SIGHUP)
    (line,) = server.wait_for("reloaded")
    return line


def test_metrics_name_no_provider_that_nobody_configured() -> None:
    """A8"""
    assert b"hook_" not in Metrics().exposition()
