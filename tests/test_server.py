"""The server over real sockets: every connection ends, every call gets an answer in time."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from agi_lookup.agi.wire import FAILURE
from agi_lookup.call import CallKit, Profile
from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.model import CacheState, Facet, LookupOutcome, LookupQuery, Method, Sourced, Status
from agi_lookup.guarantee import GUARD_S
from agi_lookup.lag import LagMeter
from agi_lookup.policy.rules import DeadNumbers, Mode, PolicyOptions, build
from agi_lookup.server import Access, Limits, Server
from agi_lookup.variables import VARIABLES, full_name
from tests.environments import UNIQUEID, environment, lookup_environment
from tests.fakes import DEAD, KNOWN, FakeMetrics

LIMITS = Limits(1000, 1000, 20, 20)
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
OUTCOME = LookupOutcome(Status.OK, Sourced(KNOWN, "fake", Method.HLR, 0.0, CacheState.FRESH))
DEAD_OUTCOME = LookupOutcome(Status.OK, liveness=Sourced(DEAD, "fake", Method.HLR, 0.0, CacheState.FRESH))


@dataclass
class FakeResolver:
    """Answers `outcome`, after `delay_s`, or raises it."""

    outcome: LookupOutcome | Exception = OUTCOME
    delay_s: float = 0.0
    block_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    cancelled: int = 0

    async def resolve(self, query: LookupQuery, *, deadline: float) -> LookupOutcome:
        self.asked.append(query.number.e164)
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        time.sleep(self.block_s)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@dataclass
class Running:
    server: Server
    port: int
    metrics: FakeMetrics
    resolver: FakeResolver
    lag: LagMeter

    async def call(self, data: bytes | None = None) -> tuple[list[bytes], float]:
        """Play Asterisk: send, read commands until the server closes; the lines and how long it took."""
        started = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(lookup_environment() if data is None else data)
        lines = []
        try:
            while line := await asyncio.wait_for(reader.readline(), 60):
                lines.append(line)
                if line != FAILURE:
                    writer.write(b"200 result=1\n")
        except ConnectionResetError:
            pass
        finally:
            writer.close()
        return lines, time.monotonic() - started


@asynccontextmanager
async def serving(
    resolver: FakeResolver | None = None,
    *,
    timeout_s: float = 10.0,
    token: str = "",
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = LOOPBACK,
    limits: Limits = LIMITS,
) -> AsyncIterator[Running]:
    resolver = resolver or FakeResolver()
    profile = Profile("default", DialPlan(country="GB"), frozenset(Facet), timeout_s, resolver)
    policy = build(PolicyOptions(dead_numbers=DeadNumbers(mode=Mode.ENFORCE)))
    kit = CallKit({"default": profile}, policy, time.time)
    metrics, lag = FakeMetrics(), LagMeter()
    server = Server(kit, Access(networks, token, "LOOKUP_"), limits, metrics, lag)
    port = await server.start("127.0.0.1", 0)
    lag.start()
    try:
        yield Running(server, port, metrics, resolver, lag)
    finally:
        lag.stop()
        await server.stop(0.0)


def variables(lines: list[bytes]) -> dict[str, str]:
    """What the `SET VARIABLE ARRAY` lines set."""
    pairs: dict[str, str] = {}
    for line in lines:
        names, values = line.decode().removeprefix("SET VARIABLE ARRAY(").removesuffix('"\n').split(') "')
        pairs.update(zip(names.split(","), values.split(","), strict=True))
    return pairs


async def gone(running: Running) -> None:
    """Until no session is left."""
    for _ in range(2000):
        if not running.server.sessions:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{running.server.sessions} sessions are left")


async def test_a_call_gets_every_variable_in_one_command_with_the_status_last() -> None:
    async with serving() as running:
        lines, _ = await running.call()

    assert len(lines) == 1
    got = variables(lines)
    assert list(got) == [full_name(v, "LOOKUP_") for v in VARIABLES]
    assert list(got)[-1] == "LOOKUP_STATUS"
    assert got["LOOKUP_STATUS"] == "OK"
    assert got["LOOKUP_NUMBER"] == "+447400123456"
    assert (got["LOOKUP_CARRIER"], got["LOOKUP_MCCMNC"], got["LOOKUP_PORTED"]) == ("Example Mobile", "23415", "yes")
    assert (got["LOOKUP_ACTION"], got["LOOKUP_CAUSE"]) == ("allow", "")


async def test_a_dead_number_is_blocked_with_its_cause() -> None:
    async with serving(FakeResolver(DEAD_OUTCOME)) as running:
        got = variables((await running.call())[0])

    assert (got["LOOKUP_ACTION"], got["LOOKUP_CAUSE"], got["LOOKUP_RULE"]) == ("block", "1", "dead_number")


@pytest.mark.parametrize("dialled", ["112", "999", "+1911", "9*911"])
async def test_an_emergency_number_is_never_looked_up(dialled: str) -> None:
    """B1."""
    async with serving() as running:
        got = variables((await running.call(lookup_environment(dialled)))[0])

    assert (got["LOOKUP_STATUS"], got["LOOKUP_ACTION"]) == ("EMERGENCY", "allow")
    assert running.resolver.asked == []


async def test_a_bad_number_is_a_status_and_allowed() -> None:
    async with serving() as running:
        got = variables((await running.call(lookup_environment("１１２２３３")))[0])

    assert (got["LOOKUP_STATUS"], got["LOOKUP_ACTION"]) == ("BADNUMBER", "allow")
    assert running.resolver.asked == []


async def test_a_bug_lets_the_call_go_on() -> None:
    """O9."""
    async with serving(FakeResolver(RuntimeError("bug"))) as running:
        got = variables((await running.call())[0])

    assert (got["LOOKUP_STATUS"], got["LOOKUP_ACTION"], got["LOOKUP_ERROR"]) == ("DEGRADED", "allow", "internal")
    assert running.metrics.bugs == ["call"]


@pytest.mark.usefixtures("never_too_late")
async def test_a_hang_below_ends_at_the_deadline() -> None:
    async with serving(FakeResolver(delay_s=60), timeout_s=0.1) as running:
        got = variables((await running.call())[0])

    assert (got["LOOKUP_STATUS"], got["LOOKUP_ACTION"]) == ("TIMEOUT", "allow")
    assert running.resolver.cancelled == 1


@pytest.mark.usefixtures("never_too_late")
async def test_the_dialplans_own_timeout_counts() -> None:
    async with serving(FakeResolver(delay_s=60), timeout_s=60) as running:
        got = variables((await running.call(lookup_environment("447400123456", "timeout_ms=50")))[0])

    assert got["LOOKUP_STATUS"] == "TIMEOUT"


@pytest.mark.usefixtures("never_too_late")
async def test_a_late_answer_is_never_sent_as_ok() -> None:
    """O5: the loop was blocked over the deadline while the answer was there."""
    async with serving(FakeResolver(block_s=0.1 + GUARD_S + 0.05), timeout_s=0.1) as running:
        got = variables((await running.call())[0])

    assert (got["LOOKUP_STATUS"], got["LOOKUP_ACTION"], got["LOOKUP_ERROR"]) == ("TIMEOUT", "allow", "late")


async def test_far_too_late_nothing_is_committed() -> None:
    """O5."""
    async with serving(FakeResolver(block_s=0.8), timeout_s=0.1) as running:
        lines, _ = await running.call()

    assert lines == [FAILURE]
    assert running.metrics.refusals == ["too_late"]


@pytest.mark.usefixtures("never_too_late")
async def test_time_in_the_backlog_of_a_blocked_loop_counts() -> None:
    """O5: the connection was made while the loop was blocked; its deadline runs from then."""
    async with serving(FakeResolver(delay_s=0.3), timeout_s=0.6) as running:
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            client.sendall(lookup_environment())
            time.sleep(0.5)  # the loop is this thread's: it is blocked
            loop = asyncio.get_running_loop()
            client.setblocking(False)
            line = await loop.sock_recv(client, 4096)

    assert variables([line])["LOOKUP_STATUS"] == "TIMEOUT"


async def test_a_bug_while_answering_lets_the_call_go_on() -> None:
    """O9: behind the decision too; nobody is left waiting."""
    broken = replace(OUTCOME, identity=Sourced(KNOWN, "fake", Method.HLR, float("nan"), CacheState.FRESH))
    async with serving(FakeResolver(broken)) as running:
        lines, _ = await running.call()

    assert lines == [FAILURE]
    assert running.metrics.bugs == ["answer"]


async def test_a_uniqueid_that_is_no_text_is_answered_like_any_other() -> None:
    """F10: Asterisk's systemname stands before it and may hold any byte."""
    uniqueid = "b\udcfcro-1.1"
    data = environment("447400123456", uniqueid, "-", changes={"agi_uniqueid": uniqueid})
    async with serving() as running:
        assert variables((await running.call(data))[0])["LOOKUP_STATUS"] == "OK"


REFUSED = {
    "unknown script": (environment("1", "2", "-", changes={"agi_network_script": "nonsense"}), "unknown_script"),
    "no arguments": (environment(), "missing_argument"),
    "uniqueid of another call": (environment("447400123456", "1.1", "-"), "wrong_uniqueid"),
    "wrong token": (lookup_environment(token="guess"), "wrong_token"),
    "token where none is set": (lookup_environment(token=""), "wrong_token"),
    "unknown option": (lookup_environment("447400123456", "colour=red"), "unknown_option"),
    "option twice": (lookup_environment("447400123456", "fresh=yes", "fresh=yes"), "option_twice"),
    "bad timeout": (lookup_environment("447400123456", "timeout_ms=٣٠٠"), "bad_timeout"),
    "timeout out of range": (lookup_environment("447400123456", "timeout_ms=99999"), "bad_timeout"),
    "unknown profile": (lookup_environment("447400123456", "profile=nobody"), "unknown_profile"),
    "a number of 8 KiB": (lookup_environment("4" * 8000), "too_long"),
    "no AGI": (b"GET / HTTP/1.1\r\n\r\n", "not_agi"),
    "forged argument": (lookup_environment().replace(b"agi_priority", b"agi_arg_1: 1\nagi_priority"), "out_of_order"),
}


@pytest.mark.parametrize(("data", "why"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_trusted_is_refused_and_the_call_goes_on(data: bytes, why: str) -> None:
    """F7, F8, F12, F23, F24."""
    async with serving() as running:
        lines, _ = await running.call(data)

    assert lines == [FAILURE]
    assert running.metrics.refusals == [why]
    assert running.resolver.asked == []


async def test_the_right_token_is_let_in() -> None:
    async with serving(token="s3cret") as running:
        assert variables((await running.call(lookup_environment(token="s3cret")))[0])["LOOKUP_STATUS"] == "OK"


async def test_a_source_outside_the_access_list_is_refused_before_a_byte_is_read() -> None:
    """F22."""
    async with serving(networks=(ipaddress.ip_network("10.0.0.0/8"),)) as running:
        lines, _ = await running.call(b"")

    assert lines == [FAILURE]
    assert running.metrics.refusals == ["not_in_acl"]


@pytest.mark.parametrize(
    ("version", "warned"),
    [
        ("13.38.3", True),
        ("certified/13.21-cert6", True),
        ("16.0.0", False),
        ("22.10.1", False),
        ("GIT-master-1234567", False),
        ("", False),
    ],
)
async def test_an_asterisk_that_is_too_old_is_answered_and_said_once(version: str, *, warned: bool) -> None:
    """S5."""
    data = environment("447400123456", UNIQUEID, "-", changes={"agi_version": version})
    with capture_logs() as lines:
        async with serving() as running:
            answers = [variables((await running.call(data))[0]) for _ in range(2)]

    assert {answer["LOOKUP_STATUS"] for answer in answers} == {"OK"}
    assert [line["version"] for line in lines if line["event"] == "asterisk too old"] == ([version] if warned else [])


@pytest.mark.parametrize(
    ("limits", "why"),
    [(Limits(2, 1000, 5, 5), "too_many_connections"), (Limits(1000, 2, 5, 5), "too_many_from_source")],
)
async def test_connections_above_the_cap_are_told_at_once(limits: Limits, why: str) -> None:
    """F21."""
    async with serving(limits=limits) as running:
        idle = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(2)]
        lines, _ = await running.call(b"")
        assert lines == [FAILURE]
        assert running.metrics.refusals == [why]
        for _, writer in idle:
            writer.close()
        await gone(running)
        assert len((await running.call())[0]) == 1, "room again"


@pytest.mark.parametrize("part", [b"", b"agi_network: yes\nagi_request: x\n"])
async def test_a_peer_that_does_not_finish_its_environment_is_closed(part: bytes) -> None:
    """F1, F3, F5."""
    async with serving(limits=Limits(1000, 1000, 0.3, 20)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(part)
        assert await reader.read() == b""
        writer.close()
        await gone(running)

    assert running.metrics.refusals == ["environment_timeout"]


async def test_the_environment_deadline_is_absolute() -> None:
    """F3: a byte now and then does not move it."""
    async with serving(limits=Limits(1000, 1000, 0.3, 20)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)

        async def drip() -> None:
            for byte in lookup_environment():
                writer.write(bytes([byte]))
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert await reader.read() == b""
        dripping.cancel()
        writer.close()

    assert running.metrics.refusals == ["environment_timeout"]


async def test_a_peer_that_never_answers_the_command_is_closed() -> None:
    """F17."""
    async with serving(limits=Limits(1000, 1000, 20, 0.3)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(lookup_environment())
        assert (await reader.readline()).startswith(b"SET VARIABLE")
        assert await reader.read() == b""
        writer.close()
        await gone(running)

    assert running.metrics.refusals == ["reply_timeout"]


@pytest.mark.parametrize("how", ["close", "hangup", "reset", "half_close"])
async def test_a_caller_who_hangs_up_ends_the_session_at_once(how: str) -> None:
    """F13, F16."""
    async with serving(FakeResolver(delay_s=60), timeout_s=60) as running:
        client = socket.create_connection(("127.0.0.1", running.port))
        client.sendall(lookup_environment())
        while not running.resolver.asked:
            await asyncio.sleep(0.005)
        if how == "hangup":
            client.sendall(b"HANGUP\nHANGUP\n")
        elif how == "half_close":
            client.shutdown(socket.SHUT_WR)
        else:
            if how == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        await gone(running)
        client.close()

    assert running.resolver.cancelled == 1
    assert running.metrics.refusals == []


async def test_a_reply_that_nobody_asked_for_ends_the_session() -> None:
    """F9: a forged reply comes while the lookup is under way."""
    async with serving(FakeResolver(delay_s=60), timeout_s=60) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(lookup_environment())
        while not running.resolver.asked:
            await asyncio.sleep(0.005)
        writer.write(b"200 result=1 (pwn)\n")

        assert await reader.read() == FAILURE
        writer.close()


@pytest.mark.parametrize(
    "reply",
    [
        b"510 Invalid or unknown command\n",
        b"511 Command Not Permitted on a dead channel or intercept routine\n",
        b"520-Invalid command syntax.  Proper usage follows:\nUsage\n520 End of proper usage.\n",
    ],
)
async def test_a_refused_command_ends_the_session_quietly(reply: bytes) -> None:
    """F15."""
    async with serving() as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(lookup_environment())
        await reader.readline()
        writer.write(reply)
        assert await reader.read() == b""
        writer.close()

    assert running.metrics.refusals == []


async def test_a_port_scan_leaves_nothing_behind() -> None:
    """F2."""
    async with serving() as running:
        before = len(asyncio.all_tasks())
        for _ in range(1000):
            socket.create_connection(("127.0.0.1", running.port)).close()
            await asyncio.sleep(0)
        assert len((await running.call())[0]) == 1
        await gone(running)
        assert len(asyncio.all_tasks()) == before


async def test_a_burst_of_a_thousand_calls_is_answered() -> None:
    """F20."""
    async with serving(limits=Limits(4000, 4000, 60, 60), timeout_s=60) as running:
        answers = await asyncio.gather(*(running.call() for _ in range(1000)))

    assert all(variables(lines)["LOOKUP_STATUS"] == "OK" for lines, _ in answers)


async def test_stopping_lets_calls_finish_and_takes_no_new_ones() -> None:
    """O3."""
    async with serving(FakeResolver(delay_s=0.2)) as running:
        call = asyncio.create_task(running.call())
        while not running.resolver.asked:
            await asyncio.sleep(0.005)

        left = await running.server.stop(60.0)

        assert left == 0
        assert variables((await call)[0])["LOOKUP_STATUS"] == "OK"
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", running.port)


async def test_stopping_ends_what_does_not_finish() -> None:
    """O3."""
    async with serving(FakeResolver(delay_s=60), timeout_s=60) as running:
        call = asyncio.create_task(running.call())
        while not running.resolver.asked:
            await asyncio.sleep(0.005)

        assert await running.server.stop(0.05) == 1
        assert (await call)[0] == []


async def test_a_running_call_keeps_the_kit_that_it_started_with() -> None:
    """O4."""
    async with serving(FakeResolver(delay_s=0.1)) as running:
        call = asyncio.create_task(running.call())
        while not running.resolver.asked:
            await asyncio.sleep(0.005)
        running.server.kit = CallKit({}, (), time.time)
        running.server.access = Access(LOOPBACK, "other", "OTHER_")

        assert variables((await call)[0])["LOOKUP_STATUS"] == "OK"
