"""A peer against aiortc as its client, over real sockets."""

import asyncio
import json
import socket
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcsctptransport import SCTP_DATA_FIRST_FRAG, DataChunk
from aiortc.rtp import RtcpByePacket
from av import AudioFrame, Packet

from mediaserver.bad_messages import BadMessageBudget
from mediaserver.rtc.aiortc_patches.transceivers import MAX_REASSEMBLY
from mediaserver.rtc.config import RtcLimits
from mediaserver.rtc.sdp.offer import OfferError, parse_offer
from mediaserver.webrtc.events_channel import MAX_WAITING
from mediaserver.webrtc.peer import RtcPeer
from pipeline.errors import AudioError, FaultCode, FrameError, ProtocolError
from pipeline.events import EndReason, Interrupt, SessionEnded, State, StateChanged, TextInput
from pipeline.media import SpeechFrame
from pipeline.playout.opus_encoder import SILENCE_PACKET, OpusEncoder
from tests.support.rtc_harness import (
    TONE,
    Camera,
    ConnectedPeer,
    Microphone,
    Packets,
    connected_peer,
    loudest,
    picture,
    until,
)
from tests.support.video_frames import vp8_keyframe


def said(here: ConnectedPeer) -> list[dict[str, Any]]:
    return [json.loads(text) for text in here.messages]


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 1), (48_000, 2), (8_000, 1)])
async def test_a_tone_is_heard_at_its_pitch_whatever_rate_and_channels_it_was_sent_with(
    rate: int, channels: int
) -> None:
    async with connected_peer(Microphone(rate, channels)) as here:
        await until(lambda: len(here.conversation.chunks) >= 50)
        pcm = here.conversation.pcm()[-24_000:]
        assert abs(loudest(pcm, here.conversation.chunks[-1].rate) - TONE) < 10
        assert 4_000 < np.abs(pcm.astype(int)).max() < 12_000


async def test_chunks_follow_one_another_without_a_gap() -> None:
    async with connected_peer(Microphone()) as here:
        await until(lambda: len(here.conversation.chunks) >= 30)
        for chunk, after in zip(here.conversation.chunks, here.conversation.chunks[1:], strict=False):
            assert after.pts == pytest.approx(chunk.pts + chunk.duration)


async def test_noise_and_silence_are_heard_as_they_are() -> None:
    random = np.random.default_rng(1)
    async with (
        connected_peer(Microphone(make=lambda t: random.integers(-9_000, 9_000, len(t)))) as noisy,
        connected_peer(Microphone(make=np.zeros_like)) as quiet,
    ):
        await until(lambda: len(noisy.conversation.chunks) >= 25 and len(quiet.conversation.chunks) >= 25)
        assert noisy.conversation.pcm()[-9_600:].std() > 500
        assert np.abs(quiet.conversation.pcm().astype(int)).max() < 10
        assert not noisy.conversation.faults + quiet.conversation.faults


async def test_a_microphone_that_stops_is_heard_as_silence_until_it_goes_on() -> None:
    microphone = Microphone()
    async with connected_peer(microphone, lull=0.2) as here:
        await until(lambda: len(here.conversation.chunks) >= 20)
        microphone.is_open.clear()
        await until(lambda: not any(here.conversation.chunks[-1].pcm))
        await until(lambda: not np.any(here.conversation.pcm()[-24_000:]))
        microphone.is_open.set()
        await until(lambda: any(here.conversation.chunks[-1].pcm))


async def test_bye_pauses_a_track_and_does_not_end_it() -> None:
    async with connected_peer(Microphone(), Camera(picture(320, 240))) as here:
        await until(lambda: here.conversation.chunks and here.conversation.frames)
        for sender in here.client.getSenders():
            await sender._send_rtcp([RtcpByePacket(sources=[sender._ssrc])])
        await until(lambda: "unwatch" in here.conversation.calls)
        heard, seen = len(here.conversation.chunks), len(here.conversation.frames)
        await until(lambda: len(here.conversation.chunks) > heard + 10 and len(here.conversation.frames) > seen + 3)
        assert "silence" not in here.conversation.calls


async def test_lost_packets_and_packets_without_payload_break_neither_time_nor_the_decoder() -> None:
    packets = [(SILENCE_PACKET, 960 * at) for at in range(30) if at not in (10, 11)] + [
        (b"", 960 * 30),
        *((SILENCE_PACKET, 960 * at) for at in range(31, 60)),
    ]
    async with connected_peer(Packets(packets), lull=60) as here:
        await until(lambda: here.conversation.chunks and here.conversation.chunks[-1].pts >= 50 * 0.02)
        total = sum(chunk.duration for chunk in here.conversation.chunks)
        assert total == pytest.approx(here.conversation.chunks[-1].pts + here.conversation.chunks[-1].duration)
        assert not here.conversation.faults


async def test_audio_that_cannot_be_decoded_is_reported_once() -> None:
    garbage = [(b"\xff\xff\xff" + bytes([200] * 30), 960 * at) for at in range(30)]
    async with connected_peer(Packets([*garbage, *((SILENCE_PACKET, 960 * at) for at in range(30, 33))])) as here:
        await until(lambda: here.conversation.chunks)  # which came after all that cannot be decoded
        assert [type(fault) for fault in here.conversation.faults] == [AudioError]


async def test_the_screen_is_seen_in_every_size_it_takes() -> None:
    sizes = [(320, 240), (641, 481), (3840, 2160), (160, 90)]
    pictures = [picture(*size) for size in sizes for _ in range(3)]
    async with connected_peer(Camera(*pictures)) as here:
        await until(lambda: here.conversation.frames and here.conversation.frames[-1].width == 160, within=40)
        seen = [(frame.width, frame.height) for frame in here.conversation.frames]
        assert list(dict.fromkeys(seen)) == sizes
        for frame in here.conversation.frames:
            assert frame.u.shape == frame.v.shape == ((frame.height + 1) // 2, (frame.width + 1) // 2)
            assert abs(int(np.median(frame.y)) - 200) < 12
            assert abs(int(np.median(frame.u)) - 90) < 12
            assert abs(int(np.median(frame.v)) - 160) < 12
            assert not frame.full_range


async def test_corrupt_video_is_reported_once_and_good_video_is_seen_after_it() -> None:
    junk = [Packet(bytes([7 * at % 256] * 400)) for at in range(1, 12)]
    async with connected_peer(Camera(*junk, picture(320, 240))) as here:
        await until(lambda: here.conversation.frames)
        assert [type(fault) for fault in here.conversation.faults] == [FrameError]


async def test_a_video_too_large_to_decode_is_refused_and_the_next_key_frame_is_seen() -> None:
    huge = [Packet(vp8_keyframe(16_383, 16_383)) for _ in range(3)]
    async with connected_peer(Camera(*huge, picture(320, 240))) as here:
        await until(lambda: here.conversation.faults)
        assert here.conversation.faults[0].code is FaultCode.FRAME_PROCESSING_ERROR
        assert "16383x16383" in str(here.conversation.faults[0])
        await until(lambda: here.conversation.frames)
        assert (here.conversation.frames[0].width, here.conversation.frames[0].height) == (320, 240)


async def test_only_the_screen_is_seen_and_names_say_which_it_is() -> None:
    async with connected_peer(Camera(picture(320, 240)), Camera(picture(160, 120))) as here:
        await until(lambda: len(here.conversation.frames) > 5)
        assert {frame.width for frame in here.conversation.frames} == {320}
        assert here.channel is not None
        here.channel.send(json.dumps({"action": "tracks", "mids": {"0": "camera", "1": "screen"}}))
        await until(lambda: here.conversation.frames[-1].width == 160)
        assert "unwatch" in here.conversation.calls
        assert not here.conversation.commands
        assert not here.conversation.faults
        here.conversation.frames.clear()
        await until(lambda: len(here.conversation.frames) > 5)
        assert {frame.width for frame in here.conversation.frames} == {160}


async def test_two_videos_without_ssrc_lines_are_told_apart() -> None:
    def without_ssrc(sdp: str) -> str:
        return "\r\n".join(line for line in sdp.split("\r\n") if not line.startswith("a=ssrc"))

    async with connected_peer(Camera(picture(320, 240)), Camera(picture(160, 120)), edit=without_ssrc) as here:
        await until(lambda: len(here.conversation.frames) > 5)
        assert {frame.width for frame in here.conversation.frames} == {320}


async def test_video_and_events_work_without_audio() -> None:
    async with connected_peer(Camera(picture(320, 240))) as here:
        await until(lambda: here.conversation.frames and here.messages)
        here.peer.send_audio(SpeechFrame(1, b"", SILENCE_PACKET))
        here.peer.flush_audio()


async def test_a_client_that_only_types_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.CONSENT_INTERVAL", 0.1)
    async with connected_peer(limits=RtcLimits(silence=0.5, tick=0.05)) as here:
        assert here.channel is not None
        pulse = here.peer._connection._liveness
        assert pulse is not None
        begin = pulse.last
        await until(lambda: pulse.last > begin + 1.0)  # the client's machine is heard, though nothing is said
        here.channel.send('{"action": "interrupt"}')
        await until(lambda: here.conversation.commands == [Interrupt()])


class AudioRecorder:
    """Takes what the client hears."""

    def __init__(self, client: RTCPeerConnection):
        self.heard: list[np.ndarray[Any, Any]] = []
        self.stamps: list[int] = []
        self._track = client.getReceivers()[0].track
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while True:
                frame = await self._track.recv()
                assert isinstance(frame, AudioFrame)
                assert frame.pts is not None
                self.stamps.append(frame.pts)
                self.heard.append(frame.to_ndarray().reshape(-1, 2)[:, 0])
        except MediaStreamError:
            return


def speech(seconds: float, encoder: OpusEncoder) -> list[SpeechFrame]:
    """A 500 Hz tone as the assistant's voice."""
    times = np.arange(int(seconds * 24_000)) / 24_000
    pcm = (9_000 * np.sin(2 * np.pi * 500 * times)).astype(np.int16).tobytes()
    pieces = [pcm[at : at + 960] for at in range(0, len(pcm), 960)]
    return [SpeechFrame(1, piece, encoder.encode(piece)) for piece in pieces]


async def test_the_assistants_voice_arrives_and_a_flush_cuts_it() -> None:
    async with connected_peer("audio") as here:
        recorder = AudioRecorder(here.client)
        frames = speech(1.0, OpusEncoder())
        for frame in frames:
            here.peer.send_audio(frame)
            await asyncio.sleep(0.02)
        await until(lambda: len(recorder.heard) >= 40)
        assert abs(loudest(np.concatenate(recorder.heard[5:35]), 48_000) - 500) < 20
        for frame in frames[:9]:
            here.peer.send_audio(frame)
        here.peer.flush_audio()
        # The end of the last frame heard, as its beginning still overlaps the tone.
        await until(lambda: np.abs(recorder.heard[-1][480:].astype(int)).max() < 500)
        spoken = sum(np.abs(piece.astype(int)).max() > 2_000 for piece in recorder.heard)
        assert spoken <= len(frames) + 1


async def test_the_voices_time_follows_the_clock_across_silence() -> None:
    async with connected_peer("audio") as here:
        recorder = AudioRecorder(here.client)
        encoder, began = OpusEncoder(), []
        for _ in range(2):
            begun = len(recorder.stamps)
            began.append(time.monotonic())
            for frame in speech(0.3, encoder):
                here.peer.send_audio(frame)
                await asyncio.sleep(0.02)
            await until(lambda begun=begun: len(recorder.stamps) >= begun + 15)  # type: ignore[misc]
            await asyncio.sleep(0.2)  # the clock that stamps must follow is the machine's own
        steps = np.diff(recorder.stamps)
        assert steps.min() == 960
        assert 0.1 * 48_000 < steps.max() < (began[1] - began[0]) * 48_000


async def test_a_client_that_only_sends_is_sent_nothing() -> None:
    def as_obs(sdp: str) -> str:
        return sdp.replace("a=sendrecv", "a=sendonly")

    async with connected_peer(Microphone(), events=False, edit=as_obs) as here:
        await until(lambda: len(here.conversation.chunks) > 5)
        here.peer.send_audio(SpeechFrame(1, b"", SILENCE_PACKET))
        for _ in range(MAX_WAITING + 5):
            here.peer.send_event(StateChanged(State.IDLE))
        assert not here.peer.is_over
        assert "a=recvonly" in here.client.remoteDescription.sdp


async def test_extra_audio_sections_are_answered_inactive() -> None:
    async with connected_peer(Microphone(), Microphone()) as here:
        await until(lambda: len(here.conversation.chunks) > 5)
        assert here.client.remoteDescription.sdp.count("a=inactive") == 1


async def test_an_offer_whose_data_comes_first_connects() -> None:
    configuration = RTCConfiguration([], alwaysNegotiateDataChannels=True)
    async with connected_peer(
        Microphone(), Camera(picture(320, 240)), events=False, configuration=configuration
    ) as here:
        assert here.client.remoteDescription.sdp.index("m=application") < here.client.remoteDescription.sdp.index(
            "m=audio"
        )
        await until(lambda: here.conversation.chunks and here.conversation.frames)


async def test_events_told_before_the_channel_opens_arrive_in_order() -> None:
    async with connected_peer() as here:
        here.peer.send_event(StateChanged(State.LISTENING))
        await until(lambda: len(here.messages) >= 2)
        assert [(event["action"], event["sessionId"]) for event in said(here)] == [
            ("session_started", "label-1"),
            ("state", "label-1"),
        ]


async def test_commands_reach_the_conversation_and_bad_ones_lose_nothing() -> None:
    async with connected_peer() as here:
        assert here.channel is not None
        here.channel.send('{"action": "text_input", "text": "hello"}')
        here.channel.send("{nonsense")
        here.channel.send(b"\xff\xfe")
        here.channel.send('{"action": "fly"}')
        here.channel.send('{"action": "interrupt", "padding": "' + "x" * 70_000 + '"}')
        here.channel.send('{"action": "interrupt"}')
        await until(lambda: len(here.conversation.commands) == 2)
        assert here.conversation.commands == [TextInput("hello"), Interrupt()]
        await until(lambda: sum(event["action"] == "error" for event in said(here)) == 4)
        codes = [event["code"] for event in said(here) if event["action"] == "error"]
        assert codes == ["INVALID_MESSAGE", "INVALID_MESSAGE", "UNKNOWN_ACTION", "PAYLOAD_TOO_LARGE"]


async def test_twenty_bad_messages_in_a_row_end_the_peer() -> None:
    async with connected_peer() as here:
        assert here.channel is not None
        for _ in range(19):
            here.channel.send("?")
        here.channel.send('{"action": "ping"}')
        for _ in range(19):
            here.channel.send("?")
        await until(lambda: len(here.messages) >= 39)
        assert not here.peer.is_over
        here.channel.send("?")
        await until(lambda: "detach" in here.conversation.calls)
        await until(lambda: sum(event["action"] == "error" for event in said(here)) == 39)


async def test_bad_messages_between_good_ones_end_the_peer_when_its_address_has_sent_too_many() -> None:
    async with connected_peer(bad_messages=BadMessageBudget(3)) as here:
        assert here.channel is not None
        for _ in range(4):
            assert not here.peer.is_over
            here.channel.send("?")
            here.channel.send('{"action": "interrupt"}')
        await until(lambda: "detach" in here.conversation.calls)
        await until(lambda: sum(event["action"] == "error" for event in said(here)) == 4)


async def test_a_message_that_never_ends_takes_bounded_memory() -> None:
    async with connected_peer("audio") as here:
        sctp: Any = here.peer._connection.raw.sctp
        window = sctp._advertised_rwnd
        for number in range(1, 4_000):
            piece = DataChunk(flags=SCTP_DATA_FIRST_FRAG if number == 1 else 0)
            piece.stream_id, piece.protocol, piece.user_data = 1, 51, bytes(1_000)
            piece.tsn = (sctp._last_received_tsn + 1) % (1 << 32)
            await sctp._receive_data_chunk(piece)
        kept = sum(len(piece.user_data) for stream in sctp._inbound_streams.values() for piece in stream.reassembly)
        assert MAX_REASSEMBLY <= kept < window + MAX_REASSEMBLY + 2_000


async def test_a_channel_of_another_name_is_ignored() -> None:
    async with connected_peer() as here:
        other = here.client.createDataChannel("other")
        await until(lambda: other.readyState == "open")
        other.send('{"action": "interrupt"}')
        assert here.channel is not None
        here.channel.send('{"action": "text_input", "text": "hello"}')
        await until(lambda: here.conversation.commands)
        assert here.conversation.commands == [TextInput("hello")]


async def test_a_client_that_takes_no_events_is_disconnected() -> None:
    async with connected_peer(is_connected=False) as here:
        for _ in range(MAX_WAITING + 1):
            here.peer.send_event(StateChanged(State.IDLE))
        await until(lambda: "detach" in here.conversation.calls)
        assert here.peer._close_reason == FaultCode.SLOW_CONSUMER


async def test_a_client_that_opens_no_channel_wants_no_events() -> None:
    async with connected_peer(Microphone(), events=True, limits=RtcLimits(connect=1.0, tick=0.05)) as here:
        pass
    async with connected_peer(Microphone(), limits=RtcLimits(connect=0.1, tick=0.05), is_connected=False) as here:
        here.peer._connection.connected_at = asyncio.get_running_loop().time()
        await until(lambda: here.peer._channel.is_flushed)  # nobody is waited for any more
        for _ in range(MAX_WAITING + 5):
            here.peer.send_event(StateChanged(State.IDLE))
        assert not here.peer.is_over


async def test_the_end_is_sent_before_clients_are_disconnected() -> None:
    async with connected_peer() as here:
        here.peer.send_event(StateChanged(State.IDLE))
        here.peer.disconnect(EndReason.IDLE)
        here.peer.disconnect(EndReason.SHUTDOWN)
        await until(lambda: here.closed)
        await until(lambda: here.client.connectionState == "closed")
        assert said(here)[-1] == {"action": "session_ended", "sessionId": "label-1", "reason": "idle"}
        assert here.conversation.calls.count("detach") == 1
        here.peer.send_event(StateChanged(State.IDLE))


async def test_the_end_of_a_session_is_sent_once() -> None:
    async with connected_peer() as here:
        here.peer.send_event(SessionEnded(EndReason.CLIENT))
        here.peer.disconnect(EndReason.CLIENT)
        await until(lambda: here.client.connectionState == "closed")
        assert sum(event["action"] == "session_ended" for event in said(here)) == 1


async def test_a_client_that_hangs_up_is_forgotten_at_once() -> None:
    async with connected_peer(Microphone(), Camera(picture(320, 240))) as here:
        await until(lambda: here.conversation.chunks and here.conversation.frames)
        await here.client.close()
        await until(lambda: here.closed, within=3)
        assert here.conversation.calls.count("detach") == 1


async def test_a_client_that_vanishes_is_noticed() -> None:
    async with connected_peer(Microphone(), limits=RtcLimits(silence=0.6, tick=0.05)) as here:
        await until(lambda: here.conversation.chunks)
        ice = here.client.getTransceivers()[0].receiver.transport.transport
        for protocol in ice._connection._protocols:
            protocol.transport.abort()
        await until(lambda: here.closed, within=4)
        assert here.peer._close_reason == "nothing heard any more"


async def test_a_client_that_never_connects_is_given_up() -> None:
    async with connected_peer(Microphone(), is_connected=False, limits=RtcLimits(connect=0.3, tick=0.05)) as here:
        await until(lambda: here.closed)
        assert here.peer._close_reason == "never connected"
        assert here.conversation.calls == ["attach", "detach"]


async def test_closing_from_many_places_at_once_closes_once() -> None:
    async with connected_peer(Microphone(), Camera(picture(320, 240))) as here:
        await until(lambda: here.conversation.frames)
        await asyncio.gather(*(here.peer.close() for _ in range(5)))
        await here.peer.close()
        assert here.closed == 1
        assert here.conversation.calls.count("detach") == 1
        here.peer.add_candidate("candidate:1 1 udp 1 192.0.2.1 9 typ host")


async def test_closing_while_connecting_leaves_nothing() -> None:
    for delay in (0.0, 0.005, 0.02, 0.03):
        async with connected_peer(Microphone(), Camera(picture(320, 240)), is_connected=False) as here:
            answer = here.peer._connection.raw.localDescription
            await here.client.setRemoteDescription(answer)
            await asyncio.sleep(delay)
            await here.peer.close()
        assert here.closed == 1


async def test_an_empty_datagram_from_anywhere_does_no_harm() -> None:
    async with connected_peer(Microphone()) as here:
        await until(lambda: here.conversation.chunks)
        ice = here.peer._connection.transport.transport
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for candidate in ice.iceGatherer.getLocalCandidates():
                if ":" not in candidate.ip:
                    stranger.sendto(b"", (candidate.ip, candidate.port))
        heard = len(here.conversation.chunks)
        await until(lambda: len(here.conversation.chunks) > heard + 20)


async def test_candidates_that_cannot_be_reached_do_not_block_those_that_can() -> None:
    real: list[str] = []

    def hide(sdp: str) -> str:
        real.extend(line for line in sdp.split("\r\n") if line.startswith("a=candidate"))
        kept = [line for line in sdp.split("\r\n") if not line.startswith("a=candidate")]
        return "\r\n".join(kept)

    async with connected_peer(Microphone(), edit=hide, is_connected=False) as here:
        answer = here.peer._connection.raw.localDescription
        for number in range(5):
            here.peer.add_candidate(f"candidate:{number} 1 udp 2 nobody-{number}.local 9 typ host")
        here.peer.add_candidate("candidate:9 1 tcp 1 192.0.2.7 9 typ host tcptype active")
        for line in real:
            here.peer.add_candidate(line)
        with pytest.raises(ProtocolError, match="candidate:<foundation>"):
            here.peer.add_candidate("candidate:nonsense")
        # The client cannot reach us, as it is told no address: we must reach it.
        sdp = "\r\n".join(line for line in answer.sdp.split("\r\n") if "candidate" not in line)
        await here.client.setRemoteDescription(type(answer)(sdp, "answer"))
        await until(lambda: here.conversation.chunks, within=5)


async def test_an_offer_that_aiortc_cannot_answer_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected_peer(Microphone()) as here:

        async def refuse(_: object) -> None:
            raise ValueError("no")

        offer = parse_offer(here.client.localDescription.sdp)
        peer = RtcPeer(here.conversation, offer, config=here.peer._config, on_closed=lambda: None)
        monkeypatch.setattr(peer._connection.raw, "setRemoteDescription", refuse)
        with pytest.raises(OfferError):
            await peer.answer()
        await peer.close()
        assert here.conversation.calls == ["attach", "attach", "detach"]


async def test_a_peer_that_was_never_answered_can_be_closed() -> None:
    async with connected_peer(Microphone()) as here:
        offer = parse_offer(here.client.localDescription.sdp)
        peer = RtcPeer(
            here.conversation, offer, config=here.peer._config, on_closed=lambda: here.messages.append("closed")
        )
        await peer.close()
        assert "closed" in here.messages


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_decoder_that_died_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected_peer(Camera(picture(320, 240))) as here:
        await until(lambda: here.conversation.frames)
        (video,) = here.peer._media.videos
        assert video._intake._thread is not None
        inbox = video._intake._inbox
        type(inbox).put(inbox, (SimpleNamespace(name="no codec"), SimpleNamespace(data=b"x")))
        await until(lambda: here.conversation.faults)
        assert [type(fault) for fault in here.conversation.faults] == [FrameError]


async def test_a_microphone_needs_no_thread() -> None:
    def only_sent(sdp: str) -> str:  # or the client would have a decoder of its own
        return sdp.replace("a=sendrecv", "a=sendonly")

    async with connected_peer(Microphone(), Camera(picture(320, 240)), edit=only_sent) as here:
        await until(lambda: here.conversation.chunks and here.conversation.frames)
        names = [thread.name for thread in threading.enumerate()]
        assert "video-decoder" in names
        assert "audio-decoder" not in names


async def test_senders_are_told_that_lost_packets_can_be_made_of_the_next_ones() -> None:
    async with connected_peer(Microphone()) as here:
        lines = here.client.remoteDescription.sdp.split("\r\n")
        (opus,) = [line.split()[0].split(":")[1] for line in lines if "opus/48000" in line]
        assert f"a=fmtp:{opus} useinbandfec=1" in lines


async def test_a_bug_in_the_conversation_closes_the_peer_and_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected_peer(Microphone()) as here:
        await until(lambda: here.conversation.chunks)

        def fail(*_: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(here.conversation, "push_audio", fail)
        await until(lambda: here.closed)
        assert here.conversation.calls[-1] == "detach"
