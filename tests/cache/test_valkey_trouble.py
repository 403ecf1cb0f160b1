"""The shared tier when its server is gone, hung, slow, full, read-only or not ours: calls go on, and it comes back by itself."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from agi_lookup.cache.memory import MemoryTier
from agi_lookup.cache.tiered import Shared, TieredCache
from agi_lookup.cache.valkey.link import Exchange
from agi_lookup.cache.valkey.open import link_to
from agi_lookup.cache.valkey.options import SharedOptions
from agi_lookup.cache.valkey.tier import Limits, ValkeyTier
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import Facet
from agi_lookup.lookup.freshness import supersedes
from tests.cache.conftest import Heard, OpenShared, until
from tests.cache.entries import BOTH, NUMBER, identity, liveness, numbers
from tests.cache.servers import Server, relay
from tests.fakes import Clock

LEARNT = "+447400123457"
UNKNOWN = "+447400123458"
IN_TIME_MS = 1_000
"""Short for a test that waits for it, long for a server on this machine."""
HASTY = Limits(write_s=1.0)


@dataclass(frozen=True)
class Trouble:
    begin: Callable[[Server], object]
    end: Callable[[Server], object]
    said: str


def over_quickly(server: Server) -> None:
    """Those who are connected have to connect again, and log in."""
    server.admin("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def restart(server: Server) -> None:
    server.kill()
    server.start()


def lose_the_socket(server: Server) -> None:
    server.kill()
    server.socket.unlink()


def change_password(server: Server) -> None:
    server.admin("ACL", "SETUSER", "default", "resetpass", ">another")
    over_quickly(server)


def load_for_long(server: Server) -> None:
    """Start with a data set that takes half a minute to load; it answers after each kilobyte of it."""
    server.admin("CONFIG", "SET", "rdbcompression", "no")
    server.admin("MSET", *(word for n in range(2_000) for word in (f"load:{n}", "x" * 1_000)))
    server.admin("SAVE")
    server.kill()
    server.start(key_load_delay=10_000, loading_process_events_interval_bytes=1_024)


def orphan(server: Server) -> None:
    server.admin("CONFIG", "SET", "replica-serve-stale-data", "no")
    server.admin("REPLICAOF", "127.0.0.1", "1")


READING = {
    "crashed": Trouble(Server.kill, Server.start, "Connection refused"),
    "gone": Trouble(lose_the_socket, Server.start, "No such file"),
    "hung": Trouble(Server.hang, Server.go_on, "no answer in time"),
    "paused": Trouble(
        lambda server: server.admin("CLIENT", "PAUSE", 600_000),
        restart,  # to end the pause would be a command, too
        "no answer in time",
    ),
    "loading": Trouble(
        load_for_long, lambda server: server.admin("CONFIG", "SET", "key-load-delay", "0"), "it loads its data"
    ),
    "password changed": Trouble(
        change_password, lambda server: server.admin("ACL", "SETUSER", "default", "nopass"), "user or password refused"
    ),
    "no right to read": Trouble(
        lambda server: server.admin("ACL", "SETUSER", "default", "-getrange"),
        lambda server: server.admin("ACL", "SETUSER", "default", "+getrange"),
        "the user may not do this (ACL)",
    ),
    "a replica without its primary": Trouble(
        orphan, lambda server: server.admin("REPLICAOF", "NO", "ONE"), "a replica without its primary"
    ),
}

WRITING = {
    "full": Trouble(
        lambda server: server.admin("CONFIG", "SET", "maxmemory", "1"),
        lambda server: server.admin("CONFIG", "SET", "maxmemory", "0"),
        "out of memory",
    ),
    "read-only": Trouble(
        lambda server: server.admin("REPLICAOF", "127.0.0.1", "1"),
        lambda server: server.admin("REPLICAOF", "NO", "ONE"),
        "a read-only replica",
    ),
    "no right to write": Trouble(
        lambda server: server.admin("ACL", "SETUSER", "default", "-set"),
        lambda server: server.admin("ACL", "SETUSER", "default", "+set"),
        "the user may not do this (ACL)",
    ),
}


def over(shared: ValkeyTier, heard: Heard, clock: Clock) -> TieredCache:
    return TieredCache(MemoryTier(10), None, count=heard.count, shared=Shared(shared, supersedes, clock))


def said(heard: Heard, tier: ValkeyTier) -> str:
    return f"{heard.alarms} {tier.state}"


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[Exchange]:
    link = link_to(SharedOptions.model_validate({"url": url}))
    try:
        yield link
    finally:
        await link.drop()


@pytest.mark.parametrize("name", READING)
async def test_a_server_that_cannot_be_read_costs_calls_nothing_and_comes_back(
    open_shared: OpenShared, heard: Heard, valkey: Server, clock: Clock, name: str
) -> None:
    """C13."""
    trouble = READING[name]
    tier = await open_shared(timeout_ms=IN_TIME_MS)
    cache = over(tier, heard, clock)
    cache.put([identity()])
    await tier.flush()
    assert await tier.get(UNKNOWN) == {}

    trouble.begin(valkey)
    while not heard.alarms:
        assert dict(await cache.get(UNKNOWN, BOTH)) == {}
        await asyncio.sleep(0)
    assert len(await cache.get(NUMBER, BOTH)) == 1, "memory goes on"
    cache.put([liveness(LEARNT)])
    assert trouble.said in tier.state
    assert heard.codes == ["valkey_failing"]

    failed, missed = heard.counts["valkey_read_failed"], heard.counts["cache_shared_miss"]
    for _ in range(1_000):
        assert dict(await cache.get(UNKNOWN, BOTH)) == {}
    assert heard.counts["cache_shared_miss"] == missed + 1_000
    assert heard.counts["valkey_read_failed"] - failed <= 5, "calls do not try"

    trouble.end(valkey)
    await until(lambda: tier.state == "ok")
    await tier.flush()
    assert dict(await tier.get(LEARNT)) == {Facet.LIVENESS: liveness(LEARNT)}, "what waited was written"
    assert heard.codes == ["valkey_failing"], "told once"


@pytest.mark.parametrize("name", WRITING)
async def test_a_server_that_cannot_be_written_is_still_read(
    open_shared: OpenShared, heard: Heard, valkey: Server, clock: Clock, name: str
) -> None:
    """C13. What cannot be written waits, the oldest dropped, and each drop counted."""
    trouble = WRITING[name]
    tier = await open_shared(limits=Limits(queue=20, write_s=20.0))
    cache = over(tier, heard, clock)
    tier.put([identity()])
    await tier.flush()
    many = numbers(30)

    trouble.begin(valkey)
    for number in many:
        cache.put([liveness(number)])
    await until(lambda: bool(heard.alarms))
    assert heard.alarms == [("valkey_failing", f"writes fail: {trouble.said}")]
    assert len(await cache.get(NUMBER, BOTH)) == 1
    assert len(await tier.get(many[-1])) == 1, "what waits is known"
    assert heard.counts["valkey_dropped"] == 10

    trouble.end(valkey)
    await until(lambda: tier.state == "ok" and len(valkey.keys()) == 21)
    assert heard.codes == ["valkey_failing"]


async def test_one_slow_answer_is_a_miss_and_no_alarm(
    open_shared: OpenShared, heard: Heard, valkey: Server, clock: Clock
) -> None:
    """C13."""
    tier = await open_shared(timeout_ms=3_000)  # for the next try, too
    cache = over(tier, heard, clock)
    assert await tier.get(UNKNOWN) == {}

    valkey.hang()
    assert dict(await cache.get(UNKNOWN, BOTH)) == {}
    valkey.go_on()

    await until(lambda: tier.state == "ok")
    assert await tier.get(UNKNOWN) == {}
    assert heard.counts == {"valkey_read_failed": 1, "cache_shared_miss": 1}
    assert not heard.alarms


async def test_a_server_slower_than_a_calls_share_is_not_asked_at_all(
    open_shared: OpenShared, heard: Heard, valkey: Server
) -> None:
    """C13."""
    async with relay(valkey) as network:
        network.hold = lambda: 3.0
        tier = await open_shared(f"redis://127.0.0.1:{network.port}", timeout_ms=IN_TIME_MS)
        await until(lambda: bool(heard.alarms))

        with pytest.raises(CacheError, match="not asked for a while: no answer in time"):
            await tier.get(UNKNOWN)

        network.hold = lambda: 0.0
        await until(lambda: tier.state == "ok")
        await tier.close()


async def test_a_connection_cut_off_while_nobody_asks_is_made_again(
    open_shared: OpenShared, heard: Heard, valkey: Server
) -> None:
    """C13: by the server's time limit, a firewall or a failover."""
    tier = await open_shared()
    tier.put([identity()])
    await tier.flush()
    over_quickly(valkey)

    with pytest.raises(CacheError):
        await tier.get(NUMBER)
    await until(lambda: tier.state == "ok")
    assert len(await tier.get(NUMBER)) == 1
    tier.put([liveness()])
    await until(lambda: len(valkey.keys()) == 2)
    assert not heard.alarms


async def test_it_need_not_be_there_at_the_start(open_shared: OpenShared, heard: Heard, valkey: Server) -> None:
    """C13."""
    valkey.kill()
    tier = await open_shared()
    tier.put([identity()])
    await until(lambda: bool(heard.alarms))
    with pytest.raises(CacheError):
        await tier.get(UNKNOWN)

    valkey.start()
    await until(lambda: tier.state == "ok" and len(valkey.keys()) == 1)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("unix://default:s3cret@{socket}", "user or password refused"),
        ("unix://nobody:s3cret@{socket}", "user or password refused"),
        ("unix://{socket}?db=999", "it refuses"),
    ],
)
async def test_what_is_configured_wrong_is_told_without_secrets(
    open_shared: OpenShared, heard: Heard, valkey: Server, clock: Clock, url: str, why: str
) -> None:
    """C13, A3: wrong user, wrong password, wrong database."""
    valkey.admin("ACL", "SETUSER", "default", "resetpass", ">another")
    if "999" in url:
        valkey.admin("AUTH", "another")
        valkey.admin("ACL", "SETUSER", "default", "nopass")
    tier = await open_shared(url.format(socket=valkey.socket))
    cache = over(tier, heard, clock)
    cache.put([identity()])

    await until(lambda: bool(heard.alarms))
    assert dict(await cache.get(UNKNOWN, BOTH)) == {}
    assert why in said(heard, tier)
    assert "s3cret" not in said(heard, tier)


async def test_an_error_that_repeats_the_command_is_not_repeated(
    open_shared: OpenShared, heard: Heard, valkey: Server
) -> None:
    """C13, S13: "unknown command, with args beginning with" names the key, and so the number."""
    valkey.kill()
    valkey.start(rename_command="SET refused")
    with pytest.raises(Exception, match=NUMBER[1:]):
        valkey.admin("SET", f"agi-lookup:1:{NUMBER[1:]}:identity", "x")
    tier = await open_shared()
    tier.put([identity()])

    await until(lambda: bool(heard.alarms))
    with pytest.raises(CacheError) as flushed:
        await tier.flush()
    assert NUMBER[1:] not in said(heard, tier) + str(flushed.value) + repr(flushed.value.__context__)


GARBAGE = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a text that does not end": b"$536870911\r\nx\r\n",
    "a negative length": b"$-5\r\n",
    "numbers": b":1\r\n:2\r\n:3\r\n",
    "nothings": b"$-1\r\n$-1\r\n$-1\r\n",
    "arrays in arrays": b"*1\r\n" * 10_000,
    "an error that its library cannot read": b"-MOVED x\r\n" * 3,
    "an error that is no text": b"-\xff\xfe\r\n" * 3,
    "the end": b"",
}


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_what_is_no_valkey_is_survived(open_shared: OpenShared, heard: Heard, garbage: str) -> None:
    """C13: some other service on its port, or a hostile one."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(GARBAGE[garbage])
            if not GARBAGE[garbage]:
                break
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tier = await open_shared(f"redis://127.0.0.1:{port}", timeout_ms=IN_TIME_MS, limits=HASTY)
    tier.put([identity()])
    for _ in range(20):
        try:
            assert dict(await tier.get(UNKNOWN)) == {}
        except CacheError as error:
            assert NUMBER[1:] not in str(error)  # noqa: PT017 - whichever it is, it is that and nothing else
        await asyncio.sleep(0.01)
    await tier.close()
    server.close()


async def test_a_number_forgotten_while_its_write_hung_does_not_come_back(
    open_shared: OpenShared, valkey: Server
) -> None:
    """What the hung server still has to read of the old connection may not undo what the new one says."""
    tier = await open_shared(timeout_ms=IN_TIME_MS, limits=HASTY)
    tier.put([identity(number) for number in numbers(50)])
    await tier.flush()
    valkey.hang()
    tier.put([identity()])
    await until(lambda: "writes: no answer in time" in tier.state)
    with pytest.raises(CacheError, match="not written yet"):
        await tier.forget(NUMBER)

    valkey.go_on()
    await until(lambda: tier.state == "ok")
    await tier.flush()

    assert dict(await tier.get(NUMBER)) == {}
    assert len(valkey.keys()) == 50


async def test_what_was_not_sent_of_a_dropped_connection_is_never_sent() -> None:
    """Nor resent after what the next connection says: the peer meets a reset, where a close would let the rest follow."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with linked(f"redis://127.0.0.1:{silent.getsockname()[1]}") as link:
            now = asyncio.get_running_loop().time
            await link.open(now() + 10)
            with pytest.raises(CacheError, match="no answer in time"):
                await link.ask([("SET", "k", b"x" * 50_000_000)], now() + 0.1)
        pieces: list[int] = []
        with pytest.raises(ConnectionResetError):
            await asyncio.to_thread(read_to_the_end, silent, pieces)
    assert sum(pieces) < 25_000_000


def read_to_the_end(listener: socket.socket, pieces: list[int]) -> None:
    peer, _ = listener.accept()
    with peer:
        peer.settimeout(10)
        while piece := peer.recv(2**20):
            pieces.append(len(piece))


async def test_closing_waits_for_a_hung_server_for_a_bounded_time(
    open_shared: OpenShared, heard: Heard, valkey: Server
) -> None:
    tier = await open_shared(timeout_ms=IN_TIME_MS, limits=HASTY)
    valkey.hang()
    tier.put([identity()])

    await tier.close()

    assert heard.counts["valkey_unwritten"] == 1


async def test_a_caller_who_leaves_costs_the_others_nothing(
    open_shared: OpenShared, heard: Heard, valkey: Server
) -> None:
    """C14: thousands leave at any moment; nobody gets another's answer, and the connection stays as it is."""
    tier, many = await open_shared(), numbers(200)
    tier.put([identity(number) for number in many])
    await tier.flush()
    answered = 0

    async def read_and_check() -> None:
        nonlocal answered
        number = random.choice(many)
        hits = await tier.get(number)
        assert hits[Facet.IDENTITY].number == number
        answered += 1

    for _ in range(200):
        reading = [asyncio.create_task(read_and_check()) for _ in range(25)]
        for task in random.sample(reading, 15):
            asyncio.get_running_loop().call_later(random.uniform(0, 0.003), task.cancel)
        for result in await asyncio.gather(*reading, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError), result

    assert answered >= 2_000
    assert not heard.counts


async def test_an_exchange_cancelled_at_any_moment_leaves_no_reply_to_the_next(valkey: Server) -> None:
    """C14, redis/redis-py#2665: the connection is dropped, never used again."""
    valkey.admin("MSET", *(word for n in range(100) for word in (f"k{n}", n)))
    loop = asyncio.get_running_loop()
    dropped = answered = 0
    patience_s = 0.003  # as long as about half of them take on this machine
    async with relay(valkey) as network, linked(f"redis://127.0.0.1:{network.port}") as link:
        network.hold = lambda: random.choice((0.0, random.uniform(0, 0.001)))
        while min(answered, dropped) <= 200 or answered + dropped < 2_000:
            if not link.is_open:
                await link.open(loop.time() + 10)
            asked = [random.randrange(100) for _ in range(3)]
            asking = loop.create_task(link.ask([("GET", f"k{n}") for n in asked], loop.time() + 10))
            loop.call_later(random.uniform(0, patience_s), asking.cancel)
            try:
                assert await asking == [str(n).encode() for n in asked]
                answered += 1
                patience_s *= 0.99
            except asyncio.CancelledError:  # before its first step nothing was sent, and the connection stays
                dropped += not link.is_open
                patience_s = min(patience_s * 1.01, 1.0)


async def test_an_answer_that_comes_too_late_is_nobody_elses(
    open_shared: OpenShared, heard: Heard, valkey: Server
) -> None:
    """C14: reads given up at any moment of their exchange, because the network is now fast and now slow."""
    many = numbers(200)
    patient = await open_shared()
    patient.put([identity(number) for number in many])
    await patient.flush()
    answered = missed = 0
    async with relay(valkey) as network:
        network.hold = lambda: random.uniform(0, 0.2) if random.random() < 0.05 else 0.0
        tier = await open_shared(f"redis://127.0.0.1:{network.port}", timeout_ms=60)
        while answered < 200 or missed < 10:
            number = random.choice(many)
            try:
                hits = await tier.get(number)
            except CacheError:
                missed += 1
                await asyncio.sleep(0.01)
            else:
                assert hits[Facet.IDENTITY].number == number
                answered += 1
        await tier.close()
    assert heard.counts["valkey_bad_entry"] == 0
