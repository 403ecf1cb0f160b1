"""Vendors that misbehave below HTTP: raw servers on 127.0.0.1, and certificates good and bad."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
Serve = Callable[["Exchange"], Awaitable[None]]

OPENSSL_CONFIG = """
[ca]
default_ca = test
[test]
database = {folder}/index
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
"""


class Exchange:
    """One request as it came in, with what is needed to answer it badly."""

    def __init__(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        self.head = head.decode("latin-1")
        self.body = body
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"{}", status: str = "200 OK", *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def reset(self) -> None:
        self.writer.transport.abort()


class RawServer:
    """Counts what came in. `serve` is called for every complete request."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.open = 0
        self.requests: list[Exchange] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                await self._one(reader, writer)
        except (asyncio.IncompleteReadError, OSError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        exchange = Exchange(head, await reader.readexactly(length), writer)
        self.requests.append(exchange)
        await self._serve(exchange)
        if writer.is_closing():
            raise ConnectionResetError

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def raw_server(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    running = RawServer(serve)
    server = await asyncio.start_server(running.connected, "127.0.0.1", 0, ssl=tls)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        await running.stop()


async def never(_exchange: Exchange) -> None:
    await asyncio.Event().wait()


async def ok(exchange: Exchange) -> None:
    await exchange.answer()


class Certificates:
    """A private authority and the certificates that it signed, made by the `openssl` command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = folder / "authority.pem"
        (folder / "index").touch()
        (folder / "serial").write_text("01\n")
        (folder / "openssl.cnf").write_text(OPENSSL_CONFIG.format(folder=folder))
        self._openssl(
            f"req -x509 {NEW_KEY} -days 2 -keyout authority.key -out authority.pem -subj /CN=authority"
            " -addext keyUsage=critical,keyCertSign"
        )

    def _openssl(self, arguments: str) -> None:
        subprocess.run(["openssl", *arguments.split()], cwd=self.folder, check=True, capture_output=True)

    def server(self, name: str, *, host: str = "IP:127.0.0.1", until: str = "20991231000000Z") -> ssl.SSLContext:
        """A server's context with a certificate for `host`, valid `until` (ASN.1 time)."""
        self._openssl(
            f"req {NEW_KEY} -keyout {name}.key -out {name}.csr -subj /CN={name} -addext subjectAltName={host}"
        )
        self._openssl(
            f"ca -batch -notext -config openssl.cnf -cert authority.pem -keyfile authority.key -in {name}.csr"
            f" -out {name}.pem -startdate 20200101000000Z -enddate {until}"
        )
        return self._context(name)

    def self_signed(self) -> ssl.SSLContext:
        self._openssl(
            f"req -x509 {NEW_KEY} -days 2 -keyout self.key -out self.pem -subj /CN=self"
            " -addext subjectAltName=IP:127.0.0.1"
        )
        return self._context("self")

    def _context(self, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context
