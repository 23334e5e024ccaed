"""A server that speaks Gemini Live's raw JSON on loopback, fully controlled by the test."""

import asyncio
import base64
import datetime
import ipaddress
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google import genai
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from pipeline.engine import EngineConfig, EngineDisconnected, EngineEvent, ReplyCancelled
from pipeline.gemini.bridge import GeminiBridge, make_client
from pipeline.gemini.retry_policy import EngineTimeouts
from pipeline.media import INPUT_SAMPLE_RATE, SPEECH_SAMPLE_RATE, AudioChunk, EncodedFrame

WAIT = 5.0
"""Seconds until a test fails that waits in vain."""

QUICK = EngineTimeouts(close=0.2, backoff=(0.0,), quota_backoff=(0.0, 0.0), max_failures=3, max_attempts=2, planned=0.0)
"""Reconnects at once; the response timeouts are the default ones."""

VOICE = b"\x01\x02" * 240
"""10 ms of a reply."""

CONFIG = EngineConfig("gemini-3.8-live", "Kore", "en", "Be brief.", "medium")


class FakeSession:
    """One accepted connection of a client."""

    def __init__(self, socket: ServerConnection):
        self._socket = socket
        self.closed = asyncio.Event()

    async def heard(self) -> dict[str, Any]:
        """Return the next message of the client without its outermost key."""
        async with asyncio.timeout(WAIT):
            message = json.loads(await self._socket.recv())
        assert len(message) == 1
        return dict(next(iter(message.values())))

    async def heard_kinds(self, count: int) -> list[str]:
        """Return the kinds of the next messages."""
        return [next(iter(await self.heard())) for _ in range(count)]

    async def say(self, **message: object) -> None:
        await self.say_raw(json.dumps(message).encode())

    async def say_raw(self, frame: bytes | str) -> None:
        await self._socket.send(frame)

    async def content(self, **content: object) -> None:
        await self.say(serverContent=content)

    async def speak(self, pcm: bytes = VOICE) -> None:
        await self.content(**voice(pcm))

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code, reason)

    def abort(self) -> None:
        """Abort the connection without a close frame."""
        self._socket.transport.abort()

    def freeze(self) -> None:
        """Stop reading, even the client's close frame."""
        self._transport.pause_reading()

    async def thaw(self) -> None:
        """Read on to the end; raises `ConnectionClosedError` unless it was a clean close."""
        self._transport.resume_reading()
        async with asyncio.timeout(WAIT):
            async for _ in self._socket:
                pass

    @property
    def _transport(self) -> asyncio.Transport:
        assert isinstance(self._socket.transport, asyncio.Transport)
        return self._socket.transport


class FakeEngine:
    """Accepts or refuses clients; accepted sessions are handed to the test in order."""

    def __init__(self) -> None:
        self.refusals: deque[int] = deque()
        self.closes: deque[tuple[int, str]] = deque()
        self.first_words: deque[bytes] = deque()
        self.is_mute_at_setup = False
        self.setups: list[dict[str, Any]] = []
        self.tries = 0
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.port = 0
        self.on_upgrade: Callable[[], None] = lambda: None
        self._sessions = asyncio.Queue[FakeSession]()
        self._open: set[FakeSession] = set()

    async def session(self) -> FakeSession:
        async with asyncio.timeout(WAIT):
            return await self._sessions.get()

    def client(self) -> genai.Client:
        return make_client(api_key="a key", base_url=f"https://127.0.0.1:{self.port}", ssl_context=_client_context())

    def refuse(self, socket: ServerConnection, request: Request) -> Response | None:
        self.tries += 1
        self.on_upgrade()
        self.paths.append(request.path)
        self.keys.append(request.headers.get("x-goog-api-key"))
        if not self.refusals:
            return None
        return socket.respond(HTTPStatus(self.refusals.popleft()), "")

    async def serve(self, socket: ServerConnection) -> None:
        try:
            self.setups.append(json.loads(await socket.recv())["setup"])
            if self.closes:
                await socket.close(*self.closes.popleft())
                return
            if not self.is_mute_at_setup:
                words = self.first_words.popleft() if self.first_words else b'{"setupComplete": {}}'
                await socket.send(words)
                session = FakeSession(socket)
                self._open.add(session)
                self._sessions.put_nowait(session)
                await socket.wait_closed()
                session.closed.set()
            await socket.wait_closed()
        except ConnectionClosed:
            pass

    def abort_all(self) -> None:
        for session in self._open:
            session.abort()


class EventRecorder:
    """Records the events of a bridge, and lets tests wait for more."""

    def __init__(self) -> None:
        self.events: list[EngineEvent] = []
        self.react: Callable[[EngineEvent], None] = lambda event: None
        self._taken = 0
        self._wakeup = asyncio.Event()
        self._turn = 100

    def on_engine_event(self, event: EngineEvent) -> None:
        self.events.append(event)
        self._wakeup.set()
        self.react(event)

    def next_turn(self) -> int:
        self._turn += 1
        return self._turn

    async def next(self) -> EngineEvent:
        """Return the next event that a user would notice."""
        async with asyncio.timeout(WAIT):
            while True:
                while self._taken >= len(self.events):
                    self._wakeup.clear()
                    await self._wakeup.wait()
                self._taken += 1
                event = self.events[self._taken - 1]
                if not isinstance(event, EngineDisconnected | ReplyCancelled):
                    return event

    def of(self, kind: type[EngineEvent]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def fake_engine() -> AsyncIterator[FakeEngine]:
    """Serve on loopback; at the end no task may be left."""
    engine = FakeEngine()
    async with serve(
        engine.serve, "127.0.0.1", 0, ssl=_server_context(), process_request=engine.refuse, close_timeout=0.2
    ) as server:
        engine.port = next(iter(server.sockets)).getsockname()[1]
        yield engine
        engine.abort_all()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, left


@asynccontextmanager
async def bridged(
    engine: FakeEngine, *, config: EngineConfig = CONFIG, timeouts: EngineTimeouts = QUICK
) -> AsyncIterator[tuple[GeminiBridge, EventRecorder]]:
    """Run a bridge against the fake engine, and cancel it at the end."""
    recorder = EventRecorder()
    bridge = GeminiBridge(engine.client(), config, listener=recorder, timeouts=timeouts, jitter=lambda: 1.0)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(bridge.run())
        yield bridge, recorder
        running.cancel()


def voice(pcm: bytes = VOICE) -> dict[str, object]:
    """Make a piece of a reply's speech, as a field of serverContent."""
    part = {"inlineData": {"mimeType": f"audio/pcm;rate={SPEECH_SAMPLE_RATE}", "data": base64.b64encode(pcm).decode()}}
    return {"modelTurn": {"parts": [part]}}


def speech(seconds: float = 0.064, pts: float = 0.0) -> AudioChunk:
    """Make a piece of the user's speech."""
    return AudioChunk(b"\x05\x00" * round(INPUT_SAMPLE_RATE * seconds), INPUT_SAMPLE_RATE, pts)


def encoded_frame(number: int) -> EncodedFrame:
    return EncodedFrame(b"\xff\xd8" + bytes([number]), 16, 16, number, 0.0)


@cache
def _identity() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake engine")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(encoding), private


@cache
def _server_context() -> ssl.SSLContext:
    certificate, key = _identity()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "identity.pem"
        path.write_bytes(certificate + key)
        context.load_cert_chain(path)
    return context


@cache
def _client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=_identity()[0].decode())
