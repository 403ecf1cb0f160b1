"""A SIP caller who is free to send any bytes: one INVITE over UDP, no library that would tidy it up."""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import dataclass, field
from typing import Final

REQUEST: Final = (
    b"%(method)s sip:%(user)s@127.0.0.1 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP %(source)s:%(port)d;branch=z9hG4bK%(call_id)s\r\n"
    b"Max-Forwards: 70\r\n"
    b"From: %(display)s<sip:%(from_user)s@127.0.0.1>;tag=%(call_id)s\r\n"
    b"To: <sip:%(user)s@127.0.0.1>%(to_tag)s\r\n"
    b"Call-ID: %(call_id)s\r\n"
    b"CSeq: 1 %(method)s\r\n"
    b"Contact: <sip:caller@%(source)s:%(port)d>\r\n"
    b"%(headers)s"
    b"Content-Length: 0\r\n\r\n"
)


@dataclass(frozen=True)
class Invite:
    """What the caller puts into its INVITE; `str` is sent as UTF-8."""

    user: str | bytes
    from_user: str | bytes = "+4420"
    display: str | bytes = ""
    headers: dict[str, str | bytes] = field(default_factory=dict)
    source: str = "127.0.0.1"


async def send(invite: Invite, port: int, *, timeout_s: float = 20, cancel_after_s: float | None = None) -> int | None:
    """Send it to Asterisk; the final SIP status, or None when it did not answer at all (PJSIP drops what it cannot parse).

    A caller who cancels gets 487, unless the call had ended before.
    """
    loop = asyncio.get_running_loop()
    transport, caller = await loop.create_datagram_endpoint(
        lambda: _Caller(invite), local_addr=(invite.source, 0), remote_addr=("127.0.0.1", port)
    )
    if cancel_after_s is not None:
        loop.call_later(cancel_after_s, caller.cancel)
    try:
        return await asyncio.wait_for(caller.final, timeout_s)
    except TimeoutError:
        return None
    finally:
        transport.close()


class _Caller(asyncio.DatagramProtocol):
    def __init__(self, invite: Invite) -> None:
        self.final: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._invite = invite
        self._call_id = uuid.uuid4().hex.encode()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self._send(b"INVITE")

    def cancel(self) -> None:
        if not self.final.done():
            self._send(b"CANCEL")

    def datagram_received(self, data: bytes, addr: object) -> None:
        response = re.match(rb"SIP/2\.0 (\d{3}) ", data)
        of_invite = re.search(rb"(?mi)^CSeq: 1 INVITE\r$", data)
        if response is None or not of_invite or int(response[1]) < 200 or self.final.done():
            return
        to_tag = re.search(rb"(?mi)^To:[^\r\n]*(;tag=[^;\r\n]+)", data)
        self._send(b"ACK", to_tag[1] if to_tag else b"")
        self.final.set_result(int(response[1]))

    def _send(self, method: bytes, to_tag: bytes = b"") -> None:
        source, port = self._transport.get_extra_info("sockname")
        headers = b"".join(
            _bytes(name) + b": " + _bytes(value) + b"\r\n" for name, value in self._invite.headers.items()
        )
        self._transport.sendto(
            REQUEST
            % {
                b"method": method,
                b"user": _bytes(self._invite.user),
                b"source": source.encode(),
                b"port": port,
                b"call_id": self._call_id,
                b"display": _bytes(self._invite.display),
                b"from_user": _bytes(self._invite.from_user),
                b"to_tag": to_tag,
                b"headers": headers if method == b"INVITE" else b"",
            }
        )


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
