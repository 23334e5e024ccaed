"""The bridge to Gemini Live, or to the embedded engine that speaks its protocol: runs sessions through the SDK."""

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

from pipeline.engine import EngineConfig, EngineListener, ToolCall
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
    """Make the one SDK client of a server; its warm-up blocks the loop for some 100 ms."""
    args: dict[str, Any] = {
        "compression": None,  # deflating a JPEG takes 2 ms for nothing
        "max_size": _MAX_MESSAGE,
        # Google's pongs were seen to take 30 s; the bridge has its own response timeout.
        "ping_interval": None,
        "close_timeout": EngineTimeouts().close,
    }
    if ssl_context is not None:
        args["ssl"] = ssl_context
    if base_url is not None and _is_loopback(base_url):
        args["proxy"] = None  # else an https_proxy in the environment would apply to this connection too
    # At DEBUG, websockets logs every header it sends, including the key.
    logging.getLogger("websockets.client").setLevel(logging.WARNING)
    # SDK 3 made v1 its default; Live is documented for v1beta.
    options = types.HttpOptions(base_url=base_url, api_version="v1beta", async_client_args=args)
    _warm_up()
    return genai.Client(api_key=api_key, vertexai=False, http_options=options)


class GeminiBridge:
    """Runs the engine sessions of one conversation, one after the other, as its `SessionSupervisor` decides.

    All methods but `run` return at once and never raise. User input is kept while there is no session, and goes to the
    next one.
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
        """Run sessions until cancelled; raises a fatal `EngineError` when reconnecting is given up."""
        supervisor = self._supervisor
        while supervisor.failure is None:
            await asyncio.sleep(supervisor.delay)
            plan = supervisor.next_plan()
            try:
                async with self._connected(plan) as session:
                    await self._serve(session)
            except _ConnectFailed as failure:
                supervisor.on_session_lost(failure.error)
        raise supervisor.failure

    @property
    def is_ready(self) -> bool:
        """Whether a session is open, so that frames arrive."""
        return self._supervisor.live is not None

    @property
    def phase(self) -> Phase:
        """The phase of the current session."""
        return self._supervisor.phase

    @property
    def dropped_seconds(self) -> float:
        """Seconds of audio dropped because the socket was blocked or an outage lasted too long."""
        return self._supervisor.dropped_seconds

    def start_utterance(self, turn: int) -> None:
        """Start the user's utterance of this turn; it interrupts any reply."""
        self._supervisor.start_utterance(turn)
        self._reschedule()

    def push_audio(self, chunk: AudioChunk) -> None:
        """Send 16 kHz audio of the utterance; audio outside of one is dropped."""
        self._supervisor.push_audio(chunk)

    def push_frame(self, frame: EncodedFrame) -> None:
        """Send a screen frame."""
        self._supervisor.push_frame(frame)

    def stop_screen_share(self) -> None:
        """Note that the screen is no longer shared."""
        self._supervisor.stop_screen_share()

    def add_context_note(self, text: str) -> None:
        """Give the engine a note with the next question, if the model takes such notes."""
        self._supervisor.add_context_note(text)

    def end_utterance(self) -> None:
        """Complete the utterance, which expects a reply."""
        self._supervisor.end_utterance()
        self._reschedule()

    def cancel_utterance(self) -> None:
        """Abandon the utterance. The protocol cannot take it back, so its reply is dropped."""
        self._supervisor.cancel_utterance()
        self._reschedule()

    def submit_text(self, turn: int, text: str) -> None:
        """Send a typed question; it interrupts any reply."""
        self._supervisor.submit_text(turn, text)
        self._reschedule()

    def interrupt_reply(self) -> None:
        """Drop everything that still arrives of the open reply."""
        self._supervisor.interrupt_reply()
        self._reschedule()

    def send_tool_response(self, call: ToolCall, result: Mapping[str, object], *, is_silent: bool) -> None:
        """Send the result of a function call; a second or late result is ignored."""
        self._supervisor.send_tool_response(call, result, is_silent=is_silent)
        self._reschedule()

    def add_transcript(self, turn: int, role: Role, text: str) -> None:
        """Record the text of a turn, as far as it was played, for a session that cannot be resumed."""
        self._supervisor.add_transcript(turn, role, text)

    def _reschedule(self) -> None:
        if self._pump is not None:
            self._pump.reschedule()

    async def _serve(self, session: AsyncSession) -> None:
        supervisor = self._supervisor
        live = supervisor.on_session_opened()
        self._pump = SocketPump(session, supervisor, live, is_local=self._is_local)
        try:
            await self._pump.run()
        except EngineError as error:
            # Before the socket is closed: that can take seconds, and speech must stop at once.
            supervisor.on_session_lost(error)
        else:
            supervisor.on_session_closed()
        finally:
            self._pump = None

    @asynccontextmanager
    async def _connected(self, plan: SessionPlan) -> AsyncIterator[AsyncSession]:
        opening = self._client.aio.live.connect(model=plan.model, config=plan.setup)
        try:
            # The SDK has no timeout of its own for setupComplete.
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
                # websockets waits without a timeout to write its close frame to a blocked socket
                # (asyncio/connection.py, `send_context`), and the SDK has no way to abort.
                session._ws.transport.abort()


class _ConnectFailed(Exception):
    """Raised when a session could not be opened."""

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
    # The SDK builds its models on first use: 10 ms on the loop during the first conversation.
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
