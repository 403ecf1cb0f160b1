"""The fake Asterisk and a real one, command by command: same replies, same variables."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from agi_lookup.sim.asterisk_wire import Channel
from tests.asterisk.lab import Asterisk
from tests.asterisk.peers import Session, peer

NAMES: Final = ("V", "W", "X", "N98", "N99")
ALPHABET: Final = "ab1,,,\"\\()[] \t$'{}"
TABLE: Final = (
    'SET VARIABLE V "a b"',
    'SET VARIABLE V "a"b"c"',
    'SET VARIABLE V a"b c"d',
    r'SET VARIABLE V "a\"b\\c\n"',
    'SET VARIABLE V ""',
    'SET VARIABLE V "abc',
    "SET VARIABLE V 'a b'",
    "set variable V x",
    "SET VARIABLE V",
    "SET VARIABLE",
    "SET",
    "",
    "NOOP",
    "NOOP a b",
    "ANSWER x",
    "VERBOSE",
    "VERBOSE hi 1 2",
    "GET VARIABLE",
    "GET VARIABLE V W",
    "NO SUCH",
    "SET VARIABLE V ${EXTEN}",
    'SET VARIABLE ARRAY(V,W) "x(1,2,3"',
    'SET VARIABLE ARRAY(V) "x,y"',
    'SET VARIABLE ARRAY(V,W) "x,"',
    'SET VARIABLE ARRAY(V,W) ""',
    r'SET VARIABLE ARRAY(V,W) "a\\,b,c"',
    "SET VARIABLE __V q",
    "SET VARIABLE ARRAY(_V,W) q,r",
    'SET VARIABLE "ARRAY(V" q',
    'SET VARIABLE "ARRAY(V))" q',
    'SET VARIABLE "NOPE(V)" q',
    f'SET VARIABLE V "{"x" * 3000}"',
    f"NOOP {'x ' * 130}",
    *(
        f"SET VARIABLE ARRAY({','.join(f'N{n}' for n in range(count))}) {','.join(f'v{n}' for n in range(count + 2))}"
        for count in (99, 100, 101)
    ),
)


def any_line(chance: random.Random) -> str:
    def text(longest: int) -> str:
        return "".join(chance.choices(ALPHABET, k=chance.randrange(longest)))

    return chance.choice(
        [
            f"SET VARIABLE V {text(14)}",
            f'SET VARIABLE ARRAY(V,W,X) "{text(16)}"',
            f'SET VARIABLE ARRAY({text(8).replace(")", "")}) "{text(10)}"',
            text(20),
        ]
    )


async def ask(session: Session, line: str) -> str:
    reply = await session.command(line)
    if not reply.startswith("520-"):
        return reply
    while "520 End of proper usage." not in await session.line():
        pass
    return "520"


def fake_reply(channel: Channel, line: str) -> str:
    reply = channel.execute(line)[0].decode().rstrip("\n")
    return "520" if reply.startswith("520-") else reply


async def test_the_fake_answers_and_sets_as_asterisk_does(asterisk: Asterisk) -> None:
    done = asyncio.Event()

    async def compare(session: Session) -> None:
        chance = random.Random(22)
        fake = Channel()
        try:
            for line in [*TABLE, *(any_line(chance) for _ in range(400))]:
                assert (await ask(session, line), line) == (fake_reply(fake, line), line)
                for get in (f"GET VARIABLE {name}" for name in NAMES):
                    assert (await ask(session, get), line, get) == (fake_reply(fake, get), line, get)
        finally:
            done.set()

    async with peer(compare) as running:
        asterisk.load_dialplan(f"[fake]\nexten => s,1,AGI({running.url}/x)\n same => n,Return()\n")
        await asterisk.call("1", context="fake", patience_s=120)
        await asyncio.wait_for(done.wait(), 30)
