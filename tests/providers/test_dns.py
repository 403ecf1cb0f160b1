"""The DNS driver against servers that fail in every way: one question a lookup, one answer believed, never longer than allowed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from agi_lookup.domain.errors import ConfigError, ProviderError
from agi_lookup.domain.model import LookupAnswer, Number
from agi_lookup.providers.dns import DnsDriver, system_servers
from agi_lookup.providers.dns_message import Naptr
from agi_lookup.providers.enum_dns import Provider, open_driver
from agi_lookup.providers.enum_options import Options
from tests.processes import free_port
from tests.providers.replay import NOW, split
from tests.providers.test_dns_message import message, naptr, rr, soa

NUMBER = "+447700900101"
Script = Callable[[bytes], Sequence[bytes]]
"""A question to the datagrams that answer it."""


def good(question: bytes, mnc: str = "15", number: str = NUMBER) -> bytes:
    record = Naptr(10, 50, "u", "E2U+pstn:tel", f"!^.*$!tel:{number};mcc=234;mnc={mnc};ported=yes!")
    return reply(question, rr(naptr(record)))


def reply(question: bytes, /, *answers: bytes, **how: Any) -> bytes:
    """To this question, unless `how` says otherwise."""
    return message(*answers, **{"question": question[12:], "message_id": int.from_bytes(question[:2]), **how})


def silence(_question: bytes) -> Sequence[bytes]:
    return ()


class Server(asyncio.DatagramProtocol):
    """Counts what came in, and answers by its script; `asked` is set by each question."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.questions: list[bytes] = []
        self.addresses: list[tuple[str, int]] = []  # where the questions came from
        self.asked = asyncio.Event()
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.questions.append(data)
        self.addresses.append(addr)
        for datagram in self.script(data):
            self.transport.sendto(datagram, addr)
        self.asked.set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(script: Script, port: int = 0) -> AsyncIterator[Server]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: Server(script), local_addr=("127.0.0.1", port))
    try:
        yield server
    finally:
        transport.close()


def driver(*servers: str, **options: Any) -> DnsDriver:
    block = {"kind": "enum_dns", "zone": "e164.arpa", "servers": servers, "currency": "none", **options}
    return open_driver(Options.model_validate(block))


SOURCE = Provider("enum", Options(kind="enum_dns", zone="e164.arpa"), split)


async def ask(asked: DnsDriver, number: str = NUMBER, timeout_s: float = 15.0) -> str | None:
    """The MNC, or the error's word."""
    try:
        result = (await asked.run(SOURCE.lookup([Number(number)], NOW), timeout_s=timeout_s))[number]
    except ProviderError as error:
        result = error
    if isinstance(result, LookupAnswer):
        assert result.identity is not None
        return result.identity.mnc
    return cast("ProviderError", result).code


async def test_one_lookup_is_one_question() -> None:
    async with serving(lambda q: [good(q)]) as server:
        assert await ask(driver(server.address)) == "15"
        assert len(server.questions) == 1


async def test_each_question_has_a_port_and_an_id_of_its_own() -> None:
    """P8: who does not see them must guess 32 bits."""
    async with serving(lambda q: [good(q)]) as server:
        asked = driver(server.address)
        assert await asyncio.gather(*(ask(asked) for _ in range(50))) == ["15"] * 50
        assert len({question[:2] for question in server.questions}) > 45
        assert len(set(server.addresses)) > 45


async def test_many_numbers_at_once_each_get_their_own_answer() -> None:
    """P8: the answers come in another order than the questions."""
    async with serving(silence) as server:
        asked = driver(server.address)
        numbers = [f"+4477009001{n:02}" for n in range(20)]
        lookups = [asyncio.ensure_future(ask(asked, number)) for number in numbers]
        while len(server.questions) < len(numbers):
            server.asked.clear()
            await server.asked.wait()
        for question, address in reversed(list(zip(server.questions, server.addresses, strict=True))):
            number = "+" + question[13:37:2].decode()[::-1]
            server.transport.sendto(good(question, number[-2:], number), address)
        assert await asyncio.gather(*lookups) == [number[-2:] for number in numbers]


async def test_what_is_no_answer_to_the_question_is_passed_by() -> None:
    """P8"""

    def forged(question: bytes) -> Sequence[bytes]:
        other = bytes([question[0] ^ 1]) + good(question, "66")[1:]
        elsewhere = question[:13] + b"9" + question[14:]
        return [b"", b"x", other, question, good(elsewhere, "66"), good(question, "15"), good(question, "66")]

    async with serving(forged) as server:
        assert await ask(driver(server.address)) == "15"


async def test_a_flood_ends_the_lookup_and_not_the_loop() -> None:
    async with serving(lambda q: [b"\0\0" + q[2:]] * 100) as server:
        assert await ask(driver(server.address)) == "bad_answer"


async def test_only_the_server_that_was_asked_may_answer() -> None:
    async with serving(silence) as server, serving(silence) as stranger:
        lookup = asyncio.ensure_future(ask(driver(server.address), timeout_s=2.0))
        await server.asked.wait()
        stranger.transport.sendto(good(server.questions[0], "66"), server.addresses[0])
        assert await lookup == "timeout"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda q: reply(q, rcode=3, authority=(rr(soa(60), kind=6),)), "not_covered"),
        (reply, "not_covered"),
        (lambda q: reply(q, rcode=2), "lost_reply"),
        (lambda q: reply(q, rcode=5), "auth"),
        (lambda q: reply(q, rcode=1, question=b"", questions=0), "rejected"),
        (lambda q: reply(q, flags=0x8380), "bad_answer"),
        (lambda q: reply(q, count=9), "bad_answer"),
        (lambda q: reply(q) + b"\0" * 60_000, "not_covered"),
        (lambda q: good(q, number="+447700900102"), "bad_answer"),
    ],
)
async def test_an_answer_of_another_kind_costs_no_second_question(
    answer: Callable[[bytes], bytes], expected: str
) -> None:
    async with serving(lambda q: [answer(q)]) as server:
        assert await ask(driver(server.address)) == expected
        assert len(server.questions) == 1


# Time


async def test_a_lost_datagram_is_a_time_out_that_may_have_been_paid() -> None:
    """P3"""
    async with serving(silence) as server:
        asked = driver(server.address)
        lookup = SOURCE.lookup([Number(NUMBER)], NOW)
        result = (await asked.run(lookup, timeout_s=1.5))[NUMBER]
        assert isinstance(result, ProviderError)
        assert (result.code, result.maybe_charged) == ("timeout", True)
        assert len(server.questions) == 1


async def test_a_slow_answer_is_waited_for_and_not_asked_for_again() -> None:
    """c-ares would ask again after 250 ms, however long it may wait."""
    async with serving(lambda q: [good(q)]) as server:
        asked = driver(server.address)
        for _ in range(5):
            assert await ask(asked) == "15"
        server.script = silence
        server.asked.clear()
        lookup = asyncio.ensure_future(ask(asked, timeout_s=5.0))
        await server.asked.wait()
        await asyncio.sleep(0.4)
        assert len(server.questions) == 6
        server.transport.sendto(good(server.questions[-1]), server.addresses[-1])
        assert await lookup == "15"


async def test_retries_share_the_time_and_are_counted() -> None:
    def second(question: bytes) -> Sequence[bytes]:
        return [good(question)] if len(server.questions) == 2 else ()

    async with serving(second) as server:
        assert await ask(driver(server.address, retries=1), timeout_s=3.0) == "15"
        server.questions.clear()
        server.script = silence
        assert await ask(driver(server.address, retries=2), timeout_s=3.0) == "timeout"
        assert len(server.questions) == 3


async def test_no_time_left_means_no_question() -> None:
    async with serving(lambda q: [good(q)]) as server:
        assert await ask(driver(server.address), timeout_s=0.0) == "unavailable"
        assert server.questions == []


async def test_a_lookup_may_be_cancelled_anywhere() -> None:
    """P17"""
    async with serving(lambda q: [good(q)]) as server:
        asked = driver(server.address)
        for n in range(60):
            lookup = asyncio.ensure_future(ask(asked))
            for _ in range(n % 12):
                await asyncio.sleep(0)
            lookup.cancel()
            await asyncio.gather(lookup, return_exceptions=True)
        assert await ask(asked) == "15"


# Servers


async def test_a_server_that_is_not_there_costs_nothing_and_the_next_is_asked() -> None:
    """P1"""
    async with serving(lambda q: [good(q)]) as server:
        asked = driver(f"127.0.0.1:{free_port()}", server.address)
        assert [await ask(asked) for _ in range(3)] == ["15"] * 3
        assert len(server.questions) == 3


async def test_nobody_there_is_unavailable_and_unpaid() -> None:
    """P1"""
    asked = driver(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
    lookup = SOURCE.lookup([Number(NUMBER)], NOW)
    result = (await asked.run(lookup, timeout_s=5))[NUMBER]
    assert isinstance(result, ProviderError)
    assert (result.code, result.maybe_charged) == ("unavailable", False)
    assert "ECONNREFUSED" in str(result)


@pytest.mark.parametrize("failing", [silence, lambda q: [reply(q, rcode=2)]])
async def test_after_a_failure_the_next_lookup_begins_with_the_next_server(failing: Script) -> None:
    async with serving(failing) as first, serving(lambda q: [good(q)]) as second:
        asked = driver(first.address, second.address)
        assert await ask(asked, timeout_s=1.5) in {"timeout", "lost_reply"}
        assert [await ask(asked) for _ in range(3)] == ["15"] * 3
        assert (len(first.questions), len(second.questions)) == (1, 3)


async def test_many_failures_at_once_lead_to_the_next_server_and_not_past_it() -> None:
    async with serving(silence) as first, serving(lambda q: [good(q)]) as second:
        asked = driver(first.address, second.address)
        assert await asyncio.gather(*(ask(asked, timeout_s=1.5) for _ in range(10))) == ["timeout"] * 10
        assert await ask(asked) == "15"
        assert (len(first.questions), len(second.questions)) == (10, 1)


async def test_with_a_retry_the_failure_is_hidden() -> None:
    async with serving(lambda q: [reply(q, rcode=2)]) as first, serving(lambda q: [good(q)]) as second:
        assert await ask(driver(first.address, second.address, retries=1)) == "15"
        assert (len(first.questions), len(second.questions)) == (1, 1)


async def test_without_servers_the_systems_are_asked(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text(
        "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\nnameserver\nnameserver 2001:db8::1\n"
    )
    assert system_servers(conf) == [("192.0.2.1", 53), ("2001:db8::1", 53)]
    conf.write_text("search example\n")
    with pytest.raises(ConfigError, match="servers"):
        system_servers(conf)
    with pytest.raises(ConfigError):
        system_servers(tmp_path / "missing")


async def test_a_network_that_is_not_there_is_unavailable() -> None:
    """P1: the system refuses broadcasts that nobody asked for."""
    assert await ask(driver("255.255.255.255")) == "unavailable"


# An answer too long for a datagram


@asynccontextmanager
async def tcp(answer: Callable[[bytes], bytes | None], port: int) -> AsyncIterator[list[bytes]]:
    """Sends what `answer` gives, raw; None hangs up."""
    questions: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        questions.append(question)
        if (data := answer(question)) is not None:
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    try:
        yield questions
    finally:
        server.close()


def number_of_both() -> int:
    """A port number that is free in both protocols."""
    for _ in range(20):
        with socket.socket() as tcp_socket, socket.socket(type=socket.SOCK_DGRAM) as udp_socket, suppress(OSError):
            tcp_socket.bind(("127.0.0.1", 0))
            port: int = tcp_socket.getsockname()[1]
            udp_socket.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free in both protocols")


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


def cut_off(question: bytes) -> Sequence[bytes]:
    return [reply(question, flags=0x8380)]


async def test_a_long_answer_is_asked_for_over_tcp_where_a_second_question_is_allowed() -> None:
    """RFC 7766"""
    many = Naptr(20, 1, "u", "E2U+sip", "!^.*$!sip:x@ims.example!")

    def whole(question: bytes) -> bytes:
        return framed(reply(question, rr(naptr(many)), *[rr(naptr(many))] * 20, good(question)[len(question) :]))

    port = number_of_both()
    async with serving(cut_off, port) as server, tcp(whole, port) as questions:
        assert await ask(driver(server.address, retries=1)) == "15"
        assert (len(server.questions), len(questions)) == (1, 1)
        assert await ask(driver(server.address)) == "bad_answer"
        assert (len(server.questions), len(questions)) == (2, 1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda _: None, "lost_reply"),
        (lambda q: framed(good(q))[:-1], "lost_reply"),
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", "lost_reply"),
        (lambda _: framed(b"garbage"), "bad_answer"),
        (lambda q: framed(reply(q, flags=0x8380)), "bad_answer"),
        (lambda q: framed(good(b"\0\0" + q[2:])), "bad_answer"),
    ],
)
async def test_what_fails_over_tcp_may_have_been_paid(answer: Callable[[bytes], bytes | None], expected: str) -> None:
    """P5"""
    port = number_of_both()
    async with serving(cut_off, port) as server, tcp(answer, port):
        assert await ask(driver(server.address, retries=1)) == expected


async def test_nobody_on_tcp_is_a_lost_reply() -> None:
    async with serving(cut_off, number_of_both()) as server:
        assert await ask(driver(server.address, retries=1)) == "lost_reply"
