"""What a vendor may write into its answers: through our encoder into a real Asterisk, and read back from there."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

import pytest

from agi_lookup.agi.wire import encode_set
from agi_lookup.domain.model import (
    CacheState,
    Decision,
    Identity,
    LookupOutcome,
    Method,
    Number,
    Sourced,
    Status,
    Verdict,
)
from agi_lookup.sim.npl_records import record
from agi_lookup.variables import SAFE, Pairs, render
from tests.asterisk.lab import LOOKUP_VARIABLES, Asterisk
from tests.asterisk.peers import Session, peer
from tests.asterisk.test_lookups import PATIENT, expected, url
from tests.processes import make_site
from tests.providers.servers import Exchange, raw_server

TEXTS: Final = (
    "", " ", '"', '""', '"EE"', "\\", '\\"', "\\\\n", "'", ",", ",,", "a,b", "(", ")", "x(1,2,3", "[", "]", "{}", "$", "|", "&",
    ";", "${EXTEN}", "${SHELL(id)}", "$[1+1]", "${FILE(/etc/passwd)}", "%s%n%d", "%0A", "%",
    "\n", "\r\n", "\r", "\0", "\t", "\x1b[31m", "\x7f", "\x85", "\u2028",
    "\u202e564321", "\u200b", "\ufeff", "\ud800", "\udfff", "\u0301", "a" + "\u0301" * 300, "\ufdfa" * 50,
    "Télé2 Ö", "Ελλάς", "МТС", "中国移动", "🤖☎️", "ﬀﬁ", "Ⅷ", "⑴", "…", "½",
    "＂，（）［］＼｛｝＄｜＆；", "﹩﹛EXTEN﹜", "＊－／", "ⅡＬ１２",
    "200 result=1", "\n200 result=1 (pwn)\n", "510 Invalid or unknown command", "520 End of proper usage.\n",
    "HANGUP", "HANGUP\n", "FAILURE\n", 'x"\nSET VARIABLE LOOKUP_ACTION "block"', "SET VARIABLE X y\n", "ARRAY(X)", 'b" "c" "d',
    "EXEC System touch\\ /tmp/pwned", "PJSIP/15550000@trunk&Local/1@x", "-", "@", "../../etc", "<script>", "'; DROP TABLE cache;--",
    "A" * 128, "A" * 129, '"' * 4096, "," * 4096, "( " * 2048, '" "' * 1365, "é" * 4096, "\\" * 4096, "🤖" * 1024,
)  # fmt: skip
"""Each is sent as it is; then all kinds of mixtures."""
LONE_SURROGATES: Final = re.compile("[\ud800-\udfff]")
PIECES: Final = (*(text for text in TEXTS if text and len(text) <= 64), *"aZ09 _.:+/@-", "Example Mobile", "EE")
MAX_CHARS: Final = 4096

FIELDS: Final = ("carrier", "mcc", "mnc", "orig_carrier", "orig_mcc", "orig_mnc", "country", "lrn", "ocn")
TEXTS_A_CALL: Final = len(FIELDS) + 4


def hostile_texts(chance: random.Random) -> Iterator[str]:
    """Endless."""
    yield from TEXTS
    while True:
        pieces = chance.choices(PIECES, k=min(int(chance.expovariate(0.1)), 800))
        yield "".join(pieces)[:MAX_CHARS]


def answer(texts: Iterator[str]) -> Pairs:
    """The variables of a decision in which whatever an outsider may have written is hostile."""
    identity = Identity(**{name: next(texts) for name in FIELDS})  # type: ignore[arg-type]
    sourced = Sourced(identity, next(texts), Method.HLR, 0, CacheState.MISS)
    outcome = LookupOutcome(Status.OK, sourced, error=next(texts))
    decision = Decision(Status.OK, Number(next(texts)), outcome, Verdict(rule=next(texts)))
    return render(decision, prefix="LOOKUP_", now=0, ms=1)


EVERYTHING: Final = "|".join(f"${{{name}}}" for name in LOOKUP_VARIABLES)
"""One GET FULL VARIABLE for all of them; `|` is in no value by contract."""


async def read_back(session: Session) -> Pairs:
    reply = await session.command(f"GET FULL VARIABLE {EVERYTHING}")
    assert (reply[:14], reply[-1:]) == ("200 result=1 (", ")")
    return list(zip(LOOKUP_VARIABLES, reply[14:-1].split("|"), strict=True))


async def round_trips(asterisk: Asterisk, count: int) -> None:
    """Send so many texts, in one AGI session."""
    texts = hostile_texts(random.Random(count))
    survived: set[str] = set()

    async def sets_and_reads(session: Session) -> None:
        for _ in range(math.ceil(count / TEXTS_A_CALL)):
            pairs = answer(texts)
            for line in encode_set(pairs):
                assert await session.command(line.decode().removesuffix("\n")) == "200 result=1"
            assert await read_back(session) == pairs
            survived.update("".join(value for _, value in pairs))

    asterisk.load_dialplan("[texts]\nexten => s,1,AGI(${AGI_LOOKUP_URL}/x)\n same => n,Return()\n")
    async with peer(sets_and_reads) as server:
        call = await asterisk.call("1", context="texts", patience_s=240, AGI_LOOKUP_URL=server.url)
    assert call.route["AGISTATUS"] == "SUCCESS"
    assert all(SAFE.fullmatch(char) for char in survived)
    assert len(survived) > 60, "the texts were thrown away rather than made safe"


async def test_ten_thousand_hostile_texts_are_read_back_as_they_were_encoded(asterisk: Asterisk) -> None:
    """F10, F18: every command is taken for one, and every variable holds what it was to hold."""
    await round_trips(asterisk, 10_000)


@pytest.mark.soak
@pytest.mark.skipif("SOAK" not in os.environ, reason="long: make soak")
@pytest.mark.timeout(300, func_only=True)
async def test_half_a_million_hostile_texts_are_read_back_as_they_were_encoded(asterisk: Asterisk) -> None:
    """F18, G9."""
    await round_trips(asterisk, 500_000)


async def test_vendors_hostile_names_spoil_nothing_but_themselves(asterisk: Asterisk, tmp_path: Path) -> None:
    """F10, F18: the whole way, from a vendor's JSON to the channel."""
    asterisk.load_dialplan(PATIENT)
    texts = [text for text in TEXTS if not LONE_SURROGATES.search(text)]  # those make a bad answer of the whole
    numbers = {f"44740{n:04d}000": text for n, text in enumerate(texts)}

    async def vendor(exchange: Exchange) -> None:
        [number] = parse_qs(exchange.body.decode())["msisdn"]
        names = dict.fromkeys(("operatorname", "originaloperatorname", "lrn", "ocn", "spid"), numbers[number])
        body = json.dumps([record(number, Decimal(1), Decimal(1)) | names], ensure_ascii=False)
        await exchange.answer(body.encode(), "200 OK", "Content-Type: application/json")

    async with raw_server(vendor) as running:
        site = make_site(tmp_path, provider=running.url, deadline_ms=6000)
        site.data["providers"]["npl"]["max_batch"] = 1  # this vendor reads one number a request
        site.write()
        with site.serve():
            calls = await asyncio.gather(
                *(asterisk.call(f"+{number}", context="patient", AGI_LOOKUP_URL=url(site)) for number in numbers)
            )
    names = ("LOOKUP_CARRIER", "LOOKUP_ORIG_CARRIER", "LOOKUP_LRN", "LOOKUP_OCN")
    for number, call in zip(numbers, calls, strict=True):
        assert all(SAFE.fullmatch(call.route[name]) for name in names), numbers[number]
        unnamed = dict.fromkeys(names, "")
        assert call.facts | unnamed == expected(f"+{number}") | unnamed, numbers[number]
    assert calls[texts.index("Télé2 Ö")].route["LOOKUP_CARRIER"] == "Tele2 O"
