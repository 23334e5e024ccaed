"""The bridge to Gemini Live, or to the embedded engine that speaks its protocol: a thin shell around the SDK."""

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
    EngineListener,
    ToolCall,
)
from pipeline.errors import EngineError, FaultCode
from pipeline.events import Role
from pipeline.gemini.model_profiles import LOCAL, profile_of, setup_of
from pipeline.gemini.retry_policy import EngineTimeouts
from pipeline.gemini.sdk_errors import CONNECT_FAILURES, engine_error, make_engine_error
from pipeline.gemini.session_plan import SessionPlan
from pipeline.gemini.session_supervisor import Phase, SessionSupervisor
from pipeline.gemini.socket_pump import SocketPump
from pipeline.media import INPUT_SAMPLE_RATE, AudioChunk, EncodedFrame

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
        "close_timeout": EngineTimeouts().close,
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
    """Speaks to the engine for one conversation, over one session after the other; what it decides is in `Link`.

    `tell` is called with everything the engine says, in order, and must return at once; `next_turn` gives numbers to
    remarks that nobody asked for. All methods but `run` return at once and never raise. What the user says while there
    is no session is kept for the next.
    """

    def __init__(
        self,
        client: genai.Client,
        config: EngineConfig,
        *,
        listener: EngineListener,
        timeouts: EngineTimeouts | None = None,
        jitter: Callable[[], float] = random.random,
    ):
        self._client = client
        self._is_local = config.model == LOCAL
        self._timeouts = timeouts or EngineTimeouts()
        self._supervisor = SessionSupervisor(
            config,
            listener=listener,
            timeouts=self._timeouts,
            jitter=jitter,
            clock=asyncio.get_running_loop().time,
        )
        self._pump: SocketPump | None = None

    async def run(self) -> None:
        """Serve until cancelled; raises an `EngineError` with a fatal code when it cannot go on."""
        link = self._supervisor
        while link.failure is None:
            await asyncio.sleep(link.delay)
            attempt = link.next_plan()
            try:
                async with self._connected(attempt) as session:
                    await self._serve(session)
            except _ConnectFailed as refusal:
                link.on_session_lost(refusal.error)
        raise link.failure

    @property
    def is_ready(self) -> bool:
        """Whether a session is open, so that frames arrive."""
        return self._supervisor.live is not None

    @property
    def phase(self) -> Phase:
        """Where the link stands."""
        return self._supervisor.phase

    @property
    def dropped_seconds(self) -> float:
        """Audio (s) that gave way because the socket was stuck, or there was none for too long."""
        return self._supervisor.dropped_seconds

    def start_utterance(self, turn: int) -> None:
        """The user begins to speak turn `turn`; whatever is being said or made ends here."""
        self._supervisor.start_utterance(turn)
        self._reschedule()

    def push_audio(self, chunk: AudioChunk) -> None:
        """Take 16 kHz audio of the utterance; outside of one it is dropped."""
        self._supervisor.push_audio(chunk)

    def push_frame(self, frame: EncodedFrame) -> None:
        """Take what the screen shows now."""
        self._supervisor.push_frame(frame)

    def stop_screen_share(self) -> None:
        """The screen is no longer shared."""
        self._supervisor.stop_screen_share()

    def add_context_note(self, text: str) -> None:
        """Let the engine know something before the next question, where the model takes such notes."""
        self._supervisor.add_context_note(text)

    def end_utterance(self) -> None:
        """The utterance is complete and wants an answer."""
        self._supervisor.end_utterance()
        self._reschedule()

    def cancel_utterance(self) -> None:
        """The utterance wants no answer after all. The protocol cannot take it back: its reply is dropped."""
        self._supervisor.cancel_utterance()
        self._reschedule()

    def submit_text(self, turn: int, text: str) -> None:
        """Ask in writing; whatever is being said or made ends here."""
        self._supervisor.submit_text(turn, text)
        self._reschedule()

    def interrupt_reply(self) -> None:
        """Let nothing more of the reply through that is being said or made."""
        self._supervisor.interrupt_reply()
        self._reschedule()

    def send_tool_response(self, call: ToolCall, result: Mapping[str, object], *, is_silent: bool) -> None:
        """Give the result of a function call, to be spoken about or not; too late or twice is ignored."""
        self._supervisor.send_tool_response(call, result, is_silent=is_silent)
        self._reschedule()

    def add_transcript(self, turn: int, role: Role, text: str) -> None:
        """Remember for a session that does not: what was said in a turn, as far as it was heard."""
        self._supervisor.add_transcript(turn, role, text)

    def _reschedule(self) -> None:
        if self._pump is not None:
            self._pump.reschedule()

    async def _serve(self, session: AsyncSession) -> None:
        link = self._supervisor
        live = link.on_session_opened()
        self._pump = SocketPump(session, link, live, is_local=self._is_local)
        try:
            await self._pump.run()
        except EngineError as error:
            # Before the socket is closed: that can take seconds, and silence cannot wait.
            link.on_session_lost(error)
        else:
            link.on_session_closed()
        finally:
            self._pump = None

    @asynccontextmanager
    async def _connected(self, attempt: SessionPlan) -> AsyncIterator[AsyncSession]:
        opening = self._client.aio.live.connect(model=attempt.model, config=attempt.setup)
        try:
            # The SDK waits for setupComplete without an end of its own.
            async with asyncio.timeout(self._timeouts.connect):
                session = await opening.__aenter__()
        except CONNECT_FAILURES as error:
            raise _ConnectFailed(engine_error(error, is_ready=False, is_local=self._is_local)) from error
        try:
            if session.setup_complete is None:
                raise _ConnectFailed(make_engine_error(FaultCode.ENGINE_PROTOCOL))
            yield session
        finally:
            try:
                async with asyncio.timeout(self._timeouts.close):
                    await opening.__aexit__(None, None, None)
            except TimeoutError:
                pass
            finally:
                # websockets waits without an end to write its close frame to a socket that is stuck
                # (asyncio/connection.py, `send_context`), and the SDK has no way to abort.
                session._ws.transport.abort()


class _ConnectFailed(Exception):
    """A session could not be made."""

    def __init__(self, error: EngineError):
        super().__init__(error)
        self.error = error


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _warm_up() -> None:
    # The SDK builds its models when they are first used: 10 ms on the loop of whoever speaks first.
    config = setup_of(EngineConfig(LOCAL, "Kore", "en", "", "medium"), profile_of(LOCAL))
    types.LiveConnectParameters(model=LOCAL, config=config).model_dump(exclude_none=True)
    blob = types.Blob(data=b"\0\0", mime_type=f"audio/pcm;rate={INPUT_SAMPLE_RATE}")
    types.LiveSendRealtimeInputParameters(audio=blob)
    types.LiveSendRealtimeInputParameters(activity_start=types.ActivityStart())
    types.LiveClientContent(turn_complete=False)
    types.LiveClientToolResponse(function_responses=[types.FunctionResponse(id="", name="", response={})])
    types.LiveServerMessage.model_validate(
        {"serverContent": {"modelTurn": {"parts": [{"inlineData": {"data": "AAA=", "mimeType": "audio/pcm"}}]}}}
    )
