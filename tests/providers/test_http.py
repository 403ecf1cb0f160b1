"""The driver against vendors that fail in every way that a network allows. Real sockets, real TLS, nothing patched."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import ssl
import struct
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from agi_lookup.domain.errors import (
    ConfigError,
    ProviderError,
    ProviderOutcomeUnknown,
    ProviderProtocolError,
    ProviderTimeout,
    ProviderTlsError,
    ProviderUnavailable,
)
from agi_lookup.providers.base import HttpReply, HttpRequest, Lookup, ProviderOptions
from agi_lookup.providers.http import MAX_STEPS, HttpDriver, VendorResolver
from tests.providers.servers import Certificates, Exchange, Serve, never, ok, raw_server

SECRET = "s3cr3t-canary"
NUMBER = "447700900123"
SOON_S = 1.5
"""Long enough for a loopback exchange on a busy machine, short enough to wait for."""


@asynccontextmanager
async def driver(url: str, *, resolver: AbstractResolver | None = None, **options: Any) -> AsyncIterator[HttpDriver]:
    running = HttpDriver(
        ProviderOptions(kind="test", base_url=url, **{"allow_private": True, **options}), resolver=resolver
    )
    try:
        yield running
    finally:
        await running.close()


def post(url: str, *, charged: bool = True) -> HttpRequest:
    return HttpRequest("POST", url, form=(("pass", SECRET), ("msisdn", NUMBER)), charged=charged)


def get(url: str, *, charged: bool = True) -> HttpRequest:
    return HttpRequest("GET", url, query=(("pass", SECRET), ("msisdn", NUMBER)), charged=charged)


def asking(*steps: HttpRequest, seen: list[HttpReply] | None = None) -> Lookup:
    for step in steps:
        reply = yield step
        if seen is not None:
            seen.append(reply)
    return {}


async def replies(running: HttpDriver, *steps: HttpRequest, timeout_s: float = 5.0) -> list[HttpReply]:
    seen: list[HttpReply] = []
    await running.run(asking(*steps, seen=seen), timeout_s=timeout_s)
    return seen


async def failure(running: HttpDriver, *steps: HttpRequest, timeout_s: float = 5.0) -> ProviderError:
    """The error of a run, which shows neither credential nor number nor URL, however it is logged (S13)."""
    with pytest.raises(ProviderError) as caught:
        await running.run(asking(*steps), timeout_s=timeout_s)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__dict__)
    for hidden in (SECRET, NUMBER, "/api", "http://"):
        assert hidden not in shown
    return error


def exactly(error: ProviderError, expected: type[ProviderError]) -> bool:
    return type(error) is expected


async def test_a_reply_comes_back_whole() -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.answer(b'{"a": 1}', "418 Teapot", "X-Thing: Yes")

    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        (reply,) = await replies(running, post(vendor.url))
    assert (reply.status, reply.body, reply.headers["x-thing"]) == (418, b'{"a": 1}', "Yes")
    assert vendor.requests[0].body == f"pass={SECRET}&msisdn={NUMBER}".encode()


async def test_what_comes_after_the_close_is_not_sent_and_costs_nothing() -> None:
    """A reload closes the old connections; who still comes with them must not be taken for paid."""
    async with raw_server(ok) as vendor, driver(vendor.url) as running:
        await running.close()
        error = await failure(running, post(vendor.url))
    assert exactly(error, ProviderUnavailable)
    assert not error.maybe_charged
    assert vendor.requests == []


async def test_a_close_in_the_middle_of_a_lookup_does_not_unpay_its_first_request() -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.answer(b"{}")
        await running.close()

    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        error = await failure(running, post(vendor.url), post(vendor.url))
    assert error.maybe_charged
    assert len(vendor.requests) == 1


async def test_a_streamed_reply_comes_back_whole() -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"[1", b",2", b"]"):
            await exchange.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            await asyncio.sleep(0)
        await exchange.send(b"0\r\n\r\n")

    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        (reply,) = await replies(running, post(vendor.url))
    assert reply.body == b"[1,2]"


async def test_several_steps_use_one_connection() -> None:
    async with raw_server(ok) as vendor, driver(vendor.url) as running:
        await replies(running, post(vendor.url), post(vendor.url), get(vendor.url))
    assert vendor.connections == 1
    assert len(vendor.requests) == 3


async def test_a_provider_that_never_ends_is_ended() -> None:
    async with raw_server(ok) as vendor, driver(vendor.url) as running:
        error = await failure(running, *[post(vendor.url, charged=False)] * (MAX_STEPS + 5))
    assert exactly(error, ProviderProtocolError)
    assert len(vendor.requests) == MAX_STEPS


async def test_a_provider_may_answer_for_a_lost_reply_itself() -> None:
    def lookup(url: str) -> Lookup:
        try:
            yield post(url)
        except ProviderOutcomeUnknown:
            yield get(url.replace("/api", "/list"), charged=False)
        return {}

    async def serve(exchange: Exchange) -> None:
        await (ok(exchange) if "/list" in exchange.head else lose(exchange))

    async def lose(exchange: Exchange) -> None:
        exchange.reset()

    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        assert await running.run(lookup(vendor.url), timeout_s=5.0) == {}


# P1, P2, P3: nothing comes


async def test_refused_is_unavailable_and_unpaid() -> None:
    """P1"""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        async with driver(url) as running:
            error = await failure(running, post(url))
    assert exactly(error, ProviderUnavailable)
    assert "ECONNREFUSED" in str(error)
    assert not error.maybe_charged


class Names(AbstractResolver):
    """A DNS that answers with `address` once `released`, or fails when there is none."""

    def __init__(self, *addresses: str, hangs: bool = False) -> None:
        self.addresses = addresses
        self.hangs = hangs
        self.asked = 0
        self.under_way = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        self.under_way += 1
        try:
            if self.hangs:
                await asyncio.Event().wait()
        finally:
            self.under_way -= 1
        if not self.addresses:
            raise OSError("no such host")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass


async def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    """P1"""
    url = "https://vendor.example/api"
    async with driver(url, resolver=Names()) as running:
        error = await failure(running, post(url))
    assert exactly(error, ProviderUnavailable)


async def test_a_dns_that_hangs_holds_nobody_beyond_his_deadline_and_is_asked_once() -> None:
    """P1: fifty wait for the same name."""
    names = Names("127.0.0.1", hangs=True)
    url = "https://vendor.example/api"
    async with driver(url, resolver=names, max_concurrency=100) as running:
        errors = await asyncio.gather(*(failure(running, post(url), timeout_s=SOON_S) for _ in range(50)))
    assert {type(error) for error in errors} == {ProviderUnavailable}
    assert names.asked == 1
    assert names.under_way == 0


async def test_the_last_good_address_outlives_a_dns_outage() -> None:
    """P1"""
    names = Names("127.0.0.1")
    resolver = VendorResolver(names, allow_private=True)
    good = await resolver.resolve("vendor.example")
    names.addresses = ()
    assert await resolver.resolve("vendor.example") == good
    with pytest.raises(OSError, match="no such host"):
        await resolver.resolve("other.example")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:10.0.0.1", "224.0.0.1"]
)
async def test_a_public_name_that_points_inside_is_refused(address: str) -> None:
    """A9: DNS rebinding; nothing is connected to."""
    url = "https://vendor.example/api"
    async with driver(url, resolver=Names(address), allow_private=False) as running:
        error = await failure(running, post(url))
    assert exactly(error, ProviderUnavailable)
    assert "PrivateAddressError" in str(error)


async def test_public_addresses_stay_when_a_name_has_both() -> None:
    resolver = VendorResolver(Names("10.0.0.1", "93.184.215.14"), allow_private=False)
    assert [found["host"] for found in await resolver.resolve("vendor.example")] == ["93.184.215.14"]


async def test_a_black_hole_is_unavailable_and_unpaid() -> None:
    """P2: the backlog is full, so the kernel drops what comes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with driver(url) as running:
            error = await failure(running, post(url), timeout_s=SOON_S)
        for one in waiting:
            one.close()
    assert exactly(error, ProviderUnavailable)


async def stall_in_headers(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    await never(exchange)


async def drip(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await exchange.send(b"x")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("serve", [never, stall_in_headers, drip])
async def test_the_deadline_is_for_the_whole_reply(serve: Serve) -> None:
    """P3: what was sent may have been paid."""
    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        error = await failure(running, post(vendor.url), timeout_s=SOON_S)
        assert exactly(error, ProviderTimeout)
        assert error.maybe_charged
        assert len(vendor.requests) == 1


async def test_the_deadline_is_for_all_steps_together() -> None:
    async def serve(exchange: Exchange) -> None:
        await asyncio.sleep(SOON_S / 2)
        await exchange.answer()

    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        error = await failure(running, *[post(vendor.url)] * 10, timeout_s=SOON_S)
    assert exactly(error, ProviderTimeout)


async def test_what_had_come_by_the_deadline_is_not_lost_and_nothing_more_is_sent() -> None:
    """P3, P20: a batch that goes in parts. The first was answered and paid, the second is under way, the third never goes."""
    said: list[HttpReply | ProviderError] = []

    def parts(url: str) -> Lookup:
        for _ in range(3):
            try:
                said.append((yield post(url)))
            except ProviderError as error:
                said.append(error)
        return {}

    async def serve(exchange: Exchange) -> None:
        await (ok(exchange) if len(vendor.requests) == 1 else never(exchange))

    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        assert await running.run(parts(vendor.url), timeout_s=SOON_S) == {}
        assert len(vendor.requests) == 2
    answered, lost, unsent = said
    assert isinstance(answered, HttpReply)
    assert isinstance(lost, ProviderError)
    assert exactly(lost, ProviderTimeout)
    assert isinstance(unsent, ProviderUnavailable)
    assert not unsent.maybe_charged


async def test_what_is_not_sent_any_more_does_not_unpay_what_was() -> None:
    """P3"""

    def lookup(url: str) -> Lookup:
        try:
            yield post(url)
        except ProviderTimeout:
            yield post(url)
        return {}

    async with raw_server(never) as vendor, driver(vendor.url) as running:
        with pytest.raises(ProviderTimeout):
            await running.run(lookup(vendor.url), timeout_s=SOON_S)
        assert len(vendor.requests) == 1


async def test_a_free_request_that_times_out_is_unpaid() -> None:
    async with raw_server(never) as vendor, driver(vendor.url) as running:
        error = await failure(running, post(vendor.url, charged=False), timeout_s=SOON_S)
    assert exactly(error, ProviderUnavailable)


async def test_a_free_step_that_fails_after_a_paid_one_is_paid() -> None:
    async def serve(exchange: Exchange) -> None:
        await (ok(exchange) if exchange.head.startswith("POST") else never(exchange))

    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        error = await failure(running, post(vendor.url), get(vendor.url, charged=False), timeout_s=SOON_S)
    assert exactly(error, ProviderTimeout)


async def test_a_request_that_finds_no_free_connection_is_unpaid() -> None:
    async with raw_server(never) as vendor, driver(vendor.url, max_concurrency=1) as running:
        first = asyncio.create_task(failure(running, post(vendor.url), timeout_s=2 * SOON_S))
        while not vendor.requests:
            await asyncio.sleep(0.01)
        error = await failure(running, post(vendor.url), timeout_s=SOON_S / 5)
        assert exactly(error, ProviderUnavailable)
        assert exactly(await first, ProviderTimeout)
        assert vendor.connections == 1


# P4: TLS


@pytest.fixture
def good_tls(certificates: Certificates) -> ssl.SSLContext:
    return certificates.server("good")


async def test_a_certificate_of_a_configured_authority_is_accepted(
    certificates: Certificates, good_tls: ssl.SSLContext
) -> None:
    async with raw_server(ok, good_tls) as vendor:
        url = vendor.url.replace("http:", "https:")
        async with driver(url, ca_file=certificates.authority) as running:
            (reply,) = await replies(running, post(url))
    assert reply.status == 200


def old_tls(certificates: Certificates) -> ssl.SSLContext:
    context = certificates.server("old")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1
    return context


BAD_TLS: dict[str, Callable[[Certificates], ssl.SSLContext]] = {
    "expired": lambda made: made.server("expired", until="20210101000000Z"),
    "wrong host": lambda made: made.server("wrong", host="DNS:other.example"),
    "self-signed": Certificates.self_signed,
    "TLS 1.0": old_tls,
}


@pytest.mark.parametrize("fault", BAD_TLS)
async def test_a_vendor_that_cannot_prove_itself_gets_no_credential(certificates: Certificates, fault: str) -> None:
    """P4"""
    context = BAD_TLS[fault](certificates)
    async with raw_server(ok, context) as vendor:
        url = vendor.url.replace("http:", "https:")
        async with driver(url, ca_file=certificates.authority) as running:
            error = await failure(running, post(url))
    assert exactly(error, ProviderTlsError)
    assert vendor.requests == []
    assert not error.maybe_charged


async def test_an_authority_that_is_not_configured_is_not_trusted(good_tls: ssl.SSLContext) -> None:
    """P4"""
    async with raw_server(ok, good_tls) as vendor:
        url = vendor.url.replace("http:", "https:")
        async with driver(url) as running:
            error = await failure(running, post(url))
    assert exactly(error, ProviderTlsError)
    assert "CERTIFICATE_VERIFY_FAILED" in str(error) or "unable to get" in str(error)


async def test_plain_http_on_a_tls_port_is_a_tls_error() -> None:
    """P4"""

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    await assert_tls_error(talk)


async def test_a_reset_in_the_handshake_is_a_tls_error() -> None:
    """P4"""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    await assert_tls_error(reset)


async def test_an_end_in_the_handshake_is_a_tls_error() -> None:
    """P4"""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        writer.close()

    await assert_tls_error(hang_up)


async def assert_tls_error(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with driver(url) as running:
        error = await failure(running, post(url))
    server.close()
    assert exactly(error, ProviderTlsError)


async def test_a_ca_file_that_is_none_is_a_config_error(tmp_path: Path) -> None:
    not_pem = tmp_path / "ca.pem"
    not_pem.write_text("hello")
    with pytest.raises(ConfigError, match="PEM"):
        HttpDriver(ProviderOptions(kind="test", base_url="https://vendor.example/", ca_file=not_pem))


# P5, P6: replies that are broken or too much


async def reset_after_request(exchange: Exchange) -> None:
    exchange.reset()


async def end_after_request(exchange: Exchange) -> None:
    exchange.writer.close()


async def reset_in_body(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n[")
    exchange.reset()


async def short_body(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n[]")
    exchange.writer.close()


async def truncated_chunks(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n[]")
    exchange.writer.close()


async def bad_chunk_size(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n[]\r\n0\r\n\r\n")


@pytest.mark.parametrize("request_of", [post, get])
@pytest.mark.parametrize("serve", [reset_after_request, end_after_request, reset_in_body, short_body, truncated_chunks])
async def test_a_lost_reply_counts_as_paid_and_is_not_asked_for_again(
    serve: Serve, request_of: Callable[[str], HttpRequest]
) -> None:
    """P5"""
    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        error = await failure(running, request_of(vendor.url))
    assert exactly(error, ProviderOutcomeUnknown)
    assert error.maybe_charged
    assert len(vendor.requests) == 1


async def no_http(exchange: Exchange) -> None:
    await exchange.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


async def compressed(exchange: Exchange) -> None:
    await exchange.answer(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip")


async def endless_body(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    await flood(exchange, b"x" * 65536)


async def endless_header(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nX: ")
    await flood(exchange, b"x" * 65536)


async def many_headers(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\n")
    await flood(exchange, b"X-A: b\r\n" * 8192)


FLOOD_PIECES = 320  # of 64 KiB: 20 MiB


async def flood(exchange: Exchange, piece: bytes) -> None:
    for sent in range(FLOOD_PIECES):
        exchange.flooded = sent  # type: ignore[attr-defined]
        await exchange.send(piece)


@pytest.mark.parametrize("serve", [no_http, bad_chunk_size, compressed, endless_body, endless_header, many_headers])
async def test_a_reply_beyond_reason_is_a_bad_answer(serve: Serve) -> None:
    """P6, P7: read no further than needed."""
    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        error = await failure(running, post(vendor.url))
    assert exactly(error, ProviderProtocolError)
    assert len(vendor.requests) == 1
    assert getattr(vendor.requests[0], "flooded", 0) < FLOOD_PIECES - 1


async def test_a_reply_of_exactly_the_longest_size_is_read() -> None:
    longest = ProviderOptions(kind="test", base_url="https://vendor.example/").max_body_bytes

    async def serve(exchange: Exchange) -> None:
        await exchange.answer(b"x" * (longest + ("more" in exchange.head)))

    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        (reply,) = await replies(running, post(vendor.url))
        assert len(reply.body) == longest
        error = await failure(running, post(vendor.url + "/more"))
    assert exactly(error, ProviderProtocolError)


# P10, P18, P21: what is not to happen


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """P10"""

    async def serve(exchange: Exchange) -> None:
        await exchange.answer(b"", f"{status} Elsewhere", "Location: /elsewhere")

    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        (reply,) = await replies(running, post(vendor.url))
    assert reply.status == status
    assert len(vendor.requests) == 1


async def test_cookies_are_not_kept_and_compression_is_not_offered() -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.answer(b"{}", "200 OK", "Set-Cookie: session=1; Path=/")

    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        await replies(running, post(vendor.url), post(vendor.url))
    assert "cookie" not in vendor.requests[1].head.lower()
    assert "accept-encoding: identity" in vendor.requests[1].head.lower()


@pytest.mark.parametrize("request_of", [post, get])
async def test_a_kept_connection_that_breaks_never_repeats_a_charged_request(
    request_of: Callable[[str], HttpRequest],
) -> None:
    """P18: aiohttp alone would send the GET again."""

    async def serve(exchange: Exchange) -> None:
        if len(vendor.requests) == 1:
            await exchange.answer()
        else:
            exchange.writer.close()

    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        await replies(running, request_of(vendor.url))
        error = await failure(running, request_of(vendor.url))
    assert exactly(error, ProviderOutcomeUnknown)
    assert len(vendor.requests) == 2


async def test_a_free_get_may_be_repeated_on_a_new_connection() -> None:
    """P18"""

    async def serve(exchange: Exchange) -> None:
        if len(vendor.requests) == 2:
            exchange.writer.close()
        else:
            await exchange.answer()

    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        await replies(running, get(vendor.url, charged=False))
        (reply,) = await replies(running, get(vendor.url, charged=False))
    assert reply.status == 200
    assert vendor.connections == 2


async def test_a_connection_that_the_vendor_closed_while_idle_is_replaced() -> None:
    """P18: the close was seen, so nothing was sent into it."""

    async def serve(exchange: Exchange) -> None:
        await exchange.answer()
        exchange.writer.close()

    async with raw_server(serve) as vendor, driver(vendor.url) as running:
        await replies(running, post(vendor.url))
        await asyncio.sleep(0.05)
        (reply,) = await replies(running, post(vendor.url))
    assert reply.status == 200
    assert vendor.connections == 2


async def test_proxies_and_netrc_of_the_environment_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P21"""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    monkeypatch.setenv("NETRC", str(netrc))
    async with raw_server(ok) as vendor, driver(vendor.url) as running:
        await replies(running, post(vendor.url))
    assert "authorization" not in vendor.requests[0].head.lower()


# P17, P20: leaving


async def test_a_caller_that_leaves_does_not_stop_a_run_that_it_does_not_own() -> None:
    """P20, as far as the driver goes: the answer comes once, late."""

    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(SOON_S)
        await exchange.answer(b"late")

    async with raw_server(slow) as vendor, driver(vendor.url) as running:
        flight = asyncio.create_task(replies(running, post(vendor.url)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(flight), SOON_S / 3)
        (reply,) = await flight
    assert reply.body == b"late"
    assert len(vendor.requests) == 1


CANCELLATIONS = int(os.environ.get("CANCELLATIONS", "1000"))


async def test_cancellation_anywhere_leaves_a_healthy_pool() -> None:
    """P17: afterwards a hundred of a hundred requests are answered, each with its own answer, and no connection is left over."""
    dice = random.Random(17)

    async def serve(exchange: Exchange) -> None:
        await asyncio.sleep(dice.random() * 0.002)
        await exchange.answer(exchange.body)

    def numbered(number: int) -> HttpRequest:
        return HttpRequest("POST", vendor.url, form=(("n", str(number)),))

    async with raw_server(serve) as vendor, driver(vendor.url, max_concurrency=10) as running:
        cancelled = 0
        while cancelled < CANCELLATIONS:
            tasks = [asyncio.create_task(replies(running, numbered(n))) for n in range(50)]
            for task in tasks:
                asyncio.get_running_loop().call_later(dice.random() * 0.01, task.cancel)
            done = await asyncio.gather(*tasks, return_exceptions=True)
            cancelled += sum(isinstance(result, asyncio.CancelledError) for result in done)
            assert [result for result in done if not isinstance(result, list | asyncio.CancelledError)] == []
        results = await asyncio.gather(*(replies(running, numbered(n)) for n in range(100)))
        assert [reply.body for (reply,) in results] == [b"n=%d" % n for n in range(100)]
        assert vendor.open <= 10
    while vendor.open:
        await asyncio.sleep(0.01)


async def test_a_cancelled_run_closes_its_provider() -> None:
    closed = []

    def lookup(url: str) -> Lookup:
        try:
            yield post(url)
        finally:
            closed.append(True)
        return {}

    async with raw_server(never) as vendor, driver(vendor.url) as running:
        held = lookup(vendor.url)
        task = asyncio.create_task(running.run(held, timeout_s=5.0))
        while not vendor.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert closed


async def test_the_default_resolver_finds_names_of_this_machine() -> None:
    async with raw_server(ok) as vendor:
        url = vendor.url.replace("127.0.0.1", "localhost")
        async with driver(url) as running:
            (reply,) = await replies(running, post(url))
    assert reply.status == 200
    assert isinstance(aiohttp.AsyncResolver(), AbstractResolver)
