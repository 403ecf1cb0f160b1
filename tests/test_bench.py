"""The benchmark counts right: what it reports of a server that is wrong, early or gone, and of ours."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agi_lookup.bench import calls
from agi_lookup.bench.children import Child
from agi_lookup.bench.figures import Spread
from agi_lookup.bench.load import Closed, Load, Open, Planned, run
from agi_lookup.variables import VARIABLES, full_name
from tests.asterisk.peers import Behaviour, Session, peer

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[1]
LINE = b"NOOP\n"
CALL = Planned([b"agi_network: yes\n", b"\n"], lambda lines: lines == [LINE])


async def load(behave: Behaviour, *, count: int = 20, patience_s: float = 5.0, **changes: Any) -> Load:
    pace = changes.pop("pace", Closed(4))
    async with peer(behave) as running:
        port = int(running.url.rpartition(":")[2])
        return await asyncio.to_thread(
            run, itertools.repeat(CALL, count), port, pace, 60.0, patience_s=patience_s, **changes
        )


async def answer(session: Session) -> None:
    assert await session.command("NOOP") == "200 result=1"


async def test_right_answers_are_counted_and_timed() -> None:
    seen = await load(answer)
    assert (seen.started, seen.right, seen.wrong, seen.failed) == (20, 20, 0, 0)
    assert (seen.commands, seen.early_bytes) == (20, 0)
    assert len(seen.latencies_s) == 20
    assert 0 < seen.percentile_ms(50) <= seen.percentile_ms(99.9)


async def test_a_closed_loop_keeps_to_its_concurrency() -> None:
    at_once = most = 0

    async def slow(session: Session) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.005)
        at_once -= 1
        await session.command("NOOP")

    assert (await load(slow, pace=Closed(3))).right == 20
    assert most == 3


async def test_an_open_loop_does_not_wait_for_a_slow_server() -> None:
    enough = asyncio.Event()
    waiting = 0

    async def all_at_once(session: Session) -> None:
        nonlocal waiting
        waiting += 1
        if waiting == 20:
            enough.set()
        await enough.wait()
        await session.command("NOOP")

    seen = await load(all_at_once, pace=Open(1000))
    assert (seen.right, seen.most_waiting) == (20, 20)


async def test_other_commands_are_wrong() -> None:
    async def other(session: Session) -> None:
        await session.command("VERBOSE")

    assert (await load(other)).wrong == 20


async def test_a_second_command_is_wrong_but_not_early() -> None:
    async def two(session: Session) -> None:
        await session.command("NOOP")
        await session.command("NOOP")

    seen = await load(two)
    assert (seen.wrong, seen.commands, seen.early_bytes) == (20, 40, 0)


async def test_what_comes_before_our_reply_is_early() -> None:
    async def pipelined(session: Session) -> None:
        session.send(LINE + LINE)
        await session.line()

    assert (await load(pipelined)).early_bytes == 20 * len(LINE)


async def test_a_close_without_an_answer_is_wrong_and_a_reset_failed() -> None:
    async def close(_session: Session) -> None:
        pass

    async def reset(session: Session) -> None:
        session.reset()

    assert (await load(close)).wrong == 20
    assert (await load(reset)).failed == 20


async def test_calls_that_never_end_have_failed() -> None:
    async def hang(_session: Session) -> None:
        await asyncio.sleep(60)

    assert (await load(hang, count=3, patience_s=0.1)).failed == 3


def test_a_port_where_nobody_listens_fails_every_call() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert run(itertools.repeat(CALL, 5), port, Closed(1), 60).failed == 5


def test_numbers_are_british_mobiles_and_all_different() -> None:
    numbers = [calls.number(index) for index in (0, 1, 2, 3, 299_999)] + [calls.number(0, block=29)]
    assert len(set(numbers)) == len(numbers)
    assert {len(number) for number in numbers} == {12}
    assert all(number.startswith("447") for number in numbers)


def command(values: dict[str, str]) -> bytes:
    return f'SET VARIABLE ARRAY({",".join(values)}) "{",".join(values.values())}"\n'.encode()


def test_the_oracle_knows_every_variable() -> None:
    names = {full_name(variable, "LOOKUP_") for variable in VARIABLES}
    assert set(calls.expected(calls.number(0), cache="fresh")) == names - {"LOOKUP_AGE", "LOOKUP_MS"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda right: right | {"LOOKUP_CARRIER": "Other"},
        lambda right: {name: value for name, value in right.items() if name != "LOOKUP_MNC"},
        lambda right: right | {"EXTRA": "1"},
        lambda right: dict(reversed(right.items())),
    ],
    ids=["other value", "missing", "too much", "status not last"],
)
def test_an_answer_must_hold_all_variables_and_no_other(spoil: Callable[[dict[str, str]], dict[str, str]]) -> None:
    number = calls.number(1)
    right = {"LOOKUP_MS": "3", "LOOKUP_AGE": "60"} | calls.expected(number, cache="fresh")
    is_right = calls.lookup(number, cache="fresh").is_right
    assert is_right([command(right)])
    assert not is_right([command(right), command(right)])
    assert not is_right([command(spoil(right))])


def test_a_spread_is_of_pairs_round_by_round() -> None:
    assert Spread.of_ratios([2, 4, 9], [1, 1, 3]) == Spread(3, 2, 4)


@pytest.mark.parametrize(("kind", "arguments"), [("constant", ["NOOP"]), ("pyst2", ["A=1", "B=2"])])
def test_the_references_answer_and_end_with_us(kind: str, arguments: list[str]) -> None:
    right = [LINE] if kind == "constant" else [b'SET VARIABLE "A" "1"\n', b'SET VARIABLE "B" "2"\n']
    call = Planned([b"agi_network: yes\n", b"\n"], lambda lines: lines == right)
    with Child("agi_lookup.bench.peers", kind, *arguments) as child:
        seen = run(itertools.repeat(call, 10), int(child.first_line()), Closed(2), 60)
        assert child.usage().cpu_s > 0
        assert child.rss_kib() > 1000
    assert (seen.right, seen.early_bytes) == (10, 0)
    assert not child.runs


@pytest.mark.timeout(400)
async def test_quick_bench_counts_all_and_finds_nothing_wrong() -> None:
    """The whole of it once, small: real server, simulator, references, slow lookups, a filled disk. Times are not judged."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agi_lookup.cli.main", "bench", "--quick", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    out, err = await asyncio.wait_for(process.communicate(), 350)
    assert process.returncode in (0, 1), err.decode()
    report = json.loads(out)
    sides = report["hits"]["sides"]
    for side in sides.values():
        for pace in side.values():
            assert pace["calls"] > 0
            assert (pace["wrong"], pace["failed"], pace["early_bytes"]) == (0, 0, 0)
    assert {pace["commands_a_call"]["high"] for pace in sides["ours"].values()} == {1}
    assert {pace["commands_a_call"]["high"] for pace in sides["pyst2"].values()} == {10}
    assert report["hits"]["no_io_of_ours"]["provider_requests"] == 0
    assert report["slow_lookup"]["served_percent"] == 100
    assert (report["slow_lookup"]["wrong"], report["slow_lookup"]["early_bytes"]) == (0, 0)
    scaled = report["slow_lookup"]["scaled"]
    assert scaled["calls_per_s"] <= report["slow_lookup"]["calls_per_s"], "a slower machine gets fewer"
    assert (scaled["served_percent"], scaled["wrong"]) == (100, 0)
    assert (report["full_cache"]["numbers_in_memory"], report["full_cache"]["missed"]) == (300, 0)
    assert report["imports"]["rows"] == 20_000
    assert report["imports"]["import_rows_per_s"] > 0
    assert all(goal["met"] for goal in report["goals"]), report["goals"]


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    """However the benchmark dies, it leaves no server behind."""
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from agi_lookup.bench.children import Child
with Child("agi_lookup.bench.peers", "constant", "NOOP") as child:
    child.first_line()
    print(child.pid, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        status = Path(f"/proc/{int(parent.stdout.readline())}/status")
        parent.kill()
    deadline = time.monotonic() + 30
    while status.exists() and "zombie" not in status.read_text():
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.01)
