"""The two servers that ours is measured against, each a process: `python -m agi_lookup.bench.peers constant LINE`.

`constant` is the floor: a bare uvloop protocol that waits for the blank line, sends one ready line and closes after the reply. It
checks nothing and looks nothing up. `pyst2` is how FastAGI is done otherwise: pyst2's `AGI` class, a thread a call, one
`SET VARIABLE` a value. Each prints the port that it listens on, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import io
import os
import socketserver
import sys
import threading
from typing import BinaryIO, Final, cast

BACKLOG: Final = 4096


class Constant(asyncio.Protocol):
    """One conversation of the constant-answer responder."""

    line = b""

    def __init__(self) -> None:
        self._head = b""
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._answered:
            self._transport.close()
            return
        self._head += data
        if self._head.endswith(b"\n\n"):
            self._answered = True
            self._transport.write(self.line)


async def serve_constant(line: bytes) -> None:
    loop = asyncio.get_running_loop()
    protocol = type("ThisConstant", (Constant,), {"line": line})
    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


def serve_pyst2(pairs: list[tuple[str, str]]) -> None:
    from asterisk.agi import AGI  # noqa: PLC0415

    class ThreadedAgi(AGI):  # type: ignore[misc]  # pyst2 has no types
        """Without the constructor: it installs a signal handler, which only a main thread may."""

        def __init__(self, stdin: io.TextIOBase, stdout: io.TextIOBase, stderr: io.TextIOBase) -> None:
            self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
            self._got_sighup = False
            self.env: dict[str, str] = {}
            self._get_agi_env()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            agi = ThreadedAgi(_text(self.rfile), _text(self.wfile), nowhere)
            for name, value in pairs:
                agi.set_variable(name, value)

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = BACKLOG
        daemon_threads = True

    with open(os.devnull, "w") as nowhere, Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        server.shutdown()


def _text(stream: io.BufferedIOBase) -> io.TextIOWrapper:
    return io.TextIOWrapper(cast("BinaryIO", stream))


def main(kind: str, *arguments: str) -> None:
    """`constant LINE` or `pyst2 NAME=VALUE...`"""
    if kind == "constant":
        import uvloop  # noqa: PLC0415

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_constant(arguments[0].encode() + b"\n"))
    else:
        serve_pyst2([cast("tuple[str, str]", tuple(pair.split("=", 1))) for pair in arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
