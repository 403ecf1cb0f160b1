"""`AGI(agi-lookup-agi,NUMBER,UNIQUEID,TOKEN...)`: one process for one call, on pyst2's `AGI` class. No daemon is needed.

It takes the same arguments and sets the same variables as the server, at the price of starting Python for each call: most of a
second, on top of the deadline. Where a server runs on the same cache, that one is asked, since one process writes a cache.
Whatever fails, nothing is committed and the dialplan goes on.

With the word `result` before them, the arguments are those of a report on how the call went. What is learned from reports lives in
a server: it is handed to the one that runs, and without one there is nobody to learn, which `DEGRADED` says.
"""

from __future__ import annotations

import functools
import io
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO

from asterisk.agi import AGI, AGIException

from agi_lookup.agi.request import AgiRefused, parse_request
from agi_lookup.agi.wire import (
    MAX_ENV_BYTES,
    AgiHangup,
    AgiProtocolError,
    Environment,
    arrays,
    parse_environment,
)
from agi_lookup.domain.errors import AgiLookupError, OutsideError

if TYPE_CHECKING:
    from agi_lookup.call import CallRequest
    from agi_lookup.config import Config
    from agi_lookup.variables import Pairs

HAND_OVER_S: Final = 0.5
"""As long as the shipped dialplan gives the server for a report."""
HARD_LIMIT_S: Final = 45.0
"""The longest deadline and then the longest lookup under way: after that the process ends, whatever hangs."""


def main() -> None:
    """Exit status 0 when the variables are set, else 1 (AGISTATUS=FAILURE)."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    signal.setitimer(signal.ITIMER_REAL, HARD_LIMIT_S)
    try:
        head = read_environment(sys.stdin.buffer)
        environment = asked(parse_environment(b"agi_network: yes\nagi_network_script: lookup\n" + head))
        agi = connect(head, sys.stdin, sys.stdout)
        run = report if environment.script == "result" else look_up
        run(environment, functools.partial(tell, agi))
    except (AgiLookupError, AgiRefused, AGIException, OSError, ValueError) as error:
        # pyst2 reports a HANGUP line as ValueError
        print(f"agi-lookup-agi: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)


def asked(environment: Environment) -> Environment:
    """A first argument that is a word of the server's (no number is) says what is asked, as the path of its URL does."""
    if environment.args[:1] not in (("lookup",), ("result",)):
        return environment
    return Environment(environment.values | {"agi_network_script": environment.args[0]}, environment.args[1:])


def read_environment(stdin: BinaryIO) -> bytes:
    """Up to the blank line, without it. Raises `AgiProtocolError`."""
    head = b""
    while len(head) <= MAX_ENV_BYTES:
        line = stdin.readline(MAX_ENV_BYTES)
        if not line.endswith(b"\n"):
            raise AgiProtocolError("unfinished")
        if line == b"\n":
            return head[:-1]
        head += line
    raise AgiProtocolError("too_long")


def connect(head: bytes, replies: TextIO, commands: TextIO) -> AGI:
    """pyst2's AGI over an environment that was read and checked before: its own reading takes forged keys."""
    return AGI(_Joined(head.decode("utf-8", "replace") + "\n\n", replies), commands, io.StringIO())


def tell(agi: AGI, pairs: Pairs) -> None:
    """Set the variables and let the call go on: Asterisk goes on when our output ends, we may still wait for what is paid for."""
    for names, values in arrays(pairs):
        agi.set_variable(names, values)
    agi.stdout.close()


class _Joined:
    """The environment again, then what follows it; its end is a hang-up, which pyst2 alone would read for ever (520) or misread."""

    def __init__(self, head: str, rest: TextIO) -> None:
        self._head = io.StringIO(head)
        self._rest = rest

    def readline(self) -> str:
        line = self._head.readline() or self._rest.readline()
        if not line:
            raise AgiHangup("Asterisk closed the connection")
        return line


def look_up(environment: Environment, tell: Callable[[Pairs], None]) -> None:
    """Tell what to set. Raises `AgiLookupError` or `AgiRefused`."""
    import asyncio  # noqa: PLC0415

    from agi_lookup.config import read_config  # noqa: PLC0415
    from agi_lookup.oneoff import server_runs  # noqa: PLC0415

    config = read_config(None)
    token = config.server.token.get_secret_value() if config.server.token else ""
    request = parse_request(environment, token=token, profiles=config.profiles)
    if server_runs(config):
        tell(ask_server(config, request))
    else:
        asyncio.run(look_up_here(config, request, tell))


def ask_server(config: Config, request: CallRequest) -> Pairs:
    from agi_lookup.web.client import ask  # noqa: PLC0415

    timeout_s = request.timeout_s or config.profiles[request.profile].deadline_ms / 1000
    query = {"profile": request.profile, "timeout_ms": str(int(timeout_s * 1000)), "variables": "yes"}
    if request.facets:
        query["need"] = "+".join(sorted(request.facets))
    if request.fresh:
        query["fresh"] = "yes"
    shown = ask(config.http, "GET", "lookup", request.dialled, timeout_s=timeout_s + 0.2, **query)
    return list(shown["variables"].items())


async def look_up_here(config: Config, request: CallRequest, tell: Callable[[Pairs], None]) -> None:
    import asyncio  # noqa: PLC0415

    from agi_lookup.guarantee import GUARD_S, Guard, guaranteed  # noqa: PLC0415
    from agi_lookup.oneoff import opened  # noqa: PLC0415
    from agi_lookup.variables import render  # noqa: PLC0415

    async with opened(config) as (core, generation):
        started = time.monotonic()
        guard = Guard()
        timeout_s = request.timeout_s or generation.kit.profiles[request.profile].timeout_s
        asyncio.get_running_loop().call_later(timeout_s + GUARD_S, guard.sweep, math.inf)
        decision = await guaranteed(request, generation.kit, started, guard, core.metrics)
        if decision is None:
            raise OutsideError("too late for an answer")
        ms = int((time.monotonic() - started) * 1000)
        tell(render(decision, prefix=config.variables.prefix, now=time.time(), ms=ms))


def report(environment: Environment, tell: Callable[[Pairs], None]) -> None:
    """Hand over how a call went. Raises `AgiLookupError` or `AgiRefused`."""
    from agi_lookup.agi.result import Counted, ResultStatus, parse_result, record  # noqa: PLC0415
    from agi_lookup.config import read_config  # noqa: PLC0415

    config = read_config(None)
    token = config.server.token.get_secret_value() if config.server.token else ""
    told = parse_result(environment, token=token, profiles=config.profiles)
    status = record(told, config.profiles[told.profile].dial_plan, Counted())
    if status is ResultStatus.OK and hand_over(config, environment) != status.value:
        status = ResultStatus.DEGRADED
    tell([(f"{config.variables.prefix}RESULT_STATUS", status.value)])


def hand_over(config: Config, environment: Environment) -> str:
    """What the running server says of the report; empty where none takes it. It is spoken to as Asterisk speaks to it."""
    import asyncio  # noqa: PLC0415

    from agi_lookup.config import reachable  # noqa: PLC0415
    from agi_lookup.sim.asterisk import Behaviour, play  # noqa: PLC0415
    from agi_lookup.sim.asterisk_args import StackSmashed  # noqa: PLC0415
    from agi_lookup.sim.asterisk_wire import Call  # noqa: PLC0415

    call = Call(environment.args, script="result", uniqueid=environment.values["agi_uniqueid"])
    host, port = reachable(config.server.host), config.server.port
    try:
        played = asyncio.run(play(call, host, port, Behaviour(give_up_s=HAND_OVER_S)))
    except (OSError, StackSmashed):  # nobody there, silence (a TimeoutError), or no server of ours
        return ""
    return played.variables.get(f"{config.variables.prefix}RESULT_STATUS", "")


if __name__ == "__main__":
    main()
