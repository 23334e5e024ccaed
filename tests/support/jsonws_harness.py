"""A server with the JSON WebSocket on fake conversations, and clients for it."""

import asyncio
import json
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientWebSocketResponse, WSMsgType, web
from aiohttp.test_utils import TestClient

from mediaserver.auth.users import AuthError, User
from mediaserver.caller import Caller
from mediaserver.jsonws.connection import SocketLimits
from mediaserver.jsonws.routes import JsonSocket
from mediaserver.session_factory import SessionOptions
from pipeline.config import ConversationConfig, TurnSettings
from pipeline.peer import Peer
from tests.support import fake_conversation

Message = dict[str, Any]


def conversation_config(session: str, label: str, *, silence: float = 0.3) -> ConversationConfig:
    return ConversationConfig(
        id=session,
        label=label,
        engine="local",
        model="local",
        requested_model=None,
        language="en",
        idle_seconds=600,
        max_seconds=3600,
        turns=TurnSettings(silence=silence),
    )


class FakeConversation(fake_conversation.FakeConversation):
    """A conversation that counts the audio it was given."""

    @property
    def peer(self) -> Peer:
        return next(iter(self.peers))

    @property
    def seconds(self) -> float:
        return sum(chunk.duration for chunk in self.heard)

    @property
    def pcm(self) -> bytes:
        return b"".join(chunk.pcm for chunk in self.heard)


class FakeSessionFactory:
    """Finds a live conversation by its label, or raises `refusal` where one is set."""

    def __init__(self) -> None:
        self.conversations: dict[tuple[str, str], FakeConversation] = {}
        self.options: list[SessionOptions] = []
        self.callers: list[Caller] = []
        self.refusal: Exception | None = None

    async def get_or_create(self, caller: Caller, options: SessionOptions) -> FakeConversation:
        if self.refusal is not None:
            raise self.refusal
        self.options.append(options)
        self.callers.append(caller)
        session = f"id-{len(self.conversations)}"
        label = options.label or session
        return self.conversations.setdefault(
            (caller.user, label), FakeConversation(conversation_config(session, label))
        )

    @property
    def conversation(self) -> FakeConversation:
        return next(iter(self.conversations.values()))


class FakeVerifier:
    """Verifies tokens that are a user's id; the name is the same in capitals. `revoked` are ids."""

    def __init__(self) -> None:
        self.revoked: set[str] = set()

    def verify(self, token: str) -> User:
        if token in ("forged", ""):
            raise AuthError("The token is not valid.")
        return User(token, token.upper(), is_guest=token.startswith("guest"))

    def check(self, user: User) -> None:
        if user.id in self.revoked:
            raise AuthError("The token was revoked.")


@dataclass
class Client:
    """One open socket."""

    ws: ClientWebSocketResponse
    seen: list[Message] = field(default_factory=list)

    async def send(self, action: str, **fields: object) -> None:
        await self.ws.send_str(json.dumps({"action": action, **fields}))

    async def start(self, **fields: object) -> Message:
        await self.send("start_session", **fields)
        return await self.until("session_started")

    async def say(self, data: bytes, audio_format: str = "wav", **fields: object) -> None:
        await self.send("audio_input", data=b64encode(data).decode(), format=audio_format, **fields)

    async def show(self, data: bytes, picture: str = "png", **fields: object) -> None:
        await self.send("screen_share_frame", data=b64encode(data).decode(), format=picture, **fields)

    async def next(self, within: float = 20) -> Message:
        message: Message = json.loads(await self.ws.receive_str(timeout=within))
        self.seen.append(message)
        return message

    async def until(self, action: str, **fields: object) -> Message:
        while True:
            message = await self.next()
            if message["action"] == action and fields.items() <= message.items():
                return message

    async def code(self) -> str:
        return str((await self.until("error"))["code"])

    async def closed(self) -> int | None:
        """Read to the end, and return the close code."""
        async with asyncio.timeout(20):
            while (message := await self.ws.receive()).type is WSMsgType.TEXT:
                self.seen.append(json.loads(message.data))
        return self.ws.close_code

    def voice(self, turn: int | None = None) -> list[Message]:
        return [m for m in self.seen if m["action"] == "audio_output" and turn in (None, m["turn"])]


def pcm_of(messages: list[Message]) -> bytes:
    """Join the samples of messages of bare PCM, or of WAV files with a header of 44 bytes."""
    return b"".join(b64decode(m["data"])[44 if m["format"] == "wav" else 0 :] for m in messages)


@dataclass
class Server:
    """The JSON WebSocket, its fake surroundings, and its clients."""

    client: "TestClient[web.Request, web.Application]"
    socket: JsonSocket
    session_factory: FakeSessionFactory
    limiter: fake_conversation.Counter
    verifier: FakeVerifier = field(default_factory=FakeVerifier)
    opened: list[Client] = field(default_factory=list)

    async def connect(self, user: str = "ann", query: str = "", **headers: str) -> Client:
        if user:
            headers["Authorization"] = f"Bearer {user}"
        # Larger than what a server sends, and no answer to a close that the test has not read.
        client = Client(await self.client.ws_connect(f"/ws/livekit{query}", headers=headers, max_msg_size=0))
        self.opened.append(client)
        return client

    async def started(self, label: str = "desk", **fields: object) -> Client:
        client = await self.connect()
        await client.start(userId="ann", sessionId=label, **fields)
        return client

    async def close(self) -> None:
        for client in self.opened:
            with suppress(ConnectionError):
                await client.ws.close()


QUICK = SocketLimits(start=5.0, send=5.0, ping_interval=1.0, silence=5.0, flush=0.5)
