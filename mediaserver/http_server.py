"""The TCP side of the HTTP server: bounds on connections, deadlines for requests, no decompression of bodies."""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from loguru import logger

from mediaserver.caller import network_of

MAX_REQUEST_LINE = 1 << 16
"""Bytes: tokens and offers travel in queries."""
SERVER_NAME = "Mediaserver"
"""The header `Server`: without versions, which would tell what to attack."""
BACKLOG = 128
_TLS_HANDSHAKE_DEADLINE = 10.0
MAX_DESCRIPTORS = 16_384
"""Soft limit of open files that is wanted: a connection takes one, a WebRTC session some five."""
_LOG_INTERVAL = 1.0
"""Seconds between two log lines on refused connections or failed accepts."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds on open TCP connections, and deadlines (s) for their requests."""

    total: int = 4_096
    per_address: int = 512
    """An IPv6 address counts with its /64 network."""
    first_request: float = 10.0
    """From the connection, or from the end of its TLS handshake, to the last header of its first request."""
    keepalive: float = 75.0
    """From an answer to the last header of the next request."""


class _ConnectionCounter:
    """Counts open connections, in all and per network."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._networks: Counter[str] = Counter()
        self._total = 0
        self._refused = 0
        self._logged = float("-inf")

    def admit(self, network: str, now: float) -> bool:
        """Count a connection, unless the server or its network has enough; refusals are logged once a second."""
        if self._total < self.limits.total and self._networks[network] < self.limits.per_address:
            self._total += 1
            self._networks[network] += 1
            return True
        self._refused += 1
        if now - self._logged >= _LOG_INTERVAL:
            self._logged = now
            logger.warning("connections refused", count=self._refused, address=network, open=self._total)
            self._refused = 0
        return False

    def release(self, network: str) -> None:
        """Uncount a connection that was admitted."""
        self._total -= 1
        self._networks[network] -= 1
        if not self._networks[network]:
            del self._networks[network]


class _Handler(RequestHandler):
    """Closes its connection when the first request does not come in time."""

    __slots__ = ("_counter", "_deadline", "_network")

    def __init__(self, counter: _ConnectionCounter, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._counter = counter
        self._network: str | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")  # "" for a Unix socket
        network = network_of(peer[0] if peer else "")
        if not self._counter.admit(network, self._loop.time()):
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
            self._manager = None  # so that connection_lost has nothing to take back
            return
        self._network = network
        super().connection_made(transport)
        self._deadline = self._loop.call_later(self._counter.limits.first_request, self._close_if_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._network is not None:
            self._counter.release(self._network)
            self._network = None
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what is not HTTP, and log one line; a failure of the server itself is logged with its traceback."""
        if status >= 500:
            response = super().handle_error(request, status, exc, message)
        else:
            # aiohttp would log a traceback, and repeat the request, with any token in it, in the log and the answer.
            logger.info("malformed request", address=request.remote or "unknown", reason=type(exc).__name__)
            response = web.Response(status=status, text="This is not a well-formed HTTP request.\n")
            response.force_close()
        response.headers["Server"] = SERVER_NAME
        return response

    def _close_if_silent(self) -> None:
        if not self._request_count:
            self.force_close()


class _Server(web.Server):
    """Makes a bounded handler for each connection."""

    counter: _ConnectionCounter

    def __call__(self) -> RequestHandler:
        return _Handler(self.counter, self, loop=self._loop, **self._kwargs)


class BoundedRunner(web.AppRunner):
    """Runs an app on connections that are counted, must send their first request in time, and are never inflated."""

    __slots__ = ("_limits",)

    def __init__(self, app: web.Application, limits: ConnectionLimits | None = None, **options: Any) -> None:
        self._limits = limits or ConnectionLimits()
        super().__init__(
            app,
            access_log=None,  # the middleware logs requests
            keepalive_timeout=self._limits.keepalive,
            max_line_size=MAX_REQUEST_LINE,
            auto_decompress=False,
            **options,
        )

    async def _make_server(self) -> web.Server:
        # aiohttp 3.14, web_app.py, Application._make_handler: the class of the server is fixed there.
        plain = await super()._make_server()
        server = _Server(
            plain.request_handler, request_factory=plain.request_factory, loop=plain._loop, **plain._kwargs
        )
        server.counter = _ConnectionCounter(self._limits)
        return server


class ListenError(Exception):
    """Another process has begun to listen on the address in the meantime."""

    def __init__(self, reason: OSError):
        super().__init__(str(reason))
        self.reason = reason


class Listener:
    """An address that is taken before the server is made, and answers once a site serves on it."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._make_handler: Callable[[], asyncio.Protocol] | None = None

    @classmethod
    async def bind(cls, host: str, port: int, ssl_context: SSLContext | None) -> "Listener":
        """Take the address. Raises `OSError` when it is taken already or not this machine's."""
        listener = cls()
        listener._server = await asyncio.get_running_loop().create_server(
            listener._handler,
            host,
            port,
            ssl=ssl_context,
            backlog=BACKLOG,
            ssl_handshake_timeout=_TLS_HANDSHAKE_DEADLINE if ssl_context else None,
            start_serving=False,
        )
        return listener

    @property
    def port(self) -> int:
        """The port, also where 0 was asked for."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def serve(self, runner: BoundedRunner) -> None:
        """Answer with a runner that has been set up. Raises `ListenError`."""
        assert self._server is not None
        self._make_handler = runner.server
        try:
            await self._server.start_serving()
        except OSError as error:
            raise ListenError(error) from error

    def close(self) -> None:
        """Take no more connections; those that are open go on."""
        assert self._server is not None
        self._server.close()

    def _handler(self) -> asyncio.Protocol:
        assert self._make_handler is not None
        return self._make_handler()


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to 16,384 or the hard limit, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(MAX_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


class AcceptFailures:
    """Logs failed accepts once a second; asyncio calls its exception handler up to 128 times for each of them."""

    def __init__(self) -> None:
        self._count = 0
        self._logged = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle what asyncio reports; anything else goes to its default handler."""
        # CPython 3.11, asyncio/selector_events.py, _accept_connection.
        if context.get("message") != "socket.accept() out of system resource":
            loop.default_exception_handler(context)
            return
        self._count += 1
        now = loop.time()
        if now - self._logged >= _LOG_INTERVAL:
            self._logged = now
            logger.error("connections cannot be accepted", reason=str(context.get("exception")), count=self._count)
            self._count = 0
