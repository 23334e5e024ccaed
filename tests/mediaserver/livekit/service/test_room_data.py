"""What goes over the data channels: events and transcripts down, questions, commands and calls up."""

import json
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from livekit.protocol.models import (
    ChatMessage,
    DataPacket,
    DataStream,
    DisconnectReason,
    RpcRequest,
    TrackSource,
    UserPacket,
)
from livekit.protocol.rtc import MuteTrackRequest

from mediaserver.bad_messages import BadMessageBudget
from mediaserver.caller import Caller
from mediaserver.livekit.agent.participant_peer import MAX_BAD_MESSAGES, ParticipantPeer
from mediaserver.livekit.agent.track_selection import MAX_NAMES
from mediaserver.livekit.media import data_transport as delivery
from mediaserver.livekit.media.data_transport import BURST
from mediaserver.livekit.media.types import LOSSY
from mediaserver.livekit.protocol.data_streams import Assembler, Received, text_stream
from mediaserver.livekit.protocol.rpc import MAX_PAYLOAD
from mediaserver.livekit.service.participant_session import ParticipantSession
from mediaserver.rtc.inbound import preconnect_audio as microphone
from mediaserver.session_factory import SessionOptions
from pipeline.errors import AudioError
from pipeline.events import (
    AudioEnd,
    EndReason,
    Interrupt,
    Interrupted,
    Role,
    State,
    StateChanged,
    TextInput,
    Transcript,
    TurnEnded,
    Usage,
)
from pipeline.media import AudioChunk, ScreenFrame, SpeechFrame
from tests.support.livekit_harness import Client, Server, events, joined, offer, receiving, sending, serving

DATA = Path(__file__).parents[3] / "data"


def streams(packets: Iterable[DataPacket], topic: str) -> list[tuple[str, Received]]:
    """The streams that are complete, and in whose name each is."""
    assembler = Assembler({topic: 100_000})
    return [(packet.participant_identity, done) for packet in packets if (done := assembler.push(packet, 0.0))]


def event_packet(**message: Any) -> DataPacket:
    return DataPacket(user=UserPacket(payload=json.dumps(message).encode(), topic="events"))


def peer_of(server: Server, name: str = "Ada") -> ParticipantPeer:
    peer = next(peer for peer, whose in server.conversation.peers.items() if whose == name)
    assert isinstance(peer, ParticipantPeer)
    return peer


def chunk(seconds: float = 0.02, level: int = 8_000, pts: float = 0.0) -> AudioChunk:
    return AudioChunk(np.full(int(48_000 * seconds), level, "<i2").tobytes(), 48_000, pts)


# Down.


async def test_a_client_gets_every_event_in_the_assistants_name_and_in_order(server: Server) -> None:
    client = await server.join()
    server.conversation.emit(StateChanged(State.THINKING))

    packets = client.link.packets()
    assert [event["action"] for event in events(packets)] == ["session_started", "state", "state"]
    assert {packet.participant_identity for packet in packets} == {"assistant"}
    assert {packet.participant_sid for packet in packets} == {joined(client).other_participants[0].sid}
    assert [packet.sequence for packet in packets] == [1, 2, 3]


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (State.CONNECTING, "initializing"),
        (State.IDLE, "listening"),
        (State.LISTENING, "listening"),
        (State.THINKING, "thinking"),
        (State.SPEAKING, "speaking"),
        (State.RECONNECTING, "initializing"),
    ],
)
async def test_what_the_assistant_does_is_an_attribute(server: Server, state: State, shown: str) -> None:
    client = await server.join()
    server.conversation.emit(StateChanged(State.THINKING if shown != "thinking" else State.SPEAKING))
    await client.about("assistant", lambda info: info.attributes["lk.agent.state"] != "listening")

    server.conversation.emit(StateChanged(state))

    assert (await client.about("assistant")).attributes["lk.agent.state"] == shown


async def test_a_reply_is_one_stream_of_what_is_said_next(server: Server) -> None:
    client = await server.join()
    client.link.packets()
    for text in ("I can", "I can see", "I can see a page."):
        server.conversation.emit(Transcript(3, Role.ASSISTANT, text, final=text.endswith(".")))

    packets = client.link.packets()
    header = next(packet.stream_header for packet in packets if packet.HasField("stream_header"))
    chunks = [packet.stream_chunk.content for packet in packets if packet.HasField("stream_chunk")]
    assert chunks == [b"I can", b" see", b" a page."]
    assert header.attributes["lk.transcription_final"] == "false"
    assert not header.HasField("total_length")
    ((identity, stream),) = streams(packets, "lk.transcription")
    assert identity == "assistant"
    assert stream.attributes["lk.transcription_final"] == "true"
    assert stream.attributes["lk.transcribed_track_id"] == joined(client).other_participants[0].tracks[0].sid
    legacy = [packet.transcription for packet in packets if packet.HasField("transcription")]
    assert [each.segments[0].text for each in legacy] == ["I can", "I can see", "I can see a page."]
    assert [each.segments[0].final for each in legacy] == [False, False, True]
    assert {each.segments[0].id for each in legacy} == {stream.attributes["lk.segment_id"]}
    assert {each.transcribed_participant_identity for each in legacy} == {"assistant"}


async def test_a_reply_that_was_cut_short_ends_its_stream(server: Server) -> None:
    client = await server.join()
    server.conversation.emit(Transcript(3, Role.ASSISTANT, "I can see a page.", final=False))
    server.conversation.emit(Transcript(3, Role.ASSISTANT, "I can", final=True))

    packets = client.link.packets()
    ((_, stream),) = streams(packets, "lk.transcription")
    assert stream.text == "I can see a page."
    legacy = [packet.transcription.segments[0] for packet in packets if packet.HasField("transcription")]
    assert (legacy[-1].text, legacy[-1].final) == ("I can", True)


async def test_a_new_reply_and_the_end_close_the_stream_of_the_old_one(server: Server) -> None:
    client = await server.join()
    server.conversation.emit(Transcript(3, Role.ASSISTANT, "Never", final=False))
    server.conversation.emit(Transcript(4, Role.ASSISTANT, "Hello", final=False))
    server.conversation.end(EndReason.CLIENT)

    texts = [stream.text for _, stream in streams(client.link.packets(), "lk.transcription")]
    assert texts == ["Never", "Hello"]


async def test_what_a_user_says_is_told_in_their_name_to_everybody(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")
    sid = await bob.publish()
    server.conversation.speakers[5] = peer_of(server, "Bob")
    ada.link.packets()
    server.conversation.emit(Transcript(5, Role.USER, "where is", final=False))
    server.conversation.emit(Transcript(5, Role.USER, "where is save", final=True))

    packets = ada.link.packets()
    sent = streams(packets, "lk.transcription")
    assert [(who, stream.text) for who, stream in sent] == [("bob", "where is"), ("bob", "where is save")]
    assert [stream.attributes["lk.transcription_final"] for _, stream in sent] == ["false", "true"]
    assert {stream.attributes["lk.transcribed_track_id"] for _, stream in sent} == {sid}
    assert len({stream.attributes["lk.segment_id"] for _, stream in sent}) == 1
    legacy = [packet.transcription for packet in packets if packet.HasField("transcription")]
    assert {(each.transcribed_participant_identity, each.track_id) for each in legacy} == {("bob", sid)}


async def test_what_was_typed_is_no_transcription(server: Server) -> None:
    client = await server.join()
    client.link.packets()
    server.conversation.emit(Transcript(5, Role.USER, "where is save", final=True))

    packets = client.link.packets()
    assert streams(packets, "lk.transcription") == []
    assert [event["text"] for event in events(packets)] == ["where is save"]


async def test_a_long_event_is_a_stream(server: Server) -> None:
    client = await server.join()
    client.link.packets()
    server.conversation.emit(Transcript(5, Role.USER, "é" * 9_000, final=True))

    ((_, stream),) = streams(client.link.packets(), "events")
    assert json.loads(stream.text)["text"] == "é" * 9_000


async def test_the_assistants_voice_goes_to_every_connection_and_makes_it_a_speaker(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")
    loud = SpeechFrame(1, np.full(480, 9_000, "<i2").tobytes(), b"opus")

    for peer in server.conversation.peers:
        peer.send_audio(loud)

    assert ada.link.played == bob.link.played == [b"opus"]
    sent = await ada.until("speakers_changed")
    assert [(each.sid, each.active) for each in sent.speakers] == [(joined(ada).other_participants[0].sid, True)]
    for peer in server.conversation.peers:
        peer.flush_audio()
    assert ada.link.flushed == bob.link.flushed == 1


async def test_a_client_that_takes_nothing_is_left(server: Server) -> None:
    client = await server.join()
    client.link.takes_data = False

    server.conversation.emit(StateChanged(State.THINKING))
    server.conversation.emit(StateChanged(State.IDLE))

    assert (await client.until("leave")).action == 0


# Up: questions and commands.


async def test_a_chat_is_a_question(server: Server) -> None:
    client = await server.join()

    for packet in text_stream("lk.chat", "  where is save?  ", {}):
        client.link.say(packet)

    assert server.conversation.questions == ["where is save?"]


async def test_a_chat_of_older_clients_is_a_question_once(server: Server) -> None:
    client = await server.join()
    for is_ignored in (True, False):
        message = {"id": "1", "timestamp": 1, "message": "hello", "ignoreLegacy": is_ignored}
        client.link.say(DataPacket(user=UserPacket(payload=json.dumps(message).encode(), topic="lk-chat-topic")))
    client.link.say(DataPacket(chat_message=ChatMessage(message="hi")))
    client.link.say(DataPacket(chat_message=ChatMessage(message="gone", deleted=True)))

    assert server.conversation.questions == ["hello", "hi"]


async def test_commands_of_the_other_transports_are_obeyed(server: Server) -> None:
    client = await server.join()
    client.link.packets()
    client.link.say(event_packet(action="interrupt"))
    client.link.say(event_packet(action="ping", t=5))
    for packet in text_stream("events", '{"action": "audio_end"}', {}):
        client.link.say(packet)

    assert [type(command) for command in server.conversation.commands] == [
        Interrupt,
        type(server.conversation.commands[1]),
        AudioEnd,
    ]
    assert events(client.link.packets()) == [{"action": "pong", "sessionId": "r", "t": 5}]


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (event_packet(action="dance"), "UNKNOWN_ACTION"),
        (DataPacket(user=UserPacket(payload=b"{", topic="events")), "INVALID_MESSAGE"),
        (DataPacket(user=UserPacket(payload=b" " * 60_000, topic="lk-chat-topic")), "INVALID_MESSAGE"),
        (DataPacket(user=UserPacket(payload=b"[1]", topic="lk-chat-topic")), "INVALID_MESSAGE"),
        (DataPacket(chat_message=ChatMessage(message=" ")), "INVALID_MESSAGE"),
        (
            DataPacket(
                stream_header=DataStream.Header(topic="lk.chat", compression="DEFLATE_RAW", inline_content=b"x")
            ),
            "INVALID_MESSAGE",
        ),
    ],
)
async def test_a_malformed_message_is_told_and_changes_nothing(server: Server, packet: DataPacket, code: str) -> None:
    client = await server.join()
    client.link.packets()
    client.link.say(packet)

    assert [event["code"] for event in events(client.link.packets())] == [code]
    assert server.conversation.commands == []


async def test_what_is_no_packet_is_told(server: Server) -> None:
    client = await server.join()
    client.link.packets()
    client.link.events.on_data("_reliable", b"\xff\xff")
    client.link.events.on_data("_data_track", b"\xff\xff")

    assert [event["code"] for event in events(client.link.packets())] == ["INVALID_MESSAGE"]


async def test_nothing_but_malformed_messages_is_the_end(server: Server) -> None:
    client = await server.join()
    for _ in range(MAX_BAD_MESSAGES):
        client.link.events.on_data("_reliable", b"\xff\xff")

    leave = await client.until("leave")
    assert leave.reason == 4
    assert await client.closed() == 1000


async def test_bad_messages_between_good_ones_are_the_end_when_their_address_has_sent_too_many() -> None:
    async with serving(bad_messages=BadMessageBudget(3)) as server:
        client, other = await server.join(), await server.join("bob")
        for sender, times in ((other, 3), (client, 1)):
            for _ in range(times):
                sender.link.say(event_packet(action="dance"))
                sender.link.say(event_packet(action="ping"))

        assert (await client.until("leave")).reason == DisconnectReason.PARTICIPANT_REMOVED
        assert await client.closed() == 1000
        assert not other.ws.closed


async def test_a_flood_of_data_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "monotonic", lambda: 9.0)
    client, other = await server.join(), await server.join("bob")
    client.link.packets()
    other.link.packets()
    for _ in range(int(BURST) + 500):
        client.link.say(DataPacket(user=UserPacket(payload=b"x", topic="t")), LOSSY)

    assert [event["code"] for event in events(client.link.packets())] == ["RATE_LIMITED"]
    assert len(other.link.packets()) == BURST


async def test_a_packet_that_comes_twice_is_taken_once(server: Server) -> None:
    client = await server.join()
    for _ in range(2):
        client.link.say(DataPacket(chat_message=ChatMessage(message="hi"), sequence=1))

    assert server.conversation.questions == ["hi"]


async def test_who_may_not_send_data_is_not_heard(server: Server) -> None:
    client = await server.join(video={"canPublishData": False})

    client.link.say(DataPacket(chat_message=ChatMessage(message="hi")))

    assert server.conversation.questions == []


# Calls.


def call(client: Client, method: str, payload: str = "", to: str = "assistant") -> Any:
    """Call a method; what was answered."""
    client.link.packets()
    request = RpcRequest(id="r1", method=method, payload=payload, version=1, response_timeout_ms=5_000)
    client.link.say(DataPacket(rpc_request=request, destination_identities=[to]))
    packets = client.link.packets()
    assert [packet.WhichOneof("value") for packet in packets][:1] == ["rpc_ack"]
    return next(packet.rpc_response for packet in packets if packet.HasField("rpc_response"))


async def test_a_call_interrupts(server: Server) -> None:
    client = await server.join()

    assert call(client, "interrupt").payload == "{}"
    assert server.conversation.commands == [Interrupt()]


async def test_a_call_asks_what_was_said(server: Server) -> None:
    client = await server.join()
    server.conversation.emit(Transcript(1, Role.USER, "hello", final=True))
    server.conversation.emit(Transcript(1, Role.ASSISTANT, "Hi there.", final=True))
    server.conversation.emit(TurnEnded(1, 900, {}, Usage()))
    server.conversation.emit(Transcript(2, Role.ASSISTANT, "By the way", final=False))
    server.conversation.emit(Interrupted(2, 300, "By the"))
    server.conversation.emit(Interrupted(3, 0, ""))

    history = json.loads(call(client, "get_history").payload)
    assert history["sessionId"] == "r"
    said = [(each["role"], each["text"], each["heard_ms"], each["interrupted"]) for each in history["entries"]]
    assert said == [
        ("user", "hello", None, False),
        ("assistant", "Hi there.", 900, False),
        ("assistant", "By the", 300, True),
    ]
    assert len(json.loads(call(client, "get_history", '{"limit": 1}').payload)["entries"]) == 1


async def test_what_was_said_before_livekit_came_is_history_too(server: Server) -> None:
    conversation = await server.session_factory.get_or_create(
        Caller("u-ada", is_guest=False), SessionOptions(label="r", transport="websocket")
    )
    conversation.emit(Transcript(1, Role.USER, "hello", final=True))

    client = await server.join()

    (entry,) = json.loads(call(client, "get_history").payload)["entries"]
    assert (server.conversation, entry["text"]) == (conversation, "hello")


async def test_a_long_history_is_answered_from_its_newest_end(server: Server) -> None:
    client = await server.join()
    for turn in range(30):
        server.conversation.emit(
            Transcript(turn, Role.USER, f"{turn} " + "\N{GREEK SMALL LETTER PI}" * 500, final=True)
        )

    payload = call(client, "get_history").payload
    entries = json.loads(payload)["entries"]
    assert [entry["turn"] for entry in entries] == list(range(30 - len(entries), 30))
    assert 14_000 < len(payload.encode()) <= MAX_PAYLOAD


async def test_what_is_too_long_for_an_answer_is_left_out_of_it(server: Server) -> None:
    client = await server.join()
    server.conversation.emit(Transcript(1, Role.USER, "x" * 20_000, final=True))

    assert json.loads(call(client, "get_history").payload)["entries"] == []


async def test_a_call_changes_the_settings_of_one_microphone(server: Server) -> None:
    client = await server.join()

    answer = json.loads(call(client, "set_config", '{"vad": {"threshold": 0.8, "silence_ms": 300}}').payload)

    assert answer == {"vad": {"threshold": 0.8, "silence_ms": 300, "turn_model": "silence"}}
    assert server.conversation.turns is not None
    assert (
        server.conversation.turns.threshold,
        server.conversation.turns.audible_threshold,
        server.conversation.turns.silence,
    ) == (
        0.8,
        0.8,
        0.3,
    )


async def test_a_call_turns_the_voice_off_and_on(server: Server) -> None:
    client = await server.join()
    track = joined(client).other_participants[0].tracks[0].sid

    call(client, "set_config", '{"audio": false}')
    assert client.link.paused == {track}
    call(client, "set_config", '{"audio": true}')
    assert client.link.paused == set()


@pytest.mark.parametrize(
    ("method", "payload", "code", "sent"),
    [
        ("dance", "", 1400, "get_history, interrupt, set_config"),
        ("get_history", '{"limit": 0}', 1500, "limit"),
        ("get_history", "{", 1500, "limit"),
        ("set_config", "{", 1500, "not JSON"),
        ("set_config", "[]", 1500, "set_config takes"),
        ("set_config", '{"vad": 3}', 1500, "set_config takes"),
        ("set_config", '{"vad": {"threshold": 2}}', 1500, "set_config takes"),
        ("set_config", '{"vad": {"turn_model": "clever"}}', 1500, "set_config takes"),
        ("set_config", '{"vad": {"silence_ms": true}}', 1500, "set_config takes"),
        ("set_config", '{"audio": "yes"}', 1500, "set_config takes"),
        ("set_config", '{"voice": "Kore"}', 1500, "`voice` is chosen when a conversation starts"),
    ],
)
async def test_a_call_that_cannot_be_answered_says_why(
    server: Server, method: str, payload: str, code: int, sent: str
) -> None:
    error = call(await server.join(), method, payload).error

    assert error.code == code
    assert sent in error.message


async def test_a_call_to_nobody_is_answered_so(server: Server) -> None:
    assert call(await server.join(), "dance", to="carol").error.code == 1401


async def test_a_call_in_a_stream_is_answered(server: Server) -> None:
    client = await server.join()
    client.link.packets()
    attributes = {"lk.rpc_request_id": "r2", "lk.rpc_request_method": "interrupt", "lk.rpc_request_version": "2"}
    for packet in text_stream("lk.rpc_request", "", attributes, to=("assistant",)):
        client.link.say(packet)

    packets = client.link.packets()
    assert packets[0].rpc_ack.request_id == "r2"
    assert streams(packets, "lk.rpc_response")[0][1].attributes["lk.rpc_request_id"] == "r2"


# Media.


async def test_a_voice_is_heard_as_one_stream_over_all_its_tracks(server: Server) -> None:
    client = await server.join()
    await client.publish(mid="3")
    client.link.events.on_audio("3", chunk())
    client.link.events.on_audio("9", chunk())
    await client.offer(offer(*receiving("0"), sending("3", "mic", sends=False)))
    await client.publish(mid="4")
    client.link.events.on_audio("4", chunk())

    assert [round(each.pts, 3) for each in server.conversation.heard] == [0.0, 0.02]
    sent = await client.until("speakers_changed")
    assert sent.speakers[0].sid == joined(client).participant.sid


async def test_a_muted_microphone_is_not_heard(server: Server) -> None:
    client = await server.join()
    await client.publish(mid="3", muted=True)

    client.link.events.on_audio("3", chunk())

    assert server.conversation.heard == []


async def test_the_screen_is_seen_and_a_camera_is_not(server: Server) -> None:
    client = await server.join()
    await client.publish("cam", "5", video=True, source=TrackSource.CAMERA)
    await client.publish("screen", "6", video=True)
    plane = np.zeros((2, 2), np.uint8)
    frame = ScreenFrame(plane, plane, plane, full_range=True, arrived=0.0)

    client.link.events.on_frame("5", frame)
    client.link.events.on_frame("6", frame)
    client.link.events.on_pause("5")
    assert (server.conversation.frames, server.conversation.calls.count("unwatch")) == ([frame], 1)

    client.link.events.on_pause("6")
    assert server.conversation.calls.count("unwatch") == 2


async def test_a_client_can_say_which_video_is_the_screen(server: Server) -> None:
    client = await server.join()
    sid = await client.publish("cam", "5", video=True, source=TrackSource.CAMERA)
    assert client.link.listening == set()

    client.link.say(event_packet(action="tracks", mids={sid: "screen"}))
    assert client.link.listening == {"5"}
    client.link.say(event_packet(action="tracks", mids={sid: "camera"}))
    assert client.link.listening == set()


async def test_an_encrypted_track_is_left_alone(server: Server) -> None:
    client = await server.join()

    await client.publish(encryption="GCM")

    assert client.link.listening == set()


async def test_a_fault_of_what_is_heard_is_told(server: Server) -> None:
    client = await server.join()
    await client.publish(mid="3")
    error = AudioError("cannot be decoded", where="test")

    client.link.events.on_fault("3", error)
    client.link.events.on_fault("8", error)

    assert server.conversation.faults == [error]


def recording(sid: str, content: bytes, mime: str = "audio/opus", **attributes: str) -> list[DataPacket]:
    header = DataStream.Header(
        stream_id="p",
        topic="lk.agent.pre-connect-audio-buffer",
        mime_type=mime,
        attributes={"trackId": sid, "sampleRate": "48000", "channels": "1", **attributes},
        byte_header=DataStream.ByteHeader(name="preconnect-buffer"),
    )
    pieces = [content[start : start + 15_000] for start in range(0, len(content), 15_000)]
    chunks = [
        DataPacket(stream_chunk=DataStream.Chunk(stream_id="p", chunk_index=index, content=piece))
        for index, piece in enumerate(pieces)
    ]
    return [DataPacket(stream_header=header), *chunks, DataPacket(stream_trailer=DataStream.Trailer(stream_id="p"))]


def speech() -> bytes:
    with wave.open(str(DATA / "go-forward-ten-meters.wav")) as file:
        assert file.getframerate() == 16_000
        return bytes(file.readframes(file.getnframes()))


async def test_what_was_said_before_the_connection_is_heard_first(server: Server) -> None:
    client = await server.join()
    sid = await client.publish(mid="3", audio_features=["TF_PRECONNECT_BUFFER"])
    client.link.events.on_audio("3", chunk(level=76))  # this is in the recording too, which goes on
    await client.until("track_subscribed")
    client.link.events.on_audio("3", chunk(level=77))
    assert server.conversation.heard == []

    for packet in recording(sid, speech(), "audio/pcm", sampleRate="16000"):
        client.link.say(packet)
    await server.until(lambda: server.conversation.heard and server.conversation.heard[-1].rate == 48_000)
    client.link.events.on_audio("3", chunk(level=78))

    heard = server.conversation.heard
    assert b"".join(each.pcm for each in heard if each.rate == 16_000) == speech()
    assert [each.pts for each in heard] == sorted(each.pts for each in heard)
    assert heard[-1].pts == pytest.approx(len(speech()) / 32_000 + 0.02)


async def test_a_recording_that_cannot_be_decoded_is_told_and_live_audio_goes_on(server: Server) -> None:
    client = await server.join()
    sid = await client.publish(mid="3", audio_features=["TF_PRECONNECT_BUFFER"])
    client.link.packets()
    client.link.events.on_audio("3", chunk())
    await client.until("track_subscribed")
    client.link.events.on_audio("3", chunk())

    for packet in recording(sid, b"\xff" * 2_000):
        client.link.say(packet)

    await server.until(lambda: server.conversation.heard)
    assert [event["action"] for event in events(client.link.packets())] == ["error"]


async def test_what_waits_for_a_recording_is_heard_when_none_comes_though_the_microphone_is_muted(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(microphone, "MAX_WAIT", 0.1)
    client = await server.join()
    sid = await client.publish(mid="3", audio_features=["TF_PRECONNECT_BUFFER"])
    client.link.events.on_audio("3", chunk())
    await client.until("track_subscribed")
    client.link.events.on_audio("3", chunk())

    await client.send(mute=MuteTrackRequest(sid=sid, muted=True))
    await server.until(lambda: server.conversation.calls.count("silence") == 2)

    assert len(server.conversation.heard) == 1  # and what was open with it is closed


async def test_a_client_can_name_no_more_videos_than_it_can_have(server: Server) -> None:
    client = await server.join()
    session = client.link.events
    assert isinstance(session, ParticipantSession)

    for number in range(0, 10_000, 10):
        client.link.say(event_packet(action="tracks", mids={str(number + each): "camera" for each in range(10)}))

    assert len(session._media._selection._names) <= MAX_NAMES
    client.link.packets()
    client.link.say(event_packet(action="tracks", mids={"m" * 300: "camera"}))
    assert events(client.link.packets())[0]["code"] == "INVALID_MESSAGE"


async def test_a_recording_nobody_waits_for_is_not_heard(server: Server) -> None:
    client = await server.join()
    sid = await client.publish(mid="3")
    client.link.events.on_audio("3", chunk())

    for packet in recording(sid, speech(), "audio/pcm"):
        client.link.say(packet)
    await client.send(ping=1)
    await client.until("pong")

    assert len(server.conversation.heard) == 1
    assert TextInput("x") not in server.conversation.commands
