"""Bounds what a socket reads before its messages are taken."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mediaserver.jsonws.frame_lengths import FrameLengths
from mediaserver.jsonws.message_budget import Account

T = TypeVar("T")


class ReadGate(asyncio.Protocol):
    """Stands before aiohttp's protocol, and passes on no more than `limit` bytes of payload that are not taken.

    aiohttp collects a message of any length up to its own limit, which must allow the longest message of a session;
    the limit of its reader cannot change later. The rest waits in the kernel, but for one read of at most 256 kB
    (CPython 3.11, asyncio/selector_events.py, max_size). After `open`, as much more passes as the account may hold.
    """

    def __init__(self, transport: asyncio.Transport, *, limit: int, on_exceeded: Callable[[], None]):
        protocol = transport.get_protocol()
        assert isinstance(protocol, asyncio.Protocol)
        self._transport = transport
        self._protocol = protocol
        self._limit = self._left = limit
        self._on_exceeded = on_exceeded
        self._frames = FrameLengths()
        self._held = b""
        self._account: Account | None = None
        self._charged = 0
        self._is_awaited = False
        self._is_discarding = False
        self._is_reported = False
        self._check: asyncio.Handle | None = None
        transport.set_protocol(self)

    async def receive(self, message: Awaitable[T]) -> T:
        """Await a message; before `open`, one that is longer than the limit calls `on_exceeded` once."""
        self._is_awaited = True
        self._check_soon()
        try:
            return await message
        finally:
            self._is_awaited = False

    def take(self, payload_bytes: int) -> int:
        """Count a message as taken, so that as much can follow.

        Returns how many of its bytes the account still holds, to be given back when the message is handled.
        """
        charged = min(self._charged, payload_bytes)
        self._charged -= charged
        self._left = min(self._limit, self._left + payload_bytes - charged)
        self._pass_on()
        return charged

    def open(self, account: Account) -> None:
        """Allow longer messages, whose bytes the account holds from now on."""
        self._account = account
        self._check_soon()

    def retry(self) -> None:
        """Ask the account again for what it has refused."""
        self._check_soon()

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
        while self._held and self._left > 0:
            passed, self._held = self._held[: self._left], self._held[self._left :]
            self._left -= self._frames.payload_of(passed)
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
        self._check = asyncio.get_running_loop().call_soon(self._on_full)

    def _on_full(self) -> None:
        if not self._held or not self._is_awaited:
            return
        if self._account is not None:
            if self._account.charge(len(self._held)):
                self._charged += len(self._held)
                self._left += len(self._held)
                self._pass_on()
        elif not self._is_reported:
            self._is_reported = True
            self._on_exceeded()
