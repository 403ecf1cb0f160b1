"""How far behind the server is: with its loop, and with connections that nobody has accepted yet."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from agi_lookup.agi.wire import FAILURE
from agi_lookup.lag import ASK_EVERY_S, LagMeter
from tests.environments import lookup_environment
from tests.test_server import FakeResolver, Running, serving, variables

WAIT_S = 0.5


class Accepted(asyncio.BaseTransport):
    """A connection as the meter sees it."""

    def __init__(self, connection: socket.socket | None) -> None:
        super().__init__({"socket": connection})


async def read(client: socket.socket) -> bytes:
    client.setblocking(False)
    return await asyncio.get_running_loop().sock_recv(client, 4096)


async def waited(running: Running, wait_s: float) -> bytes:
    """The first line that a call is told which waits so long in the backlog, while no tick is missed."""
    running.lag.stop()
    with socket.create_connection(("127.0.0.1", running.port)) as client:
        client.sendall(lookup_environment())
        time.sleep(wait_s)
        return await read(client)


@pytest.mark.usefixtures("never_too_late")
async def test_time_in_the_backlog_counts_though_no_tick_was_missed() -> None:
    """O5, F20: under load one connection is accepted in each round of the loop, and each round is short."""
    async with serving(FakeResolver(delay_s=0.3), timeout_s=WAIT_S + 0.1) as running:
        assert variables([await waited(running, WAIT_S)])["LOOKUP_STATUS"] == "TIMEOUT"


async def test_who_waited_until_no_answer_makes_sense_is_let_go_without_a_lookup() -> None:
    """O5, F20."""
    async with serving(timeout_s=0.05) as running:
        assert await waited(running, WAIT_S) == FAILURE

    assert running.metrics.refusals == ["too_late"]
    assert running.resolver.asked == []


async def test_the_backlog_is_known_while_connections_wait_and_forgotten_when_nobody_comes_any_more() -> None:
    lag, loop = LagMeter(), asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        time.sleep(0.2)
        connection, _ = listener.accept()
        with connection:
            assert loop.time() - lag.accepted_at(Accepted(connection)) > 0.15
            assert (lag.backlog_s > 0.15, lag.now_s) == (True, 0.0)
    lag.start()
    async with asyncio.timeout(10):
        while lag.backlog_s:
            await asyncio.sleep(ASK_EVERY_S)
    lag.stop()


@pytest.mark.parametrize("family", [None, socket.AF_UNIX])
async def test_a_connection_of_which_the_kernel_tells_nothing_has_not_waited(family: int | None) -> None:
    ours, _theirs = socket.socketpair()
    with ours, _theirs:
        lag, before = LagMeter(), asyncio.get_running_loop().time()
        assert lag.accepted_at(Accepted(None if family is None else ours)) >= before
        assert lag.backlog_s == 0.0
