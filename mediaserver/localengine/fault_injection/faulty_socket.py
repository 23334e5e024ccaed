"""Connections on which injected faults happen."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, ClassVar, assert_never
from weakref import WeakSet

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from mediaserver.localengine.fault_injection.spec import HEADER, Close, FaultAction, Faults, InjectedFault, Status
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
    """A server connection, listed from its TCP accept on, that can stop answering pings."""

    answers_pings = True
    alive: ClassVar[WeakSet["EngineConnection"]] = WeakSet()
    """The open connections of all engines, even before their upgrade."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """List the connection; abort it if the engine has stopped."""
        super().connection_made(transport)
        self.alive.add(self)
        if not self.server.is_serving():
            self.transport.abort()  # its TLS handshake was still running when the other connections were closed

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the list."""
        self.alive.discard(self)
        super().connection_lost(exc)

    def send_data(self) -> None:
        """Write the queued frames, without pongs if `answers_pings` is off."""
        if not self.answers_pings:
            self.protocol.writes = [frame for frame in self.protocol.writes if not frame.startswith(_PONG)]
        super().send_data()


class FaultySocket:
    """A session's connection, on which scheduled faults happen."""

    def __init__(self, socket: ServerConnection, faults: Faults):
        assert socket.request is not None
        self._socket = socket
        self._faults = faults
        self._header = order_of(socket.request)
        self._is_stalled = False

    async def send(self, message: bytes, /) -> None:
        """Send one binary frame; drop it once the connection stalls."""
        if not self._is_stalled:
            await self._socket.send(message)

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return aiter(self._socket)

    async def reached(self, point: FaultPoint) -> None:
        """Apply the faults due at this point; raises `WireError` for a close."""
        for fault in self._faults.due(point, self._header):
            await self._apply(fault)

    async def _apply(self, fault: InjectedFault) -> None:
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
    """Return the response to an upgrade with a fault; None without one, or after the client left."""
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
    """Return the faults that the client's headers request, "" if none."""
    return ";".join(request.headers.get_all(HEADER))


def _huge() -> bytes:
    # A thought, which clients skip.
    message = {"serverContent": {"modelTurn": {"parts": [{"text": "", "thought": True}]}}}
    text = "x" * (HUGE - len(json.dumps(message)))
    message["serverContent"]["modelTurn"]["parts"][0]["text"] = text
    return json.dumps(message).encode()
