"""A connection that breaks where it is told to."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, ClassVar, assert_never
from weakref import WeakSet

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from mediaserver.localengine.fault_injection.spec import HEADER, Close, Fault, FaultAction, Faults, Status
from mediaserver.localengine.fault_points import FaultPoint
from mediaserver.localengine.protocol.codec import WireError

HUGE = 2 << 20
"""Bytes of the message that is too long for a client with websockets' default limit."""

_MESSAGES: dict[FaultAction, Any] = {
    FaultAction.UNKNOWN: {"neverHeardOf": {"that": True}},
    FaultAction.INTERRUPTED: {"serverContent": {"interrupted": True}},
    FaultAction.TURN_COMPLETE: {"serverContent": {"turnComplete": True}},
}
_PONG = b"\x8a"  # RFC 6455 section 5.2: FIN and the opcode of a pong


class EngineConnection(ServerConnection):
    """A connection that is known from its first byte on, and can be told to answer no more pings."""

    answers_pings = True
    alive: ClassVar[WeakSet["EngineConnection"]] = WeakSet()
    """Those of all engines, also before their upgrade is complete."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self.alive.add(self)
        if not self.server.is_serving():
            self.transport.abort()  # its TLS handshake was not over yet when the others were told to go

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.alive.discard(self)
        super().connection_lost(exc)

    def send_data(self) -> None:
        """Send what is to be sent, pongs only if they are wanted."""
        if not self.answers_pings:
            self.protocol.writes = [frame for frame in self.protocol.writes if not frame.startswith(_PONG)]
        super().send_data()


class FaultySocket:
    """A session's connection, on which what was ordered happens."""

    def __init__(self, socket: ServerConnection, faults: Faults):
        assert socket.request is not None
        self._socket = socket
        self._faults = faults
        self._header = order_of(socket.request)
        self._is_stalled = False

    async def send(self, message: bytes, /) -> None:
        """Send one binary frame, or nothing once it has stalled."""
        if not self._is_stalled:
            await self._socket.send(message)

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return aiter(self._socket)

    async def reached(self, point: FaultPoint) -> None:
        """Let happen what was ordered for this point; raises `WireError` if that is a close."""
        for fault in self._faults.due(point, self._header):
            await self._apply(fault)

    async def _apply(self, fault: Fault) -> None:
        match fault.act:
            case Close(code, reason):
                raise WireError(code, reason)
            case FaultAction.ABORT:
                self._socket.transport.abort()
            case FaultAction.STALL:
                self._is_stalled = True
            case FaultAction.NO_PONG:
                assert isinstance(self._socket, EngineConnection)
                self._socket.answers_pings = False
            case FaultAction.GARBAGE:
                await self.send(b"}this is not JSON{")
            case FaultAction.HUGE:
                await self.send(_huge())
            case FaultAction.UNKNOWN | FaultAction.INTERRUPTED | FaultAction.TURN_COMPLETE:
                await self.send(json.dumps(_MESSAGES[fault.act]).encode())
            case Status():
                raise AssertionError("a status is for the upgrade")
            case _:
                assert_never(fault.act)


async def refused(socket: ServerConnection, request: Request, faults: Faults) -> Response | None:
    """The answer to an upgrade that breaks; None if nothing was ordered for it, or nobody waits any more."""
    for fault in faults.due(FaultPoint.UPGRADE, order_of(request)):
        match fault.act:
            case Status(code):
                return socket.respond(code, "An injected fault.\n")
            case FaultAction.STALL:
                await socket.wait_closed()
            case _:
                socket.transport.abort()
                await socket.wait_closed()
    return None


def order_of(request: Request) -> str:
    """What the client's headers order, "" if nothing."""
    return ";".join(request.headers.get_all(HEADER))


def _huge() -> bytes:
    # A thought, which clients skip.
    message = {"serverContent": {"modelTurn": {"parts": [{"text": "", "thought": True}]}}}
    text = "x" * (HUGE - len(json.dumps(message)))
    message["serverContent"]["modelTurn"]["parts"][0]["text"] = text
    return json.dumps(message).encode()
