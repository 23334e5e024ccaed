"""The local engine's clients in its tests: google-genai's own, and a bare socket for what that cannot say."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from google import genai
from google.genai import types
from google.genai.live import AsyncSession
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from mediaserver.localengine.server import LocalEngine

PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
MANUAL = types.RealtimeInputConfig(automatic_activity_detection=types.AutomaticActivityDetection(disabled=True))
SECOND = bytes(32_000)


@asynccontextmanager
async def open_session(
    engine: LocalEngine, *, key: str = "any", headers: dict[str, str] | None = None, **config: object
) -> AsyncIterator[AsyncSession]:
    """A session of the official SDK, which marks its own utterances and wants every transcript."""
    options = {
        "base_url": engine.base_url,
        "api_version": "v1beta",
        "headers": headers,
        "async_client_args": {"ssl": engine.client_ssl, "proxy": None},
    }
    client = genai.Client(api_key=key, http_options=options)  # type: ignore[arg-type]
    wanted = {
        "response_modalities": ["AUDIO"],
        "realtime_input_config": MANUAL,
        "input_audio_transcription": {},
        "output_audio_transcription": {},
        "model": "local",
        **config,
    }
    model = wanted.pop("model")
    async with client.aio.live.connect(model=model, config=wanted) as session:  # type: ignore[arg-type]
        yield session


def kinds(message: types.LiveServerMessage) -> list[str]:
    """What one message says, in short."""
    content = message.server_content or types.LiveServerContent()
    said = ["call"] if message.tool_call else []
    said += ["cancelled"] if message.tool_call_cancellation else []
    said += ["go away"] if message.go_away else []
    if (update := message.session_resumption_update) is not None:
        said.append("resumable" if update.resumable else "not resumable")
    said += [f"in:{content.input_transcription.text}"] if content.input_transcription else []
    said += [f"out:{content.output_transcription.text}"] if content.output_transcription else []
    said += ["audio"] if content.model_turn else []
    said += [name for name in ("interrupted", "generation_complete", "turn_complete") if getattr(content, name)]
    return said


async def turn(session: AsyncSession) -> list[str]:
    """Everything up to the end of the turn."""
    return [said async for message in session.receive() for said in kinds(message)]


async def until(session: AsyncSession, kind: str) -> types.LiveServerMessage:
    """The next message that says this."""
    while True:
        async for message in session.receive():
            if kind in kinds(message):
                return message


async def said_by(session: AsyncSession) -> str:
    """The words of one turn."""
    return "".join(said.removeprefix("out:") for said in await turn(session) if said.startswith("out:"))


async def speak(session: AsyncSession, pcm: bytes = SECOND) -> None:
    """One utterance between the client's own signals."""
    await session.send_realtime_input(activity_start=types.ActivityStart())
    await session.send_realtime_input(audio=types.Blob(data=pcm, mime_type="audio/pcm;rate=16000"))
    await session.send_realtime_input(activity_end=types.ActivityEnd())


def dial(engine: LocalEngine, *, path: str = PATH, headers: dict[str, str] | None = None, **options: Any) -> connect:
    """A bare socket."""
    url = engine.base_url.replace("https", "wss") + path
    sent = {"x-goog-api-key": "any", **(headers or {})}
    return connect(
        url, ssl=engine.client_ssl, additional_headers=sent, proxy=None, compression=None, max_size=None, **options
    )


def setup(model: str = "models/local", **fields: object) -> str:
    """The first message of a bare socket, which marks its own utterances."""
    manual = {"automaticActivityDetection": {"disabled": True}}
    return json.dumps({"setup": {"model": model, "realtimeInputConfig": manual, **fields}})


async def reply(peer: ClientConnection) -> dict[str, Any]:
    """The next message on a bare socket."""
    message: dict[str, Any] = json.loads(await peer.recv())
    return message


async def closing(peer: ClientConnection) -> tuple[int, str]:
    """The code and the reason of the close, whatever is said before."""
    with suppress(ConnectionClosed):
        while True:
            await peer.recv()
    assert peer.close_code is not None
    return peer.close_code, peer.close_reason or ""
