"""Processes that spend until they are killed: `python -m tests.lookup.killed` forks one for each line of its standard input.

On standard output: the pid, "ready" once the ledger is open, "gone" when it has ended. The bill is the vendor's: a line for each
request that reached it, written before it answers.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
from pathlib import Path
from typing import Final

from agi_lookup.domain.errors import ProviderOverBudget
from agi_lookup.lookup.budget import Payer
from agi_lookup.lookup.ledger import Purse
from tests.lookup.money import NOW, Alarms, answer, opened, per_day

CAP: Final = 20
ANSWER_S: Final = 0.003


async def spend(ledger: Path, bill: int, at: float, first: int, workers: int) -> None:
    purse = await opened(ledger, per_day(str(CAP), keep_days=3650), Alarms())
    os.write(1, b"ready\n")
    numbers = itertools.count(first)
    await asyncio.gather(*(buy(purse, bill, at, numbers) for _ in range(workers)))


async def buy(purse: Purse, bill: int, at: float, numbers: itertools.count[int]) -> None:
    """One number after the other; some are called off before they are sent."""
    while True:
        await asyncio.sleep(0)
        number = f"+4477{next(numbers):08d}"
        try:
            reservation = purse.reserve("npl", number, Payer("default"), at)
        except ProviderOverBudget:
            await asyncio.sleep(1)
            continue
        await purse.intend([reservation])
        if random.random() < 0.1:
            purse.release(reservation)
            continue
        os.write(bill, f"{int(at)} {number}\n".encode())
        await asyncio.sleep(random.uniform(0, ANSWER_S))
        purse.settle(reservation, answer("1"))


def main() -> None:
    for line in sys.stdin:
        ledger, bill, day, first, workers = line.split()
        pid = os.fork()
        if pid == 0:
            os.write(1, f"{os.getpid()}\n".encode())  # not by who forks: on a busy machine "ready" would come before it
            fd = os.open(bill, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            asyncio.run(spend(Path(ledger), fd, NOW + int(day) * 86_400, int(first), int(workers)))
        os.waitpid(pid, 0)
        os.write(1, b"gone\n")


if __name__ == "__main__":
    main()
