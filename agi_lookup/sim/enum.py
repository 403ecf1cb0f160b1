"""A simulated ENUM vendor: NAPTR records over UDP, on the port number that the other vendors have over TCP.

Shapes as https://help.datafon.co.uk, https://docs.mitto.ch/number-lookup-enum and
https://www.tmtanalysis.com/developer/tmt_live_v1.html show them, and RFC 4694. It is as strict as the strictest: a question with an
OPT record is refused. Each question that is answered, or whose answer gets lost, is a dip and is charged.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from decimal import Decimal
from typing import Any, Final, Literal, cast
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from agi_lookup.sim.bill import Bill
from agi_lookup.sim.countries import Country, country_of
from agi_lookup.sim.delivery import Delivery
from agi_lookup.sim.scenarios import Scenario

NAME: Final = "enum"
ZONE: Final = "e164.arpa"
PRICE: Final = Decimal("0.0006")

FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 1, 2, 3, 4, 5
RCODES: Final = {
    Scenario.NO_COVERAGE: NXDOMAIN,
    Scenario.INVALID: NXDOMAIN,
    Scenario.PARTNER_FAILURE: SERVFAIL,
    Scenario.HTTP_500: SERVFAIL,
    Scenario.RATE_LIMITED: REFUSED,
    Scenario.HTTP_429: REFUSED,
}
FREE: Final = frozenset({FORMERR, NOTIMP, REFUSED})

_HEADER: Final = struct.Struct("!6H")
_QUESTION: Final = struct.pack("!HH", 35, 1)  # NAPTR, IN
_REPLY: Final = 0x8180
_TRUNCATED: Final = 0x0200
_SOA: Final = b"\x02ns\x00\x04root\x00" + struct.pack("!5I", 1, 3600, 600, 86400, 60)

Shape = Literal["datafon", "mitto", "tmt", "rfc4694"]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of the account, and how this vendor words its answers."""

    shape: Shape = "datafon"
    ttl_s: int = 3600
    credit: Decimal = Decimal(1_000_000)


class Vendor:
    """One account; it is known by its address, so anybody may ask."""

    name = NAME

    def __init__(self, limits: Limits, bill: Bill, delivery: Delivery) -> None:
        self._limits = limits
        self._bill = bill
        self._delivery = delivery
        self._transport: asyncio.DatagramTransport | None = None
        bill.open(NAME, limits.credit, "EUR")

    def config(self, base: str) -> dict[str, str]:
        """The provider block that points here."""
        return {"kind": "enum_dns", "zone": ZONE, "servers": json.dumps([urlsplit(base).netloc])}

    async def handle(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(status=400, text="this vendor speaks DNS, on the UDP port of the same number\n")

    async def listen(self, host: str, port: int) -> None:
        """Raises `OSError` when the port cannot be had."""
        bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            bound.bind((host, port))
        except OSError:
            bound.close()
            raise
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Listener(self), sock=bound)

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def answer(self, data: bytes) -> tuple[float, list[bytes]]:
        """What goes back, and after how many seconds."""
        faults = self._delivery.faults
        delay_s = faults.latency_ms / 1000
        number = number_of(data)
        if number is None:
            return delay_s, [_message(data, FORMERR)] if len(data) > _HEADER.size else []
        scenario = Scenario.of(number)
        rcode = SERVFAIL if self._delivery.breaks() else RCODES.get(scenario, 0)
        self._bill.book(NAME, (number,), f"rcode {rcode}", Decimal(0) if rcode in FREE else PRICE)
        if faults.hang or scenario is Scenario.NEVER_ANSWERS or self._delivery.loses():
            return delay_s, []
        if faults.malformed or scenario is Scenario.TYPES_FLIPPED:
            return delay_s, [
                data[:2] + b"\x81\x80\0\1\0\x09\0\0\0\0" + data[_HEADER.size :] + b"\xc0"
            ]  # 9 records, they say
        replies = [self._reply(data, number, scenario, rcode)]
        if scenario is Scenario.DUPLICATE:  # first a forged one, with another id
            replies.insert(0, bytes([data[0] ^ 1]) + self._reply(data, number, Scenario.PORTED, 0)[1:])
        return delay_s + (faults.slow_s if scenario is Scenario.SLOW else 0.0), replies

    def _reply(self, data: bytes, number: str, scenario: Scenario, rcode: int) -> bytes:
        if scenario is Scenario.CUT_OFF:
            return _message(data, 0, flags=_TRUNCATED)
        if rcode:
            return _message(data, rcode)
        shown = f"{number[:-2]}00" if scenario is Scenario.OTHER_NUMBER else number
        uri = _uri(shown, country_of(number), scenario, self._limits.shape)
        return _message(
            data, 0, _naptr("E2U+SIP" if uri.startswith("sip:") else "E2U+pstn:tel", uri, self._limits.ttl_s)
        )


class _Listener(asyncio.DatagramProtocol):
    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        delay_s, replies = self._vendor.answer(data)
        asyncio.get_running_loop().call_later(delay_s, self._send, replies, addr)

    def _send(self, replies: list[bytes], addr: Any) -> None:
        for reply in replies:
            self._transport.sendto(reply, addr)


def number_of(data: bytes) -> str | None:
    """The number (digits without `+`) that a question is about; None: no question of this zone, or not a bare one."""
    try:
        _, _, questions, answers, authorities, additional = _HEADER.unpack_from(data)
        labels, at = [], _HEADER.size
        while length := data[at]:
            labels.append(data[at + 1 : at + 1 + length].decode("ascii").lower())
            at += 1 + length
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    bare = (questions, answers, authorities, additional) == (1, 0, 0, 0) and data[at + 1 :] == _QUESTION
    digits = labels[: -ZONE.count(".") - 1]
    is_number = all(len(label) == 1 and label.isdigit() for label in digits)
    return "".join(reversed(digits)) if bare and is_number and ".".join(labels[len(digits) :]) == ZONE else None


def _message(query: bytes, rcode: int, answer: bytes = b"", flags: int = 0) -> bytes:
    """A reply with the question, and one record at most; NXDOMAIN has its SOA."""
    authority = b"\xc0\x0c" + struct.pack("!HHIH", 6, 1, 300, len(_SOA)) + _SOA if rcode == NXDOMAIN else b""
    header = _HEADER.pack(int.from_bytes(query[:2]), _REPLY | flags | rcode, 1, bool(answer), bool(authority), 0)
    return header + query[_HEADER.size :] + answer + authority


def _naptr(service: str, uri: str, ttl_s: int) -> bytes:
    texts = b"".join(bytes([len(text)]) + text for text in (b"u", service.encode(), f"!^.*$!{uri}!".encode()))
    content = struct.pack("!HH", 10, 50) + texts + b"\0"
    return b"\xc0\x0c" + struct.pack("!HHIH", 35, 1, ttl_s, len(content)) + content


def _uri(number: str, home: Country, scenario: Scenario, shape: Shape) -> str:
    current, _ = home.networks if number[-3:-2] in "02468" else reversed(home.networks)
    ported = scenario is Scenario.PORTED
    mnc, name = current
    if scenario is Scenario.INCONCLUSIVE:
        return f"tel:+{number};err=4"
    if scenario is Scenario.NULLS:
        return f"tel:+{number};country=null;operator=null;mcc=null;mnc=null;ported=null;err=0"
    if scenario is Scenario.LANDLINE:
        return f"tel:+{number};npdi;cn={name};nt=fixed;ported={str(ported).lower()};err=0"
    match shape:
        case "mitto":
            host = f"ims.mnc{mnc}.mcc{home.mcc}.3gppnetwork.org"
            uri = f"sip:+{number}@{host};cost={PRICE};ported={int(ported)};user=phone"
        case "tmt":
            np = "yes" if ported else "no"
            uri = f"tel:+{number};npdi;np={np};cic=;cc={home.iso};cn={name};nt=mobile;mcc={home.mcc};mnc={mnc}"
        case "rfc4694":
            uri = f"tel:+{number};npdi" + (f";rn=+{home.calling_code}9{mnc}" if ported else "")
        case "datafon":
            uri = f"tel:+{number};npdi;cn={name};nt=mobile;mcc={home.mcc};mnc={mnc};ported={str(ported).lower()};err=0"
    return f"{uri};x-score=0.93;x-new" if scenario is Scenario.UNKNOWN_KEYS else uri
