"""SIPp from the fetched root as carriers: each a process with a port of its own that does one thing to every call."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agi_lookup.agi.result import parse_result, record
from agi_lookup.agi.wire import Environment, parse_environment
from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.model import CallResult
from tests.asterisk.lab import IN_ROOT, Asterisk
from tests.asterisk.peers import Session, sets
from tests.processes import free_port

PLAN: Final = DialPlan(country="GB")
DIAL: Final = "agi-lookup-dial"
TRUNKS: Final = ("first", "second", "third")

HOSTILE: Final = 'No "way", (${EXTEN}) & \\'
"""A reason phrase is the carrier's to choose, and Asterisk keeps it as it came."""
REASONS: Final = {180: "Ringing", 183: "Session Progress", 200: "OK", 302: "Moved Temporarily"}
SDP: Final = """Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=carrier 1 1 IN IP4 [local_ip]
      s=-
      c=IN IP4 [local_ip]
      t=0 0
      m=audio [media_port] RTP/AVP 0
      a=rtpmap:0 PCMU/8000
"""
NO_BODY: Final = "Content-Length: 0\n\n"
INVITED: Final = """
  <recv request="INVITE">
    <action>
      <ereg regexp="sip:([^@]*)@" search_in="msg" assign_to="uri,number"/>
      <ereg regexp="sip:([^@&gt;]*)[@&gt;]" search_in="hdr" header="From:" assign_to="from,caller"/>
      <ereg regexp="&lt;.*" search_in="hdr" header="From:" assign_to="peer"/>
      <ereg regexp="sip:[^&gt;]*" search_in="hdr" header="Contact:" assign_to="contact"/>
      <log message="[timestamp]|[$number] [$caller]"/>
    </action>
  </recv>
  <Reference variables="uri,from,peer,contact"/>
"""
CANCELLED: Final = '<recv request="CANCEL" timeout="60000"/>'
ACKNOWLEDGED: Final = '<recv request="ACK"/>'
ENDS: Final = """
  <recv request="BYE" timeout="{hold_ms}" ontimeout="bye"/>
  {ok}
  <nop next="end"/>
  <label id="bye"/>
  <send retrans="500">
    <![CDATA[
      BYE [$contact] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:[local_ip]>;tag=[call_number]
      To: [$peer]
      [last_Call-ID:]
      CSeq: 1 BYE
      Max-Forwards: 70
      Content-Length: 0

    ]]>
  </send>
  <recv response="200"/>
  <label id="end"/>
  <nop/>
"""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A running carrier. `calls` are the numbers that it was asked for, each with the caller id that it was shown."""

    port: int
    log: Path

    def dial(self, number: str) -> str:
        """What goes into `Dial()`."""
        return f"PJSIP/carrier/sip:{number}@127.0.0.1:{self.port}"

    @property
    def calls(self) -> list[str]:
        return [call for _, call in self._log()]

    @property
    def asked_at(self) -> dict[str, float]:
        """When each number was asked for, last (Unix seconds)."""
        return {call.partition(" ")[0]: at for at, call in self._log()}

    def _log(self) -> Iterator[tuple[float, str]]:
        for line in self.log.read_text().splitlines() if self.log.exists() else ():
            at, _, call = line.partition("|")
            yield float(at.split()[-1]), call


@contextmanager
def carrier(asterisk: Asterisk, *codes: int, pause_ms: int = 100, hold_ms: int = 60_000) -> Iterator[Carrier]:
    """Answer each INVITE with `codes`, `pause_ms` apart; without a final one, wait to be cancelled.

    An answered call is hung up after `hold_ms`.
    """
    port = free_port(socket.SOCK_DGRAM)
    home = asterisk.home / asterisk.new_id()
    home.mkdir()
    (home / "scenario.xml").write_text(scenario(codes, pause_ms, hold_ms))
    inside = asterisk.inside(home)
    process = subprocess.Popen(
        [
            *(*IN_ROOT, asterisk.root, "sipp", "-sf", f"{inside}/scenario.xml", "-i", "127.0.0.1", "-p", str(port)),
            *(
                "-nostdin",
                "-trace_logs",
                "-log_file",
                f"{inside}/calls",
                "-trace_err",
                "-error_file",
                f"{inside}/errors",
            ),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not listens(port):
            assert process.poll() is None, (home / "errors").read_text()
        yield Carrier(port, home / "calls")
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    return f"0100007F:{port:04X} " in Path("/proc/net/udp").read_text()


def scenario(codes: tuple[int, ...], pause_ms: int, hold_ms: int) -> str:
    steps = [INVITED]
    for code in codes:
        steps += [response(code), f'<pause milliseconds="{pause_ms}"/>' if code < 200 else ACKNOWLEDGED]
    final = codes[-1] if codes else 0
    if final < 200:
        steps += [
            CANCELLED,
            response(200, body=NO_BODY),
            response(487, cseq="CSeq: [last_cseq_number] INVITE"),
            ACKNOWLEDGED,
        ]
    elif final < 300:
        steps.append(ENDS.format(hold_ms=hold_ms, ok=response(200, body=NO_BODY, to="[last_To:]")))
    return f'<?xml version="1.0"?><scenario name="carrier">{"".join(steps)}</scenario>'


def response(code: int, *, cseq: str = "[last_CSeq:]", to: str = "[last_To:];tag=[call_number]", body: str = "") -> str:
    body = body or (SDP if code in (183, 200) else NO_BODY)
    return f"""
  <send{' retrans="500"' if code >= 200 and body != NO_BODY else ""}>
    <![CDATA[
      SIP/2.0 {code} {REASONS.get(code, HOSTILE)}
      [last_Via:]
      [last_From:]
      {to}
      [last_Call-ID:]
      {cseq}
      Contact: <sip:+15550000@[local_ip]:[local_port]>
      {body}
    ]]>
  </send>"""


@dataclass
class Router:
    """A FastAGI server that gives every lookup its routes and takes the results, by the product's own reading of them."""

    routes: Callable[[str], Sequence[tuple[str, str]]]
    """Trunk and dial string of each route for a number."""
    results: list[CallResult] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)

    async def __call__(self, session: Session) -> None:
        environment = parse_environment(session.environment.removesuffix(b"\n\n"))
        pairs = self.take(environment) if environment.script == "result" else self.answer(environment.args[0])
        with suppress(ConnectionError):  # on a busy machine a watchdog may fire
            await session.command(sets(*pairs))

    def take(self, environment: Environment) -> Iterator[tuple[str, str]]:
        report = parse_result(environment, token="", profiles={"default"})
        yield "LOOKUP_RESULT_STATUS", record(report, PLAN, self)

    def answer(self, number: str) -> Iterator[tuple[str, str]]:
        routes = self.routes(number)
        yield "LOOKUP_NUMBER", number
        yield "LCR_COUNT", str(len(routes))
        for n, (trunk, dial) in enumerate(routes, 1):
            yield f"LCR_{n}_TRUNK", trunk
            yield f"LCR_{n}_DIAL", dial
        yield "LOOKUP_STATUS", "OK"

    def report(self, result: CallResult, channel: str) -> None:
        self.results.append(result)
        self.channels.append(channel)


def said(report: CallResult) -> tuple[str, int | None, int | None, bool]:
    """DIALSTATUS, cause, SIP code; did it ring?"""
    return report.dialstatus, report.cause, report.sip_code, report.rang


def to(*carriers: Carrier) -> Router:
    """Every number goes by these, as the trunks `first`, `second`, `third`."""
    return Router(lambda number: [(name, trunk.dial(number)) for name, trunk in zip(TRUNKS, carriers, strict=False)])
