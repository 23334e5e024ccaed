"""The bridge to Gemini Live, or to the embedded engine that speaks its protocol: one that re-makes itself."""

import asyncio
import ipaddress
import logging
import random
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from google import genai
from google.genai import types
from google.genai.live import AsyncSession

from pipeline.engine import (
    EngineConfig,
    EngineEvent,
    EngineLost,
    EngineReady,
    Function,
    ReplyAudio,
    ReplyEnded,
    ReplyGenerated,
    ReplyText,
    ToolCall,
    ToolCallCancelled,
    UserText,
)
from pipeline.engine_errors import CONNECT_FAILURES, engine_error, fault, is_expiry
from pipeline.errors import EngineError, FaultCode, Severity
from pipeline.live import LiveSession
from pipeline.media import AudioChunk, StillFrame
from pipeline.profiles import LOCAL, profile_of, resolve_model, setup_of
from pipeline.setbacks import Patience, Setbacks
from pipeline.uplink import Question, Utterance, Waiting

__all__ = [
    "LOCAL",
    "EngineConfig",
    "EngineEvent",
    "EngineLost",
    "EngineReady",
    "Function",
    "GeminiBridge",
    "Patience",
    "ReplyAudio",
    "ReplyEnded",
    "ReplyGenerated",
    "ReplyText",
    "ToolCall",
    "ToolCallCancelled",
    "UserText",
    "make_client",
    "profile_of",
    "resolve_model",
]

_MAX_MESSAGE = 16 << 20  # bytes


def make_client(
    *, api_key: str, base_url: str | None = None, ssl_context: ssl.SSLContext | None = None
) -> genai.Client:
    """The one SDK client of a server, warmed up; takes some 100 ms and may block the loop that long."""
    args: dict[str, Any] = {
        "compression": None,  # deflating a JPEG takes 2 ms for nothing
        "max_size": _MAX_MESSAGE,
        # Google's pongs were seen to take 30 s; whether the engine lives, the bridge watches by what it says.
        "ping_interval": None,
        "close_timeout": Patience().close,
    }
    if ssl_context is not None:
        args["ssl"] = ssl_context
    if base_url is not None and _is_loopback(base_url):
        args["proxy"] = None  # or an https_proxy in the environment takes even this connection
    # At DEBUG, websockets writes every header that it sends, the key included.
    logging.getLogger("websockets.client").setLevel(logging.WARNING)
    # SDK 3 made v1 its default; Live is documented for v1beta.
    options = types.HttpOptions(base_url=base_url, api_version="v1beta", async_client_args=args)
    _warm_up()
    return genai.Client(api_key=api_key, vertexai=False, http_options=options)


class GeminiBridge:
    """Speaks to the engine for one conversation, and makes a fresh session whenever one is lost.

    `tell` is called with everything the engine says, in order, and must return at once; `next_turn` gives numbers to
    remarks that nobody asked for. All methods but `run` return at once and never raise; while there is no session,
    typed questions and the newest utterance wait for the next one, and everything else is dropped.
    """

    def __init__(
        self,
        client: genai.Client,
        config: EngineConfig,
        *,
        tell: Callable[[EngineEvent], None],
        next_turn: Callable[[], int],
        patience: Patience | None = None,
        jitter: Callable[[], float] = random.random,
    ):
        self._client = client
        self._config = config
        self._profile = profile_of(config.model)
        self._is_local = config.model == LOCAL
        self._tell = tell
        self._next_turn = next_turn
        self._patience = patience or Patience()
        self._jitter = jitter
        self._live: LiveSession | None = None
        self._ready_at: float | None = None
        self._is_loss_told = False
        self._waiting = Waiting()
        self._dropped_seconds = 0.0

    async def run(self) -> None:
        """Serve until cancelled; raises an `EngineError` with a fatal code when it cannot go on."""
        clock = asyncio.get_running_loop().time
        setbacks = Setbacks(self._patience, self._jitter, began=clock())
        while True:
            self._ready_at = None
            cause: EngineError | None = None
            try:
                async with self._connected() as session:
                    await self._serve(session)
            except EngineError as error:
                self._report(error)
                if error.severity is Severity.FATAL:
                    raise
                cause = error
            now = clock()
            lasted = 0.0 if self._ready_at is None else now - self._ready_at
            delay = setbacks.delay(now, lasted=lasted, is_planned=cause is None)
            if delay is None:
                raise fault(FaultCode.ENGINE_FAILED, **_cause(cause)) from cause
            await asyncio.sleep(delay)

    @property
    def is_ready(self) -> bool:
        """Whether a session is open, so that frames arrive."""
        return self._live is not None

    @property
    def dropped_seconds(self) -> float:
        """Audio (s) that gave way because the socket was stuck."""
        return self._dropped_seconds + (self._live.dropped_seconds if self._live else 0.0)

    def start_utterance(self, turn: int) -> None:
        """The user begins to speak turn `turn`; whatever is being said or made ends here."""
        if self._live is not None:
            self._live.start_utterance(turn)
        else:
            self._waiting.start(turn)

    def hear(self, chunk: AudioChunk) -> None:
        """Take 16 kHz audio of the utterance; outside of one it is dropped."""
        if self._live is not None:
            self._live.hear(chunk)
        else:
            self._waiting.hear(chunk)

    def show(self, frame: StillFrame) -> None:
        """Take what the screen shows now."""
        if self._live is not None:
            self._live.show(frame)

    def hide(self) -> None:
        """The screen is no longer shared."""
        if self._live is not None:
            self._live.hide()

    def mention(self, text: str) -> None:
        """Let the engine know something before the next question, where the model takes such notes."""
        if self._live is not None:
            self._live.mention(text)

    def end_utterance(self) -> None:
        """The utterance is complete and wants an answer."""
        if self._live is not None:
            self._live.end_utterance()
        else:
            self._waiting.end()

    def cancel_utterance(self) -> None:
        """The utterance wants no answer after all. The protocol cannot take it back: its reply is dropped."""
        if self._live is not None and self._live.is_listening:
            self._live.end_utterance()
            self._live.stop_reply()
        elif self._live is None:
            self._waiting.cancel()

    def ask(self, turn: int, text: str) -> None:
        """Ask in writing; whatever is being said or made ends here."""
        if self._live is not None:
            self._live.ask(turn, text)
        else:
            self._waiting.ask(turn, text)

    def stop_reply(self) -> None:
        """Let nothing more of the reply through that is being said or made."""
        if self._live is not None:
            self._live.stop_reply()

    def answer(self, call: ToolCall, result: Mapping[str, object]) -> None:
        """Give the result of a function call; too late or twice is ignored."""
        if self._live is not None:
            self._live.answer(call, result)

    async def _serve(self, session: AsyncSession) -> None:
        if session.setup_complete is None:
            raise fault(FaultCode.ENGINE_PROTOCOL)
        live = LiveSession(
            session,
            self._profile,
            is_local=self._is_local,
            patience=self._patience,
            tell=self._tell,
            next_turn=self._next_turn,
        )
        self._live = live
        self._ready_at = asyncio.get_running_loop().time()
        self._is_loss_told = False
        try:
            self._tell(EngineReady(self._config.model))
            self._repeat_waiting()
            await live.run()
            error = None
        except EngineError as lost:
            error = lost
        finally:
            self._live = None
            live.close()
            self._dropped_seconds += live.dropped_seconds
        if live.is_idle and (error is None or live.is_leaving or is_expiry(error.__cause__)):
            return  # the engine's sessions have an end; nobody notices
        error = error or fault(FaultCode.ENGINE_NETWORK)
        # Before the socket is closed: that can take seconds, and silence cannot wait.
        self._report(error)
        raise error

    def _repeat_waiting(self) -> None:
        for act in self._waiting.take():
            match act:
                case Question(turn, text):
                    self.ask(turn, text)
                case Utterance(turn, chunks, is_open):
                    self.start_utterance(turn)
                    for chunk in chunks:
                        self.hear(chunk)
                    if not is_open:
                        self.end_utterance()

    def _report(self, error: EngineError) -> None:
        if error.severity is not Severity.FATAL and not self._is_loss_told:
            self._is_loss_told = True
            self._tell(EngineLost(error))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncSession]:
        opening = self._client.aio.live.connect(model=self._config.model, config=setup_of(self._config))
        try:
            # The SDK waits for setupComplete without an end of its own.
            async with asyncio.timeout(self._patience.connect):
                session = await opening.__aenter__()
        except CONNECT_FAILURES as error:
            raise engine_error(error, is_ready=False, is_local=self._is_local) from error
        try:
            yield session
        finally:
            try:
                async with asyncio.timeout(self._patience.close):
                    await opening.__aexit__(None, None, None)
            except TimeoutError:
                pass
            finally:
                # websockets waits without an end to write its close frame to a socket that is stuck
                # (asyncio/connection.py, `send_context`), and the SDK has no way to abort.
                session._ws.transport.abort()


def _cause(error: EngineError | None) -> dict[str, object]:
    return {"cause": error.code.value} if error else {}


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _warm_up() -> None:
    # The SDK builds its models when they are first used: 10 ms on the loop of whoever speaks first.
    config = setup_of(EngineConfig(LOCAL, "Kore", "en", "", "medium"))
    types.LiveConnectParameters(model=LOCAL, config=config).model_dump(exclude_none=True)
    blob = types.Blob(data=b"\0\0", mime_type="audio/pcm;rate=16000")
    types.LiveSendRealtimeInputParameters(audio=blob)
    types.LiveSendRealtimeInputParameters(activity_start=types.ActivityStart())
    types.LiveClientContent(turn_complete=False)
    types.LiveClientToolResponse(function_responses=[types.FunctionResponse(id="", name="", response={})])
    types.LiveServerMessage.model_validate(
        {"serverContent": {"modelTurn": {"parts": [{"inlineData": {"data": "AAA=", "mimeType": "audio/pcm"}}]}}}
    )
