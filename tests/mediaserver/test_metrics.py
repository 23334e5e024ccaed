"""What is counted."""

import asyncio

import pytest

from mediaserver.metrics import LoopLag, Metrics
from pipeline.errors import FaultCode
from pipeline.events import (
    EndReason,
    Event,
    Fault,
    Interrupted,
    Pong,
    Resumed,
    ScreenFrameSent,
    SeenReason,
    SessionEnded,
    State,
    StateChanged,
    TurnEnded,
    Usage,
)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """One sample, or 0 if nothing was counted yet."""
    return metrics.registry.get_sample_value(f"mediaserver_{name}", labels) or 0.0


def witnessed(*events: Event) -> Metrics:
    metrics = Metrics()
    gauge = metrics.open_session("webrtc")
    for event in events:
        gauge.observe(event)
    return metrics


def test_two_servers_in_one_process_count_apart() -> None:
    mine, yours = Metrics(), Metrics()
    mine.auth_failed()
    assert (value(mine, "auth_failures_total"), value(yours, "auth_failures_total")) == (1, 0)


def test_a_session_is_live_from_its_opening_to_its_end_however_often_the_end_is_told() -> None:
    metrics = Metrics()
    gauge = metrics.open_session("livekit")
    metrics.open_session("webrtc")
    assert value(metrics, "live_sessions", transport="livekit") == 1
    gauge.observe(SessionEnded(EndReason.IDLE))
    gauge.observe(SessionEnded(EndReason.IDLE))
    assert value(metrics, "live_sessions", transport="livekit") == 0
    assert value(metrics, "live_sessions", transport="webrtc") == 1
    assert value(metrics, "sessions_total", transport="livekit") == 1
    assert value(metrics, "sessions_ended_total", transport="livekit", reason="idle") == 1


def test_a_turn_is_counted_with_the_time_its_first_audio_took() -> None:
    metrics = witnessed(
        TurnEnded(1, 900, {"speech_end_to_first_audio": 412}, Usage()),
        TurnEnded(2, 900, {}, Usage()),  # typed or proactive: nobody waited in silence
    )
    assert value(metrics, "turns_total", outcome="complete") == 2
    assert value(metrics, "time_to_first_audio_seconds_count") == 1
    assert value(metrics, "time_to_first_audio_seconds_sum") == pytest.approx(0.412)


def test_an_interruption_is_timed_where_a_voice_cut_the_reply() -> None:
    metrics = witnessed(
        Interrupted(1, 300, "I can", latency_ms={"speech_start_to_silence": 220}), Interrupted(2, 300, "I can")
    )
    assert value(metrics, "turns_total", outcome="interrupted") == 2
    assert value(metrics, "barge_in_to_silence_seconds_count") == 1
    assert value(metrics, "barge_in_to_silence_seconds_sum") == pytest.approx(0.22)


def test_an_interruption_that_was_nothing_counts_as_both() -> None:
    metrics = witnessed(Interrupted(1, 300, "I can"), Resumed(1, 100))
    assert value(metrics, "turns_total", outcome="interrupted") == value(metrics, "turns_total", outcome="resumed") == 1


def test_a_reconnect_counts_once_the_engine_is_back() -> None:
    lost = (StateChanged(State.IDLE), StateChanged(State.RECONNECTING))
    assert value(witnessed(*lost), "engine_reconnects_total") == 0
    assert value(witnessed(*lost, StateChanged(State.IDLE)), "engine_reconnects_total") == 1
    assert value(witnessed(StateChanged(State.CONNECTING), StateChanged(State.IDLE)), "engine_reconnects_total") == 0


def test_faults_are_counted_by_code_and_those_of_the_engine_apart() -> None:
    metrics = witnessed(Fault(FaultCode.ENGINE_QUOTA, "..."), Fault(FaultCode.FRAME_PROCESSING_ERROR, "..."))
    assert value(metrics, "engine_errors_total", code="ENGINE_QUOTA") == 1
    assert value(metrics, "engine_errors_total", code="FRAME_PROCESSING_ERROR") == 0
    assert value(metrics, "faults_total", code="FRAME_PROCESSING_ERROR") == 1


def test_frames_windows_and_drops_are_counted_from_running_totals_of_each_session() -> None:
    metrics = Metrics()
    first, second = metrics.open_session("webrtc"), metrics.open_session("webrtc")
    first.totals(frames_seen=10, frames_dropped=7, windows=100, mailbox_dropped=0)
    first.totals(frames_seen=15, frames_dropped=9, windows=160, mailbox_dropped=2)
    second.totals(frames_seen=1, frames_dropped=0, windows=4, mailbox_dropped=0)
    first.observe(ScreenFrameSent(1, 80, SeenReason.CHANGED))
    assert value(metrics, "frames_seen_total") == 16
    assert value(metrics, "frames_dropped_total") == 9
    assert value(metrics, "frames_sent_total") == 1
    assert value(metrics, "vad_windows_total") == 164
    assert value(metrics, "mailbox_dropped_total") == 2


def test_what_only_clients_are_told_counts_nothing() -> None:
    assert witnessed(Pong(1)).text().count(b"_total 1.0") == 0


def test_a_method_nobody_knows_is_no_label_of_its_own() -> None:
    metrics = Metrics()
    for method in ("GET", "X-1", "X-2"):
        metrics.request_answered(method=method, route="/health", status=200, seconds=0.01)
    assert value(metrics, "http_requests_total", method="other", route="/health", status="200") == 2
    assert value(metrics, "http_requests_total", method="GET", route="/health", status="200") == 1
    assert value(metrics, "http_request_seconds_count", method="other", route="/health") == 2


async def test_a_blocked_loop_shows_in_its_lag_and_the_sampler_ends_with_its_block() -> None:
    metrics = Metrics()
    before = asyncio.all_tasks()
    async with LoopLag(metrics, interval=0.001):
        async with asyncio.timeout(5):
            while value(metrics, "loop_lag_seconds_count") < 3:
                await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert value(metrics, "loop_lag_seconds_sum") >= 0


def test_the_text_has_the_process_too() -> None:
    assert b"process_cpu_seconds_total" in Metrics().text()
