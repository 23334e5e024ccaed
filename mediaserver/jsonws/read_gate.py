"""Bounds what a socket reads before it has a session."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

MASKED_HEADER_BYTES = 14
"""Longest header of a client's frame (RFC 6455 section 5.2)."""


class ReadGate(asyncio.Protocol):
    """Stands before aiohttp's protocol, and passes on no more than `limit` bytes that the application has not taken.

    aiohttp collects a message of any length up to its own limit, which must allow the longest message of a session;
    the limit of its reader cannot change later. Until `open`, the rest waits in the kernel, but for one read of at
    most 256 kB (CPython 3.11, asyncio/selector_events.py, max_size).
    """

    def __init__(self, transport: asyncio.Transport, *, limit: int, on_exceeded: Callable[[], None]):
        protocol = transport.get_protocol()
        assert isinstance(protocol, asyncio.Protocol)
        self._transport = transport
        self._protocol = protocol
        self._limit = self._left = limit
        self._on_exceeded = on_exceeded
        self._held = b""
        self._is_awaited = False
        self._is_discarding = False
        self._is_reported = False
        self._check: asyncio.Handle | None = None
        transport.set_protocol(self)

    async def receive(self, message: Awaitable[T]) -> T:
        """Await a message; one that is longer than the limit calls `on_exceeded` once."""
        self._is_awaited = True
        self._check_soon()
        try:
            return await message
        finally:
            self._is_awaited = False

    def take(self, payload_bytes: int) -> None:
        """Count a message as taken, so that as much can follow."""
        self._left = min(self._limit, self._left + payload_bytes + _header_bytes(payload_bytes))
        self._pass_on()

    def open(self) -> None:
        """Leave the connection: everything passes."""
        if self._transport.get_protocol() is self:
            self._transport.set_protocol(self._protocol)
            self._transport.resume_reading()  # first: what is passed on may fill aiohttp's queue, which pauses again
            self._left = len(self._held)
            self._pass_on()

    def close(self) -> None:
        """Drop what is held and what follows it, so that the client can read why its socket is closed."""
        if self._held:
            self._is_discarding = True
            self._held = b""
            self._transport.resume_reading()

    # Called by the transport.

    def data_received(self, data: bytes) -> None:
        """Pass on what fits, hold the rest and read no more."""
        if not self._is_discarding:
            self._held += data
            self._pass_on()

    def eof_received(self) -> bool | None:
        """Pass on the end of the client's data."""
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        """Pass on that the client reads too slowly."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the client has caught up."""
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on the end of the connection."""
        self._held = b""
        self._protocol.connection_lost(exc)

    def _pass_on(self) -> None:
        passed, self._held = self._held[: self._left], self._held[self._left :]
        self._left -= len(passed)
        if passed:
            self._protocol.data_received(passed)
        if self._held:
            self._transport.pause_reading()
            self._check_soon()
        else:
            self._transport.resume_reading()

    def _check_soon(self) -> None:
        # Not at once, and anew whenever bytes have passed: a message that is complete must be taken first.
        if self._check is not None:
            self._check.cancel()
        self._check = asyncio.get_running_loop().call_soon(self._report_if_full)

    def _report_if_full(self) -> None:
        if self._held and self._is_awaited and not self._is_reported:
            self._is_reported = True
            self._on_exceeded()


def _header_bytes(payload_bytes: int) -> int:
    """Length of the masked header of a frame (RFC 6455 section 5.2)."""
    return 6 if payload_bytes < 126 else 8 if payload_bytes < 1 << 16 else MASKED_HEADER_BYTES
