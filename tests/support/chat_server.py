"""An OpenAI-compatible chat endpoint on loopback, which answers from a script."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass(frozen=True, slots=True)
class Delta:
    """One piece of an answer: text, or a part of a function call."""

    text: str | None = None
    call: tuple[int, str, str, str] | None = None
    """Index, id, name and arguments; parts after the first have neither id nor name."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Sends nothing for so long (s)."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes of the body, as they are."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """A response that is an error."""

    status: int
    message: str
    headers: tuple[tuple[str, str], ...] = ()


class CutOff:
    """Closes the connection in the middle of the answer."""


Step = Delta | Wait | Raw | CutOff
Script = Sequence[Step] | Refusal


def said(*texts: str) -> list[Step]:
    """An answer in these pieces."""
    return [Delta(text) for text in texts]


def called(name: str, arguments: dict[str, object], *, call_id: str = "c1", index: int = 0) -> list[Step]:
    """A function call whose arguments come in two parts."""
    text = json.dumps(arguments)
    return [Delta(call=(index, call_id, name, text[:4])), Delta(call=(index, "", "", text[4:]))]


@dataclass
class ChatServer:
    """The scripts that answer the next requests, in order; the last one repeats."""

    url: str = ""
    scripts: deque[Script] = field(default_factory=deque)
    requests: list[dict[str, Any]] = field(default_factory=list)
    """The bodies that were received."""
    headers: list[dict[str, str]] = field(default_factory=list)
    has_left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client has left before its answer was complete."""
    models: tuple[str, ...] = ("scripted",)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Answer POST /v1/chat/completions."""
        self.requests.append(await request.json())
        self.headers.append(dict(request.headers))
        script = self.scripts.popleft() if len(self.scripts) > 1 else self.scripts[0]
        if isinstance(script, Refusal):
            body = {"error": {"message": script.message, "type": "scripted"}}
            return web.json_response(body, status=script.status, headers=dict(script.headers))
        try:
            return await self._stream(request, script)
        except (asyncio.CancelledError, ConnectionError):
            self.has_left.set()
            raise

    async def _stream(self, request: web.Request, script: Sequence[Step]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(_chunk({"role": "assistant", "content": ""}))
        has_calls = False
        for step in script:
            match step:
                case Delta(text, None):
                    await response.write(_chunk({"content": text}))
                case Delta(_, call):
                    has_calls = True
                    await response.write(_chunk({"tool_calls": [_call(*call)]} if call else {}))
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case Raw(body):
                    await response.write(body)
                case CutOff():
                    assert request.transport is not None
                    request.transport.abort()
                    return response
        await response.write(_chunk({}, "tool_calls" if has_calls else "stop"))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def list_models(self, _: web.Request) -> web.Response:
        """Answer GET /v1/models."""
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in self.models]
        return web.json_response({"object": "list", "data": data})

    async def is_left_within(self, seconds: float) -> bool:
        """Whether a client leaves an answer so soon; counted in short sleeps, which a busy machine stretches."""
        for _ in range(round(seconds / 0.01)):
            await asyncio.sleep(0.01)
            if self.has_left.is_set():
                break
        return self.has_left.is_set()

    def last_message(self) -> Any:
        """The content of the newest request's last message."""
        return self.requests[-1]["messages"][-1]["content"]


@asynccontextmanager
async def chat_server(*scripts: Script) -> AsyncIterator[ChatServer]:
    """Run one with these answers."""
    server = ChatServer(scripts=deque(scripts))
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.complete)
    app.router.add_get("/v1/models", server.list_models)
    listening = TestServer(app)
    await listening.start_server()
    server.url = str(listening.make_url("/v1"))
    try:
        yield server
    finally:
        await listening.close()


def _chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }
    return f"data: {json.dumps(body)}\n\n".encode()


def _call(index: int, call_id: str, name: str, arguments: str) -> dict[str, Any]:
    if not name:
        return {"index": index, "function": {"arguments": arguments}}
    return {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
