"""Prometheus metrics of the server; every name begins with `mediaserver_`."""

import asyncio
from collections.abc import Mapping
from types import TracebackType

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from pipeline.errors import FaultCode
from pipeline.events import (
    Event,
    Fault,
    Interrupted,
    Resumed,
    ScreenFrameSent,
    SessionEnded,
    State,
    StateChanged,
    TurnEnded,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST

_REPLY_SECONDS = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_SILENCE_SECONDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0)
_LAG_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
_HTTP_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Clients choose the method: only known ones become a label, or the number of labels would have no bound.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Holds every counter, gauge and histogram of one server, in its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._sessions = self._counter("sessions", "Sessions started.", "transport")
        self._live = Gauge("mediaserver_live_sessions", "Sessions now.", ["transport"], registry=self.registry)
        self._ended = self._counter("sessions_ended", "Sessions ended, by reason.", "transport", "reason")
        self._turns = self._counter("turns", "Replies, by how they ended: complete, interrupted or resumed.", "outcome")
        self._reply = self._histogram(
            "time_to_first_audio_seconds", "From the end of a question to the first sound of its reply.", _REPLY_SECONDS
        )
        self._silence = self._histogram(
            "barge_in_to_silence_seconds", "From the user's first sound to the assistant's silence.", _SILENCE_SECONDS
        )
        self._seen = self._counter("frames_seen", "Screen frames that arrived.")
        self._sent = self._counter("frames_sent", "Screen frames that went to the engine.")
        self._dropped = self._counter("frames_dropped", "Screen frames that never went to the engine.")
        self._windows = self._counter("vad_windows", "Windows of microphone audio judged.")
        self._faults = self._counter("faults", "Faults told to clients.", "code")
        self._engine_errors = self._counter("engine_errors", "Faults of the engine or the way to it.", "code")
        self._reconnects = self._counter("engine_reconnects", "Engine links made anew after a loss.")
        self._mailbox = self._counter("mailbox_dropped", "Items that gave way to newer ones in a full mailbox.")
        self._lag = self._histogram("loop_lag_seconds", "How late the event loop wakes up.", _LAG_SECONDS)
        self._requests = self._counter("http_requests", "Requests answered.", "method", "route", "status")
        self._took = Histogram(
            "mediaserver_http_request_seconds",
            "Time to answer.",
            ["method", "route"],
            buckets=_HTTP_SECONDS,
            registry=self.registry,
        )
        self._auth_failures = self._counter("auth_failures", "Requests and sockets refused for want of a good token.")
        self._rate_limited = self._counter("rate_limited", "Requests and sockets refused for coming too often.")

    def open_session(self, transport: str) -> "SessionGauge":
        """Count a session that starts now; it is live until its gauge observes `SessionEnded`."""
        self._sessions.labels(transport).inc()
        self._live.labels(transport).inc()
        return SessionGauge(self, transport)

    def session_ended(self, transport: str, reason: str) -> None:
        """Count a session that has ended."""
        self._live.labels(transport).dec()
        self._ended.labels(transport, reason).inc()

    def turn_completed(self, latency: float | None) -> None:
        """Count a reply that played to its end; `latency` is its time to first audio (s), if it answered speech."""
        self._turns.labels("complete").inc()
        if latency is not None:
            self._reply.observe(latency)

    def turn_resumed(self) -> None:
        """Count an interrupted reply that is taken up again."""
        self._turns.labels("resumed").inc()

    def turn_interrupted(self, silenced: float | None) -> None:
        """Count an interrupted reply; `silenced` is the time (s) from speech start to silence, if by speech."""
        self._turns.labels("interrupted").inc()
        if silenced is not None:
            self._silence.observe(silenced)

    def frames_seen(self, frames: int) -> None:
        """Count screen frames that arrived."""
        self._seen.inc(frames)

    def frame_sent(self) -> None:
        """Count a screen frame that went to the engine."""
        self._sent.inc()

    def frames_dropped(self, frames: int) -> None:
        """Count screen frames that never went to the engine."""
        self._dropped.inc(frames)

    def windows_judged(self, windows: int) -> None:
        """Count windows that passed the VAD."""
        self._windows.inc(windows)

    def mailbox_dropped(self, items: int) -> None:
        """Count items that a full mailbox dropped."""
        self._mailbox.inc(items)

    def faulted(self, code: FaultCode) -> None:
        """Count a fault, and an engine fault a second time under its own metric."""
        self._faults.labels(code.value).inc()
        if code.value.startswith("ENGINE_"):
            self._engine_errors.labels(code.value).inc()

    def engine_reconnected(self) -> None:
        """Count an engine connection that was opened again after a loss."""
        self._reconnects.inc()

    def loop_lagged(self, seconds: float) -> None:
        """Record one sample of the event loop's lag."""
        self._lag.observe(seconds)

    def request_answered(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count an HTTP response; `route` is the template, never the requested path."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, status).inc()
        self._took.labels(known, route).observe(seconds)

    def auth_failed(self) -> None:
        """Count a request that failed authentication."""
        self._auth_failures.inc()

    def rate_limited(self) -> None:
        """Count a request above its rate limit."""
        self._rate_limited.inc()

    def text(self) -> bytes:
        """Render all metrics in the format of `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"mediaserver_{name}", about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"mediaserver_{name}", about, buckets=buckets, registry=self.registry)


class SessionGauge:
    """Counts what one session's events tell."""

    def __init__(self, metrics: Metrics, transport: str):
        self._metrics = metrics
        self._transport = transport
        self._was_reconnecting = False
        self._is_ended = False
        self._totals: Mapping[str, int] = {}

    def observe(self, event: Event) -> None:
        """Count what this event means."""
        metrics = self._metrics
        match event:
            case StateChanged(state):
                if self._was_reconnecting and state is not State.RECONNECTING:
                    metrics.engine_reconnected()
                self._was_reconnecting = state is State.RECONNECTING
            case TurnEnded(latency_ms=latency_ms):
                latency = latency_ms.get("speech_end_to_first_audio")
                metrics.turn_completed(None if latency is None else latency / 1000)
            case Interrupted(latency_ms=latency_ms):
                silenced = latency_ms.get("speech_start_to_silence")
                metrics.turn_interrupted(None if silenced is None else silenced / 1000)
            case Resumed():
                metrics.turn_resumed()
            case ScreenFrameSent():
                metrics.frame_sent()
            case Fault(code):
                metrics.faulted(code)
            case SessionEnded(reason) if not self._is_ended:
                self._is_ended = True
                metrics.session_ended(self._transport, reason.value)
            case _:
                pass  # the rest is not counted

    def totals(self, *, frames_seen: int, frames_dropped: int, windows: int, mailbox_dropped: int) -> None:
        """Count the increase of the session's running totals since the last call."""
        now = {"seen": frames_seen, "dropped": frames_dropped, "windows": windows, "mailbox": mailbox_dropped}
        new = {name: total - self._totals.get(name, 0) for name, total in now.items()}
        self._totals = now
        self._metrics.frames_seen(new["seen"])
        self._metrics.frames_dropped(new["dropped"])
        self._metrics.windows_judged(new["windows"])
        self._metrics.mailbox_dropped(new["mailbox"])


class LoopLag:
    """Samples the event loop's lag every `interval` seconds, as an async context manager."""

    def __init__(self, metrics: Metrics, *, interval: float = 0.5):
        self._metrics = metrics
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "LoopLag":
        self._task = asyncio.create_task(self._sample(), name="loop lag")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self._interval
            await asyncio.sleep(self._interval)
            self._metrics.loop_lagged(max(0.0, loop.time() - due))
