"""Proxies in front of a server: one that ends TLS, with a certificate made for the occasion, and one that is slow."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


@asynccontextmanager
async def tls_proxy(port: int) -> AsyncIterator[tuple[int, str]]:
    """A port where TLS leads to `port` on this machine, and the file of the certificate to trust."""
    with tempfile.TemporaryDirectory() as folder:
        certificate_file, key_file = write_certificate(Path(folder))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate_file, key_file)
        async with _proxy(port, ssl=context) as own_port:
            yield own_port, str(certificate_file)


@asynccontextmanager
async def slow_proxy(port: int, delay: Callable[[], float]) -> AsyncIterator[int]:
    """A port that leads to `port` on this machine, whose answers come so many seconds later."""
    async with _proxy(port, delay) as own_port:
        yield own_port


def prompt() -> float:
    return 0.0


@asynccontextmanager
async def _proxy(port: int, delay: Callable[[], float] = prompt, **options: Any) -> AsyncIterator[int]:
    serving: set[asyncio.Task[Any] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(_pipe(reader, inner_writer, prompt), _pipe(inner_reader, writer, delay))
        for one in (writer, inner_writer):
            one.close()
            with suppress(OSError, ssl.SSLError):
                await one.wait_closed()
        serving.discard(asyncio.current_task())

    server = await asyncio.start_server(serve, "localhost", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(serving):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: Callable[[], float]) -> None:
    """What comes is passed on so many seconds later, in order, and not the later the more there is."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write() -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(due - loop.time())
            writer.write(data)
            await writer.drain()
            waiting.task_done()

    writing = asyncio.create_task(write())
    with suppress(OSError, ssl.SSLError):
        while data := await reader.read(65536):
            waiting.put_nowait((loop.time() + delay(), data))
        await asyncio.wait([writing, asyncio.create_task(waiting.join())], return_when=asyncio.FIRST_COMPLETED)
    writing.cancel()
    writer.close()
