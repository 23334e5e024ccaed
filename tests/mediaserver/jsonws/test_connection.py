"""Sessions over the JSON socket: who may start one, what is answered to what, how it ends."""

import asyncio
import threading
import wave
from base64 import b64decode, b64encode
from io import BytesIO

import aiohttp
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mediaserver.jsonws import media_input, send_queue
from mediaserver.jsonws.codec import SessionConfig, wav
from mediaserver.jsonws.connection import SharedBounds, SocketLimits
from mediaserver.messages.fields import MAX_BAD_MESSAGES
from mediaserver.registry import Draining, Full, SessionLimit
from pipeline.codecs.image_decoder import decode_image
from pipeline.errors import FaultCode
from pipeline.events import (
    AudioEnd,
    EndReason,
    Fault,
    Interrupted,
    Playback,
    ScreenShareEnd,
    State,
    StateChanged,
    TextInput,
    TextResponse,
    TurnEnded,
    Usage,
)
from pipeline.media import ScreenFrame, SpeechFrame
from pipeline.peer import Peer
from tests.support.jsonws_harness import Server, pcm_of

TONE = (np.sin(np.arange(480) * 0.1) * 9_000).astype("<i2").tobytes()


def tone(seconds: float, rate: int = 16_000) -> bytes:
    samples: NDArray[np.int16] = (np.sin(np.arange(int(seconds * rate)) * 0.1) * 9_000).astype("<i2")
    return samples.tobytes()


def picture(level: int = 200, side: int = 64, kind: str = ".png") -> bytes:
    return cv2.imencode(kind, np.full((side, side, 3), level, np.uint8))[1].tobytes()


# Access


async def test_a_session_is_started_as_documented(server: Server) -> None:
    client = await server.connect()
    started = await client.start(
        userId="ann", sessionId="session456", config={"model": "gemini-1.5-flash", "language": "en"}
    )
    assert started["sessionId"] == "session456"
    assert started["id"] == server.session_factory.conversation.config.id
    assert (await client.next())["state"] == "idle"
    assert server.session_factory.options == [
        SessionConfig(label="session456", model="gemini-1.5-flash", language="en", transport="websocket")
    ]


@pytest.mark.parametrize("way", ["header", "query", "message"])
async def test_a_token_may_come_in_three_ways(server: Server, way: str) -> None:
    client = await server.connect("ann" if way == "header" else "", "?token=ann" if way == "query" else "")
    await client.start(**({"token": "ann"} if way == "message" else {}))
    assert [owner for owner, _ in server.session_factory.conversations] == ["ann"]


@pytest.mark.parametrize("query", ["?token=forged", "?token="])
async def test_a_forged_token_is_refused_before_the_handshake(server: Server, query: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await server.connect("", query)
    assert refused.value.status == 401


@pytest.mark.parametrize("token", [None, "forged"])
async def test_without_a_good_token_a_session_is_refused_and_the_socket_closed(
    server: Server, token: str | None
) -> None:
    client = await server.connect("")
    await client.send("start_session", **({"token": token} if token else {}))
    refusal = await client.until("error")
    assert (refusal["code"], refusal["fatal"]) == ("UNAUTHORIZED", True)
    assert await client.closed() == 1008


async def test_a_token_that_is_revoked_after_the_handshake_starts_no_session(server: Server) -> None:
    client = await server.connect()
    server.verifier.revoked.add("ann")
    await client.send("start_session")
    refusal = await client.until("error")
    assert (refusal["code"], refusal["message"]) == ("UNAUTHORIZED", "The token was revoked.")
    assert await client.closed() == 1008


async def test_user_id_is_the_tokens_user_by_id_or_by_name(server: Server) -> None:
    for name in ("ann", "ANN"):
        client = await server.connect()
        await client.start(userId=name, sessionId=name)
    client = await server.connect()
    await client.send("start_session", userId="bob")
    assert await client.code() == "FORBIDDEN"
    assert await client.closed() == 1008


async def test_a_guest_may_call_itself_anything(server: Server) -> None:
    client = await server.connect("guest-1")
    assert (await client.start(userId="user123"))["action"] == "session_started"


async def test_a_foreign_origin_is_refused(server: Server) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await server.connect(Origin="https://evil.example")
    assert refused.value.status == 403


async def test_a_plain_get_is_refused(server: Server) -> None:
    response = await server.client.get("/ws/livekit", headers={"Authorization": "Bearer ann"})
    assert response.status == 400


# Rate and number


async def test_sockets_are_limited_by_user_and_nameless_ones_by_address(server: Server) -> None:
    server.limiter.most = 1
    await server.connect()
    await server.connect("")
    for user in ("ann", ""):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await server.connect(user)
        assert refused.value.status == 429


async def test_sessions_after_the_first_of_a_socket_are_limited_too(server: Server) -> None:
    client = await server.started("one")
    server.limiter.most = 1
    await client.send("end_session", sessionId="one")
    await client.until("session_ended")
    await client.send("start_session", sessionId="two")
    refusal = await client.until("error")
    assert (refusal["code"], refusal["fatal"], refusal["details"]) == ("RATE_LIMITED", False, {"retry_after": 7})


@pytest.mark.parametrize(
    ("refusal", "close_code", "details"),
    [
        (Full(SessionLimit.USER), 1013, {"limit": "user", "retry_after": 10}),
        (Full(SessionLimit.ADDRESS), 1013, {"limit": "address", "retry_after": 10}),
        (Full(SessionLimit.GUESTS), 1013, {"limit": "guests", "retry_after": 10}),
        (Full(SessionLimit.SERVER), 1013, {"limit": "server", "retry_after": 10}),
        (Draining(), 1012, {"retry_after": 30}),
    ],
)
async def test_a_full_server_reports_session_limit_and_closes(
    server: Server, refusal: Exception, close_code: int, details: dict[str, object]
) -> None:
    server.session_factory.refusal = refusal
    client = await server.connect()
    await client.send("start_session", sessionId="desk")
    error = await client.until("error")
    assert (error["code"], error["sessionId"], error["details"]) == ("SESSION_LIMIT", "desk", details)
    assert await client.closed() == close_code


async def test_guests_of_one_address_are_counted_as_one(server: Server) -> None:
    for number in range(3):
        client = await server.connect(f"guest-{number}")
        await client.start(sessionId=str(number))
        late = await server.connect("")
        await late.start(sessionId=f"late {number}", token=f"guest-late-{number}")
    assert server.limiter.counts == {"127.0.0.1": 9}
    assert {(caller.network, caller.is_guest) for caller in server.session_factory.callers} == {("127.0.0.1", True)}


# Session options


async def test_a_socket_has_one_session_at_a_time(server: Server) -> None:
    client = await server.started("one")
    await client.send("start_session", sessionId="two")
    assert await client.code() == "SESSION_EXISTS"
    await client.send("ping", t=1)
    assert (await client.until("pong"))["sessionId"] == "one"


async def test_a_label_that_is_live_on_another_socket_is_taken(server: Server) -> None:
    await server.started("one")
    other = await server.connect()
    await other.send("start_session", sessionId="one")
    assert await other.code() == "SESSION_EXISTS"
    await other.start(sessionId="two")


async def test_a_dropped_session_is_rejoined_by_its_label(server: Server) -> None:
    first = await server.started("one")
    await first.ws.close()
    conversation = server.session_factory.conversation
    await conversation.until(lambda: not conversation.peers)
    second = await server.started("one")
    await second.send("text_input", sessionId="one", text="still there?")
    await conversation.until(lambda: TextInput("still there?") in conversation.log)
    assert conversation.graces == [5.0]
    assert len(server.session_factory.conversations) == 1


async def test_two_users_may_use_the_same_label(server: Server) -> None:
    await server.started("one")
    other = await server.connect("bob")
    await other.start(sessionId="one")
    assert len(server.session_factory.conversations) == 2


async def test_a_session_ended_by_its_client_leaves_the_socket_open_for_the_next(server: Server) -> None:
    client = await server.started("one")
    # Not waiting for the answer: the second is not refused for the first's sake.
    await client.send("end_session", sessionId="one")
    await client.send("start_session", sessionId="two")
    assert (await client.until("session_ended"))["reason"] == "client"
    assert (await client.until("session_started"))["sessionId"] == "two"


async def test_messages_name_their_session_by_label_or_id_or_not_at_all(server: Server) -> None:
    client = await server.started("one")
    for name in ({"sessionId": "one"}, {"sessionId": server.session_factory.conversation.config.id}, {}):
        await client.send("ping", t=2, **name)
        assert (await client.next())["action"] in ("state", "pong")


@pytest.mark.parametrize("is_started", [True, False])
async def test_a_session_that_is_not_here_is_not_found(server: Server, is_started: bool) -> None:
    client = await server.started("one") if is_started else await server.connect()
    await client.send("interrupt", sessionId="another")
    error = await client.until("error")
    assert (error["code"], error["fatal"]) == ("SESSION_NOT_FOUND", False)


# Invalid messages


async def test_a_bad_message_loses_nothing_and_ends_nothing(server: Server) -> None:
    client = await server.started()
    await client.say(wav(tone(0.1), 16_000))
    await client.ws.send_str("{")
    await client.send("dance")
    await client.ws.send_bytes(b"\0")
    await client.send("tracks", mids={})
    codes = [await client.code() for _ in range(4)]
    assert codes == ["INVALID_MESSAGE", "UNKNOWN_ACTION", "INVALID_MESSAGE", "UNKNOWN_ACTION"]
    await server.session_factory.conversation.until(lambda: server.session_factory.conversation.seconds >= 0.1)
    await client.send("ping")
    assert await client.until("pong")


async def test_twenty_bad_messages_in_a_row_close_the_socket(server: Server) -> None:
    client = await server.started()
    for _ in range(19):
        await client.ws.send_str("[]")
    await client.send("ping")
    await client.until("pong")
    for _ in range(20):
        await client.say(b"no audio at all", "ogg")
    assert await client.closed() == 1008
    assert [m["code"] for m in client.seen if m["action"] == "error"] == ["INVALID_MESSAGE"] * 19 + [
        "UNSUPPORTED_FORMAT"
    ] * 20


async def test_a_message_that_is_too_long_is_answered(server: Server) -> None:
    client = await server.started()
    await client.ws.send_str(" " * (12 << 20) + "{}")
    assert await client.code() == "PAYLOAD_TOO_LARGE"
    await client.send("ping")
    assert await client.until("pong")


async def test_a_message_of_twelve_mebibytes_is_read(server: Server) -> None:
    client = await server.started()
    head = '{"action": "ping", "t": 1, "padding": "'
    await client.ws.send_str(head + "x" * ((12 << 20) - len(head) - 2) + '"}')
    assert await client.until("pong")


# The voice that comes


async def test_audio_is_heard_in_order_before_the_command_that_follows_it(server: Server) -> None:
    client = await server.started()
    conversation = server.session_factory.conversation
    pcm = tone(0.5)
    for start in range(0, len(pcm), 3_333):
        await client.say(pcm[start : start + 3_333], "pcm", sample_rate=16_000, channels=1)
    await client.send("audio_end")
    await conversation.until(lambda: AudioEnd() in conversation.log)
    assert conversation.pcm == pcm
    assert conversation.log.index(AudioEnd()) == len(conversation.log) - 1
    assert [round(chunk.pts * 16_000) for chunk in conversation.heard] == list(
        np.cumsum([0] + [len(chunk.pcm) // 2 for chunk in conversation.heard])[:-1]
    )


async def test_audio_sent_at_once_is_taken_no_more_than_two_seconds_ahead(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    clock = 100.0

    async def sleep(seconds: float) -> None:
        nonlocal clock
        waits.append(seconds)
        clock += seconds
        await asyncio.sleep(0)

    client = await server.started()
    conversation = server.session_factory.conversation
    monkeypatch.setattr(media_input, "monotonic", lambda: clock)
    monkeypatch.setattr(media_input, "sleep", sleep)
    await client.say(wav(tone(30.0), 16_000))
    await client.send("audio_end")
    await conversation.until(lambda: AudioEnd() in conversation.log)
    assert conversation.seconds == pytest.approx(30.0)
    assert sum(waits) == pytest.approx(28.0, abs=0.2)
    assert max(chunk.duration for chunk in conversation.heard) <= 0.1


async def test_urgent_commands_overtake_audio(server: Server) -> None:
    client = await server.started()
    await client.say(wav(tone(60.0), 16_000))
    await client.send("text_input", text="after it")
    await client.send("ping", t=7)
    assert (await client.until("pong"))["t"] == 7
    await client.send("end_session")
    await client.until("session_ended")
    assert TextInput("after it") not in server.session_factory.conversation.log
    assert server.session_factory.conversation.seconds < 5


async def test_silence_follows_when_audio_stops(server: Server) -> None:
    client = await server.started()
    conversation = server.session_factory.conversation
    await client.say(tone(0.2), "pcm")
    await conversation.until(lambda: conversation.seconds > 0.2 + conversation.config.turns.silence)
    assert conversation.pcm[: len(tone(0.2))] == tone(0.2)
    assert set(conversation.pcm[len(tone(0.2)) :]) == {0}


async def test_bad_audio_is_told_and_good_audio_after_it_heard(server: Server) -> None:
    client = await server.started()
    await client.say(b"RIFFnonsense", "wav")
    await client.say(tone(0.1), "pcm", sample_rate=96_000)
    await client.say(tone(0.1), "flac")
    assert [await client.code() for _ in range(3)] == ["UNSUPPORTED_FORMAT"] * 3
    await client.say(wav(tone(0.1), 16_000))
    await server.session_factory.conversation.until(lambda: server.session_factory.conversation.pcm == tone(0.1))


async def test_audio_that_breaks_while_it_is_decoded_is_a_fault_of_the_turn(server: Server) -> None:
    client = await server.started()
    await client.say(b"\xff\xff\xff\xff", "opus")
    await server.session_factory.conversation.until(
        lambda: "AUDIO_PROCESSING_ERROR" in server.session_factory.conversation.log
    )


async def test_a_client_that_sends_fast_is_read_slowly(server: Server) -> None:
    client = await server.started()
    conversation = server.session_factory.conversation
    second = wav(tone(1.0), 16_000)

    async def pour() -> None:
        for _ in range(40):
            await client.say(second)

    pouring = asyncio.create_task(pour())
    await conversation.until(lambda: conversation.seconds >= 1.9)
    session = next(iter(server.socket._attached.values()))
    assert session._audio_input.queued <= 2
    pouring.cancel()
    await asyncio.wait([pouring])
    client.ws._response.close()
    await conversation.until(lambda: not conversation.peers)  # the next ping finds nobody there


# The screen


async def test_a_question_is_asked_after_the_picture_sent_before_it(server: Server) -> None:
    client = await server.started()
    conversation = server.session_factory.conversation
    for kind in ("png", "jpeg", "webp"):
        await client.show(picture(kind=f".{kind}"), kind, timestamp="2024-01-01T12:00:00Z")
        await client.send("text_input", text=kind)
        await conversation.until(lambda kind=kind: TextInput(kind) in conversation.log)  # type: ignore[misc]
    assert conversation.log == ["frame", TextInput("png"), "frame", TextInput("jpeg"), "frame", TextInput("webp")]
    assert (conversation.frames[0].width, conversation.frames[0].height) == (64, 64)


class Gate:
    """A decoder that waits until it is let on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.open = threading.Event()
        self.entered = asyncio.Event()
        loop, real = asyncio.get_running_loop(), decode_image

        def wait(data: bytes, arrived: float, *, max_side: int) -> ScreenFrame:
            loop.call_soon_threadsafe(self.entered.set)
            assert self.open.wait(10)
            return real(data, arrived, max_side=max_side)

        monkeypatch.setattr(media_input, "decode_image", wait)


async def test_of_pictures_that_come_while_one_is_decoded_the_newest_is_seen(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await server.started()
    conversation = server.session_factory.conversation
    gate = Gate(monkeypatch)
    await client.show(picture(0))
    await gate.entered.wait()
    for level in (50, 100, 255):
        await client.show(picture(level))
    await client.send("ping")
    await client.until("pong")
    gate.open.set()
    await client.send("text_input", text="now")
    await conversation.until(lambda: TextInput("now") in conversation.log)
    assert [int(frame.y[0, 0]) for frame in conversation.frames] == [0, 255]


async def test_a_picture_decoded_after_the_share_ended_is_not_seen(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await server.started()
    conversation = server.session_factory.conversation
    gate = Gate(monkeypatch)
    await client.show(picture())
    await gate.entered.wait()
    await client.send("screen_share_end")
    await conversation.until(lambda: ScreenShareEnd() in conversation.log)
    gate.open.set()
    await client.send("text_input", text="now")
    await conversation.until(lambda: TextInput("now") in conversation.log)
    assert conversation.frames == []


async def test_long_pictures_are_counted_until_they_are_decoded_replaced_or_discarded(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.socket._bounds = SharedBounds()
    budget = server.socket._bounds.long_messages
    client = await server.started()
    gate = Gate(monkeypatch)
    long = picture()[:-12] + bytes(1 << 20)  # no picture, but that is seen when it is decoded
    for _ in range(3):
        await client.show(long)
    await gate.entered.wait()
    await client.send("ping")
    await client.until("pong")
    ((account,),) = budget._holders.values()
    assert 2 * len(long) < account.held < 3 * len(long)  # in base64: the one that is decoded, and the newest
    await client.send("screen_share_end")
    await client.send("ping")
    await client.until("pong")
    assert len(long) < account.held < 1.5 * len(long)
    gate.open.set()
    await client.until("error")
    async with asyncio.timeout(10):
        while len(budget):
            await asyncio.sleep(0.005)


async def test_a_bad_picture_is_reported(server: Server) -> None:
    client = await server.started()
    await client.show(picture()[:-30])
    assert await client.code() == "FRAME_PROCESSING_ERROR"
    await client.show(b"GIF89a", "png")
    assert await client.code() == "UNSUPPORTED_FORMAT"
    await client.show(bytes((8 << 20) + 1000))
    assert await client.code() == "PAYLOAD_TOO_LARGE"


# The voice that goes


def speak(peer: Peer, turn: int, frames: int) -> None:
    for _ in range(frames):
        peer.send_audio(SpeechFrame(turn, TONE, b""))


def ended(turn: int) -> TurnEnded:
    return TurnEnded(turn, 100, {}, Usage())


@pytest.mark.parametrize("audio_format", ["wav", "pcm"])
@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
async def test_speech_has_the_requested_format_and_rate(server: Server, audio_format: str, rate: int) -> None:
    client = await server.started(config={"output": {"format": audio_format, "sample_rate": rate}})
    conversation = server.session_factory.conversation
    speak(conversation.peer, 3, 12)
    conversation.emit(ended(3))
    await client.until("turn_complete")
    voice = client.voice()
    assert [message["seq"] for message in voice] == [0, 1, 2]
    assert {(m["turn"], m["format"], m["sample_rate"], m["channels"]) for m in voice} == {(3, audio_format, rate, 1)}
    heard = np.frombuffer(pcm_of(voice), "<i2")
    assert abs(len(heard) - 12 * rate // 50) <= 2
    assert 5_000 < np.abs(heard).max() < 10_000
    if audio_format == "wav":
        with wave.open(BytesIO(b64decode(voice[0]["data"]))) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (rate, 1, 2)


async def test_speech_is_16_khz_wav_by_default(server: Server) -> None:
    client = await server.started()
    speak(server.session_factory.conversation.peer, 1, 5)
    assert {"format": "wav", "sample_rate": 16_000, "seq": 0, "sessionId": "desk"}.items() <= (
        await client.until("audio_output")
    ).items()


async def test_speech_that_runs_dry_is_not_kept_waiting(server: Server) -> None:
    client = await server.started()
    speak(server.session_factory.conversation.peer, 1, 2)
    assert (await client.until("audio_output"))["seq"] == 0


async def test_text_only_means_no_voice(server: Server) -> None:
    client = await server.started(config={"audio": False})
    conversation = server.session_factory.conversation
    speak(conversation.peer, 1, 20)
    conversation.emit(ended(1))
    await client.until("turn_complete")
    assert client.voice() == []


async def test_after_an_interruption_nothing_stale_is_heard(server: Server) -> None:
    client = await server.started()
    conversation = server.session_factory.conversation
    speak(conversation.peer, 1, 33)  # nothing of it can have been sent yet: nobody else has had a turn
    conversation.peer.flush_audio()
    speak(conversation.peer, 1, 2)
    conversation.emit(Interrupted(1, 660, "I can"))
    conversation.emit(TextResponse(1, "I can", None))
    speak(conversation.peer, 2, 5)
    await client.until("audio_output")
    assert [m["action"] for m in client.seen[-3:]] == ["interrupted", "text_response", "audio_output"]
    assert [(m["turn"], m["seq"]) for m in client.voice()] == [(2, 0)]


async def test_the_end_of_a_reply_that_was_heard_out_is_sent(server: Server) -> None:
    client = await server.started(config={"output": {"format": "pcm", "sample_rate": 24_000}})
    conversation = server.session_factory.conversation
    speak(conversation.peer, 1, 33)
    conversation.peer.flush_audio()  # as is said at the end of every reply
    conversation.emit(TextResponse(1, "I can see it.", None))
    await client.until("text_response")
    assert pcm_of(client.voice()) == TONE * 33


@pytest.mark.parametrize(("code", "is_heard"), [(FaultCode.ENGINE_STALLED, False), (FaultCode.RATE_LIMITED, True)])
async def test_a_fault_of_the_turn_is_silent_at_once(server: Server, code: FaultCode, is_heard: bool) -> None:
    client = await server.started()
    conversation = server.session_factory.conversation
    speak(conversation.peer, 1, 33)
    conversation.emit(Fault(code, "It broke."))
    await client.until("error")
    assert bool(client.voice()) is is_heard


async def test_playback_reports_go_up(server: Server) -> None:
    client = await server.started()
    await client.send("playback", turn=3, played_ms=1240)
    await server.session_factory.conversation.until(
        lambda: Playback(3, 1240) in server.session_factory.conversation.log
    )


# The end


@pytest.mark.parametrize(
    ("reason", "close_code"),
    [(EndReason.SHUTDOWN, 1001), (EndReason.IDLE, 1000), (EndReason.LIMIT, 1000), (EndReason.ERROR, 1011)],
)
async def test_a_session_that_ends_by_itself_closes_its_socket(
    server: Server, reason: EndReason, close_code: int
) -> None:
    client = await server.started()
    server.session_factory.conversation.end(reason)
    assert await client.closed() == close_code
    assert client.seen[-1]["reason"] == reason.value
    assert server.session_factory.conversation.graces == []


async def test_audio_that_was_on_its_way_when_the_session_ended_is_no_offence(server: Server) -> None:
    client = await server.started()
    server.session_factory.conversation.end(EndReason.CLIENT)
    for _ in range(30):
        await client.say(tone(0.02), "pcm", sessionId="desk")
    await client.start(sessionId="next")


async def test_closing_closes_sockets_without_a_session_too(server: Server) -> None:
    client = await server.connect()
    await client.send("ping")
    await client.code()
    closing = asyncio.create_task(server.socket.close())
    assert await client.closed() == 1001
    await closing


async def test_a_socket_on_which_nothing_is_started_is_closed(server: Server) -> None:
    server.socket._limits = SocketLimits(start=0.05)
    client = await server.connect()
    assert await client.closed() == 1008


async def test_a_silent_client_is_disconnected(server: Server) -> None:
    server.socket._limits = SocketLimits(ping_interval=0.05, silence=0.2, flush=0.2)
    client = await server.connect()
    client.ws._autoping = False
    await client.send("start_session")
    conversation = server.session_factory
    async with asyncio.timeout(10):
        while not conversation.conversations:
            await asyncio.sleep(0.01)
    await conversation.conversation.until(lambda: bool(conversation.conversation.graces))


async def test_a_client_that_answers_pings_stays_connected(server: Server) -> None:
    server.socket._limits = SocketLimits(ping_interval=0.05, silence=0.3, flush=0.2)
    client = await server.started()
    reading = asyncio.create_task(client.closed())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(reading), 0.8)
    await client.ws.close()
    await asyncio.wait([reading])


async def test_a_slow_consumer_is_disconnected_with_a_bounded_queue(server: Server) -> None:
    client = await server.started()
    conversation = server.session_factory.conversation
    waiting = next(iter(server.socket._attached.values())).peer._send_queue
    most = 0
    client.ws._reader._protocol.pause_reading()
    for turn in range(1, 3_000):
        for peer in conversation.peers:
            speak(peer, turn, 50)
        most = max(most, waiting.size)
        await asyncio.sleep(0)
        if not conversation.peers:
            break
    assert not conversation.peers
    assert send_queue.MAX_CHARACTERS * 0.9 < most <= send_queue.MAX_CHARACTERS
    client.ws._reader._protocol.resume_reading()
    assert await client.closed() == 1008
    assert client.seen[-1]["code"] == "SLOW_CONSUMER"


async def test_a_client_that_never_reads_again_is_disconnected(server: Server) -> None:
    server.socket._limits = SocketLimits(send=0.2, flush=0.2)
    client = await server.started()
    conversation = server.session_factory.conversation
    client.ws._reader._protocol.pause_reading()
    for turn in range(1, 200):  # more than the kernel keeps
        conversation.emit(TextResponse(turn, "x" * 30_000, None))
        await asyncio.sleep(0)
    await conversation.until(lambda: not conversation.peers)
    async with asyncio.timeout(10):
        while len(server.socket):
            await asyncio.sleep(0.01)


async def test_no_event_of_a_session_is_sent_before_or_after_it(server: Server) -> None:
    client = await server.started()
    conversation = server.session_factory.conversation
    peer = conversation.peer
    await client.send("end_session")
    await client.until("session_ended")
    peer.send_event(StateChanged(State.IDLE))
    speak(peer, 9, 10)
    await client.send("ping")
    assert await client.code() == "SESSION_NOT_FOUND"
    assert client.seen[-2]["action"] == "session_ended"


def test_the_send_queue_is_bounded() -> None:
    assert MAX_BAD_MESSAGES == 20
    box = send_queue.SendQueue(max_characters=10)
    assert box.put("12345678")
    assert not box.put("123")
    assert box.size == 8


async def test_a_data_url_is_taken_as_browsers_write_it(server: Server) -> None:
    client = await server.started()
    url = "data:image/png;base64," + b64encode(picture()).decode()
    await client.send("screen_share_frame", data=url, format="png")
    await server.session_factory.conversation.until(lambda: bool(server.session_factory.conversation.frames))
