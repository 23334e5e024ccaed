"""Attacks over HTTP, before any session."""

import asyncio
import gzip
from urllib.parse import urlsplit

from tests.acceptance.abuse.target import ADDRESS, Target


async def compressed_bodies(target: Target) -> None:
    """Post bodies that inflate a thousandfold, to addresses that exist and that do not."""
    body = gzip.compress(bytes(1 << 30), 1)[: 1 << 20]
    async with target.client() as http:

        async def post() -> None:
            for path in ("/", "/api/v1/users/login", "/nowhere", "/whip"):
                headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
                async with http.post(path, data=body, headers=headers) as answer:
                    target.counts[str(answer.status)] += 1

        await target.repeat(post, 4)


async def silent_connections(target: Target) -> None:
    """Open two thousand connections that send nothing, or half a request, and open them again when they are closed."""
    address = urlsplit(target.server)

    async def hold() -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port, local_addr=(ADDRESS, 0))
        target.counts["opened"] += 1
        try:
            if target.counts["opened"] % 2:
                writer.write(b"GET / HTTP/1.1\r\nHost: loc")
            async with asyncio.timeout(target.left):
                await reader.read()
            await asyncio.sleep(0.5)
        finally:
            writer.close()

    await target.repeat(hold, 2_000)


async def malformed_requests(target: Target) -> None:
    """Send what is no HTTP, and long paths with control characters."""
    address = urlsplit(target.server)
    lines = (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET /" + b"%0a%1b[31m" * 3_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"A\r\n\r\n",
    )

    async def send() -> None:
        for line in lines:
            reader, writer = await asyncio.open_connection(address.hostname, address.port, local_addr=(ADDRESS, 0))
            try:
                writer.write(line + b"\r\n\r\n")
                writer.write_eof()
                async with asyncio.timeout(5):
                    await reader.read()
                target.counts["sent"] += 1
            finally:
                writer.close()

    await target.repeat(send)


async def wrong_passwords(target: Target) -> None:
    """Try passwords of one account."""
    async with target.client() as http:

        async def login() -> None:
            body = {"email": "ada@example.com", "username": "ada", "password": "not the password"}
            async with http.post("/api/v1/users/login", json=body) as answer:
                target.counts[str(answer.status)] += 1

        await target.repeat(login)


async def health_checks(target: Target) -> None:
    """Ask for the health all the time."""
    async with target.client() as http:

        async def ask() -> None:
            async with http.get("/health") as answer:
                target.counts[str(answer.status)] += 1

        await target.repeat(ask)
