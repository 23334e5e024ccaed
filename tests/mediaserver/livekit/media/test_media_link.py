"""Links against aiortc as their client, over real sockets."""

import asyncio
from functools import partial

import numpy as np
import pytest
from aiortc import RTCSessionDescription
from aiortc.rtp import RtcpByePacket, RtpPacket

from mediaserver.livekit.media.forwarded_track import KEYFRAME_PERIOD
from mediaserver.livekit.media.media_link import MAX_NEGOTIATIONS
from mediaserver.livekit.media.types import LOSSY, RELIABLE, LinkState, MissingSections, Outgoing, Target
from mediaserver.rtc.aiortc_patches.media import received
from mediaserver.rtc.config import RtcLimits
from mediaserver.rtc.sdp.offer import OfferError
from pipeline.errors import ProtocolError
from pipeline.playout.opus_encoder import OpusEncoder
from tests.support.media_link_harness import VOICE, Client, client, mid_of
from tests.support.rtc_harness import TONE, Camera, Microphone, loudest, picture, until

HUMAN = Outgoing("TR_human", "PA_human|TR_human", "audio")
CAMERA = Outgoing("TR_camera", "PA_human|TR_camera", "video")


def speech(seconds: float, frequency: float = 500) -> list[bytes]:
    """A tone as the assistant's voice."""
    encoder = OpusEncoder()
    times = np.arange(int(seconds * 24_000)) / 24_000
    pcm = (9_000 * np.sin(2 * np.pi * frequency * times)).astype(np.int16).tobytes()
    return [encoder.encode(pcm[at : at + 960]) for at in range(0, len(pcm), 960)]


async def test_the_voice_goes_into_a_section_that_only_receives_under_its_names() -> None:
    async with client() as here:
        here.link.speak(VOICE)
        here.prepare()
        answer = await here.negotiate()
        await here.connected()
        assert list(answer.sent.values()) == ["TR_voice"]
        (mid,) = answer.sent
        section = answer.sdp.split("m=")[1 + [s.mid for s in answer.sections].index(mid)]
        assert "a=sendonly" in section
        assert "a=msid:PA_assistant|TR_voice TR_voice\r\n" in section
        assert answer.sdp.count("a=inactive") == 5
        await say(here, mid)
        assert here.events.states == [LinkState.CONNECTED]


async def test_what_is_published_later_is_heard_and_seen_if_it_is_wanted() -> None:
    async with client() as here:
        here.link.speak(VOICE)
        here.prepare()
        await here.negotiate()
        microphone, camera = here.publish(Microphone()), here.publish(Camera(picture(320, 240)))
        answer = await here.negotiate()
        heard, seen = mid_of(answer, microphone), mid_of(answer, camera)
        here.link.listen(heard, is_wanted=True)
        here.link.listen(seen, is_wanted=True)
        await until(lambda: len(here.events.chunks.get(heard, ())) > 30 and here.events.frames.get(seen))
        assert abs(loudest(here.events.pcm(heard)[-24_000:], here.events.chunks[heard][0].rate) - TONE) < 10
        assert {frame.width for frame in here.events.frames[seen]} == {320}
        assert not here.events.faults


async def test_packets_go_both_ways_on_the_channels_the_client_makes() -> None:
    async with client() as here:
        assert here.link.send(RELIABLE, b"early")
        here.prepare()
        await here.negotiate()
        await here.connected()
        for label in (RELIABLE, LOSSY):
            here.channels[label].send(b"up " + label.encode())
        await until(lambda: len(here.events.data) == 2)
        assert sorted(here.events.data) == [(LOSSY, b"up _lossy"), (RELIABLE, b"up _reliable")]
        assert here.link.send(LOSSY, b"down")
        assert here.link.send(RELIABLE, b"down")
        await until(lambda: len(here.messages) == 3)
        assert sorted(here.messages) == [(LOSSY, b"down"), (RELIABLE, b"down"), (RELIABLE, b"early")]


async def say(here: Client, mid: str) -> None:
    """Play speech, and see that it is heard in a section."""
    sink = here.sinks[mid]
    before = len(sink.heard)
    for frame in speech(0.6):
        here.link.send_audio(frame)
        await asyncio.sleep(0.02)
    await until(lambda: len(sink.heard) >= before + 25)
    assert abs(loudest(sink.sound(15), 48_000) - 500) < 20


def arrivals(here: Client, mid: str) -> list[int]:
    """The sequence numbers of what comes in a section from now on, wanted or not."""
    receiver = here.link._publisher.connection.section(mid).receiver
    handle, numbers = receiver._handle_rtp_packet, list[int]()

    async def note(packet: RtpPacket, arrival_time_ms: int) -> None:
        await handle(packet, arrival_time_ms=arrival_time_ms)
        numbers.append(packet.sequence_number)

    vars(receiver)["_handle_rtp_packet"] = note
    return numbers


async def more(numbers: list[int], count: int) -> None:
    """Wait until so many more have come."""
    before = len(numbers)
    await until(lambda: len(numbers) >= before + count)


def both_come(here: Client, heard: str, seen: str) -> bool:
    return bool(here.events.frames.get(seen) and here.events.chunks.get(heard))


async def test_what_is_unpublished_ends_and_what_is_published_again_is_heard() -> None:
    async with client() as here:
        here.prepare()
        await here.negotiate()
        ended: dict[str, int] = {}
        for _ in range(3):
            microphone, camera = Microphone(), Camera(picture(320, 240))
            here.publish(microphone), here.publish(camera)
            answer = await here.negotiate()
            heard, seen = mid_of(answer, microphone.id), mid_of(answer, camera.id)
            for mid in (heard, seen):
                here.link.listen(mid, is_wanted=True)
            await until(partial(both_come, here, heard, seen))
            assert {mid: len(here.events.chunks[mid]) for mid in ended} == ended
            for transceiver in here.raw.getTransceivers():
                if transceiver.mid in (heard, seen):
                    transceiver.direction = "inactive"
            answer = await here.negotiate()
            assert not any(section.sends for section in answer.sections if section.kind != "application")
            assert not here.link._publisher._incoming
            ended[heard] = len(here.events.chunks[heard])
        assert len(here.answers[-1].sections) == 7 + 6


async def test_a_section_that_turns_active_again_is_heard_again() -> None:
    async with client() as here:
        microphone = Microphone()
        here.publish(microphone)
        mid = mid_of(await here.negotiate(), microphone.id)
        here.link.listen(mid, is_wanted=True)
        await until(lambda: len(here.events.chunks.get(mid, ())) > 10)
        (transceiver,) = here.raw.getTransceivers()
        transceiver.direction = "inactive"
        await here.negotiate()
        here.events.chunks.clear()
        transceiver.direction = "sendonly"
        await here.negotiate()
        await until(lambda: len(here.events.chunks.get(mid, ())) > 20)
        assert abs(loudest(here.events.pcm(mid)[-19_200:], here.events.chunks[mid][0].rate) - TONE) < 20


async def test_what_is_not_wanted_is_not_decoded_and_what_no_longer_is_neither() -> None:
    async with client() as here:
        microphone, camera = here.publish(Microphone()), here.publish(Camera(picture(320, 240)))
        answer = await here.negotiate()
        heard, seen = mid_of(answer, microphone), mid_of(answer, camera)
        packets, pictures = arrivals(here, heard), arrivals(here, seen)
        await here.connected()
        await asyncio.gather(more(packets, 15), more(pictures, 10))
        assert not here.events.chunks
        assert not here.events.frames
        for mid in (heard, seen):
            here.link.listen(mid, is_wanted=True)
        await until(lambda: here.events.frames.get(seen) and here.events.chunks.get(heard))
        for mid in (heard, seen):
            here.link.listen(mid, is_wanted=False)
        await more(pictures, 5)  # what was being decoded is over
        counts = len(here.events.chunks[heard]), len(here.events.frames[seen])
        await asyncio.gather(more(packets, 15), more(pictures, 10))
        assert counts == (len(here.events.chunks[heard]), len(here.events.frames[seen]))


async def test_a_muted_microphone_is_heard_as_silence() -> None:
    async with client(lull=0.2) as here:
        microphone = Microphone()
        here.publish(microphone)
        mid = mid_of(await here.negotiate(), microphone.id)
        here.link.listen(mid, is_wanted=True)
        await until(lambda: len(here.events.chunks.get(mid, ())) > 20)
        microphone.is_open.clear()
        await until(lambda: not np.any(here.events.pcm(mid)[-24_000:]))


async def test_a_sender_that_says_goodbye_pauses() -> None:
    async with client() as here:
        camera = here.publish(Camera(picture(320, 240)))
        mid = mid_of(await here.negotiate(), camera)
        here.link.listen(mid, is_wanted=True)
        await until(lambda: here.events.frames.get(mid))
        (sender,) = here.raw.getSenders()
        await sender._send_rtcp([RtcpByePacket(sources=[sender._ssrc])])
        await until(lambda: here.events.pauses == [mid])


async def test_offers_that_come_before_the_connection_stands_are_answered_in_turn() -> None:
    async with client() as here:
        here.link.speak(VOICE)
        here.prepare()
        microphone = here.publish(Microphone())
        await here.raw.setLocalDescription(await here.raw.createOffer())
        sdp = here.raw.localDescription.sdp
        answers = await asyncio.gather(*(here.link.answer(sdp) for _ in range(3)))
        assert [answer.sent for answer in answers] == [answers[0].sent] * 3
        await here.raw.setRemoteDescription(RTCSessionDescription(answers[-1].sdp, "answer"))
        mid = mid_of(answers[-1], microphone)
        here.link.listen(mid, is_wanted=True)
        await until(lambda: len(here.events.chunks.get(mid, ())) > 10)


async def test_offers_beyond_a_bound_are_refused_and_those_before_are_answered() -> None:
    async with client() as here:
        here.prepare()
        await here.raw.setLocalDescription(await here.raw.createOffer())
        sdp = here.raw.localDescription.sdp
        jobs = (here.link.answer(sdp) for _ in range(MAX_NEGOTIATIONS + 5))
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert [isinstance(result, OfferError) for result in results] == [False] * MAX_NEGOTIATIONS + [True] * 5


async def test_whoever_waits_for_an_answer_may_give_up_without_harm() -> None:
    async with client() as here:
        here.prepare()
        await here.raw.setLocalDescription(await here.raw.createOffer())
        impatient = asyncio.create_task(here.link.answer(here.raw.localDescription.sdp))
        await asyncio.sleep(0)
        impatient.cancel()
        await here.negotiate()
        await here.connected()
        assert here.events.states == [LinkState.CONNECTED]


async def test_an_ice_restart_is_answered_and_the_old_path_stays() -> None:
    async with client() as here:
        here.link.speak(VOICE)
        here.prepare()
        answer = await here.negotiate()
        await here.connected()
        (mid,) = answer.sent

        def restart(sdp: str) -> str:
            lines = [line for line in sdp.split("\r\n") if not line.startswith("a=candidate")]
            lines = ["a=ice-ufrag:restarted" if line.startswith("a=ice-ufrag") else line for line in lines]
            return "\r\n".join("a=ice-pwd:" + "n" * 24 if line.startswith("a=ice-pwd") else line for line in lines)

        again = await here.negotiate(restart)
        ufrag = [line for line in answer.sdp.split("\r\n") if line.startswith("a=ice-ufrag")]
        assert ufrag == [line for line in again.sdp.split("\r\n") if line.startswith("a=ice-ufrag")]
        await say(here, mid)
        assert here.events.states == [LinkState.CONNECTED]


async def test_humans_hear_and_see_one_another_as_it_was_encoded() -> None:
    async with client() as speaker, client() as listener:
        microphone, camera = Microphone(), Camera(picture(320, 240, 90))
        speaker.publish(microphone), speaker.publish(camera)
        answer = await speaker.negotiate()
        listener.link.speak(VOICE)
        listener.prepare()
        listener.link.forward(HUMAN, speaker.link, mid_of(answer, microphone.id))
        listener.link.forward(CAMERA, speaker.link, mid_of(answer, camera.id))
        sent = {track: mid for mid, track in (await listener.negotiate()).sent.items()}
        assert sent.keys() == {"TR_voice", "TR_human", "TR_camera"}
        audio, video = listener.sinks[sent["TR_human"]], listener.sinks[sent["TR_camera"]]
        await until(lambda: len(audio.heard) > 60 and len(video.seen) > 20)
        assert abs(loudest(audio.sound(30), 48_000) - TONE) < 20
        assert {(width, height) for width, height, _ in video.seen} == {(320, 240)}
        assert all(abs(luma - 90) < 12 for *_, luma in video.seen)
        assert not speaker.events.chunks
        assert not speaker.events.frames


async def test_a_key_frame_that_one_needs_is_asked_of_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client() as speaker, client() as listener:
        camera = Camera(picture(320, 240))
        speaker.publish(camera)
        source = mid_of(await speaker.negotiate(), camera.id)
        listener.prepare()
        listener.link.forward(CAMERA, speaker.link, source)
        (mid,) = (await listener.negotiate()).sent
        await until(lambda: len(listener.sinks[mid].seen) > 10)
        asked: list[bool] = []
        (sender,) = speaker.raw.getSenders()
        monkeypatch.setattr(sender, "_send_keyframe", lambda: asked.append(True))
        section = next(
            section for section in listener.link._publisher.connection.raw.getTransceivers() if section.mid == mid
        )
        receiver = next(section.receiver for section in listener.raw.getTransceivers() if section.mid == mid)
        await receiver._send_rtcp_pli(section.sender._ssrc)
        await until(lambda: asked)


async def test_a_track_whose_section_the_client_takes_away_goes_on_in_another() -> None:
    async with client() as here:
        here.link.speak(VOICE)
        here.prepare(audios=1, videos=0)
        (before,) = (await here.negotiate()).sent
        await here.connected()
        await say(here, before)
        here.raw.getTransceivers()[0].direction = "inactive"
        assert not (await here.negotiate()).sent
        assert here.link.missing_sections() == MissingSections(audios=1)
        here.raw.addTransceiver("audio", "recvonly")
        (after,) = (await here.negotiate()).sent
        assert after != before
        await say(here, after)


async def test_what_comes_later_needs_sections_and_what_goes_frees_them() -> None:
    async with client() as speaker, client() as listener:
        microphone = Microphone()
        speaker.publish(microphone)
        source = mid_of(await speaker.negotiate(), microphone.id)
        listener.link.speak(VOICE)
        listener.prepare(audios=1, videos=0)
        await listener.negotiate()
        assert listener.link.missing_sections() == MissingSections()
        listener.link.forward(HUMAN, speaker.link, source)
        listener.link.forward(CAMERA, speaker.link, "nowhere")
        assert listener.link.missing_sections() == MissingSections(audios=1, videos=1)
        with pytest.raises(ValueError, match="TR_human"):
            listener.link.forward(HUMAN, speaker.link, source)
        listener.raw.addTransceiver("audio", "recvonly")
        listener.raw.addTransceiver("video", "recvonly")
        answer = await listener.negotiate()
        assert listener.link.missing_sections() == MissingSections()
        mid = next(mid for mid, track in answer.sent.items() if track == "TR_human")
        await until(lambda: len(listener.sinks[mid].heard) > 30)
        listener.link.withdraw("TR_human")
        listener.link.withdraw("TR_nobody")
        assert mid not in (await listener.negotiate()).sent
        assert "TR_human" not in listener.link._outgoing.mids.values()
        listener.link.forward(HUMAN, speaker.link, source)
        assert listener.link.missing_sections() == MissingSections()
        receiver = next(section.receiver for section in listener.raw.getTransceivers() if section.mid == mid)
        before = received(receiver)[1]
        again = await listener.negotiate()
        assert again.sent[mid] == "TR_human"
        # aiortc as a receiver decodes nothing after the BYE of what was withdrawn.
        await until(lambda: received(receiver)[1] > before + 30)


async def test_a_forwarded_track_can_pause() -> None:
    async with client() as speaker, client() as listener:
        camera = Camera(picture(320, 240))
        speaker.publish(camera)
        source = mid_of(await speaker.negotiate(), camera.id)
        listener.prepare()
        listener.link.forward(CAMERA, speaker.link, source)
        (mid,) = (await listener.negotiate()).sent
        sink = listener.sinks[mid]
        await until(lambda: len(sink.seen) > 5)
        pictures = arrivals(speaker, source)
        listener.link.pause("TR_camera", is_paused=True)
        await more(pictures, 5)  # what was under way has come
        before = len(sink.seen)
        await more(pictures, 10)
        assert len(sink.seen) == before
        listener.link.pause("TR_camera", is_paused=False)
        await until(lambda: len(sink.seen) > before + 5)


async def test_a_paused_voice_is_not_sent() -> None:
    async with client() as here:
        here.link.speak(VOICE)
        here.prepare()
        (mid,) = (await here.negotiate()).sent
        await here.connected()
        here.link.pause("TR_voice", is_paused=True)
        for frame in speech(0.3, frequency=2_000):
            here.link.send_audio(frame)
            await asyncio.sleep(0.02)
        here.link.pause("TR_voice", is_paused=False)
        await say(here, mid)
        assert abs(loudest(np.concatenate(here.sinks[mid].heard[:15]), 48_000) - 500) < 20


async def test_when_the_source_goes_what_was_forwarded_falls_silent_and_nothing_else_does() -> None:
    async with client() as speaker, client() as listener:
        microphone = Microphone()
        speaker.publish(microphone)
        source = mid_of(await speaker.negotiate(), microphone.id)
        listener.link.speak(VOICE)
        listener.prepare()
        listener.link.forward(HUMAN, speaker.link, source)
        sent = {track: mid for mid, track in (await listener.negotiate()).sent.items()}
        sink = listener.sinks[sent["TR_human"]]
        await until(lambda: len(sink.heard) > 10)
        await speaker.close()
        await say(listener, sent["TR_voice"])
        listener.link.withdraw("TR_human")
        assert list((await listener.negotiate()).sent.values()) == ["TR_voice"]


async def test_a_key_frame_that_is_wanted_of_a_source_that_has_gone_harms_nobody() -> None:
    async with client() as speaker, client() as listener:
        camera = Camera(picture(320, 240))
        speaker.publish(camera)
        source = mid_of(await speaker.negotiate(), camera.id)
        listener.link.speak(VOICE)
        listener.prepare()
        listener.link.forward(CAMERA, speaker.link, source)
        sent = {track: mid for mid, track in (await listener.negotiate()).sent.items()}
        await until(lambda: len(listener.sinks[sent["TR_camera"]].seen) > 5)
        await speaker.close()
        await asyncio.sleep(KEYFRAME_PERIOD)  # it is asked no more often

        sections = listener.link._publisher.connection.raw.getTransceivers()
        section = next(section for section in sections if section.mid == sent["TR_camera"])
        receiver = next(each.receiver for each in listener.raw.getTransceivers() if each.mid == sent["TR_camera"])
        await receiver._send_rtcp_pli(section.sender._ssrc)

        await say(listener, sent["TR_voice"])


async def test_a_dual_client_is_offered_what_it_is_sent_and_offers_what_it_sends() -> None:
    async with client() as speaker, client(is_dual=True) as here:
        microphone = Microphone()
        speaker.publish(microphone)
        source = mid_of(await speaker.negotiate(), microphone.id)
        here.link.speak(VOICE)
        offered = await here.subscribe()
        await until(lambda: here.down.connectionState == "connected")
        assert "a=msid:PA_assistant|TR_voice TR_voice\r\n" in offered.sdp
        (voice,) = offered.sent
        await say(here, voice)
        assert here.link.send(RELIABLE, b"down")
        assert here.link.send(LOSSY, b"down")
        await until(lambda: sorted(here.messages) == [(LOSSY, b"down"), (RELIABLE, b"down")])

        camera = Camera(picture(320, 240))
        here.prepare(audios=0, videos=0)
        here.publish(camera)
        seen = mid_of(await here.negotiate(), camera.id)
        here.link.listen(seen, is_wanted=True)
        await until(lambda: here.events.frames.get(seen))
        here.channels[RELIABLE].send(b"up")
        await until(lambda: here.events.data == [(RELIABLE, b"up")])

        here.link.forward(HUMAN, speaker.link, source)
        assert here.link.missing_sections() == MissingSections()
        offered = await here.subscribe()
        (human,) = (mid for mid, track in offered.sent.items() if track == "TR_human")
        await until(lambda: len(here.sinks[human].heard) > 30)
        here.link.withdraw("TR_human")
        assert list((await here.subscribe()).sent) == [voice]
        here.link.forward(HUMAN, speaker.link, source)
        assert (await here.subscribe()).sent[human] == "TR_human"
        await say(here, voice)
        assert here.events.states == [LinkState.CONNECTED]


async def test_a_dual_client_that_is_sent_nothing_still_gets_data() -> None:
    async with client(is_dual=True) as here:
        await here.subscribe()
        assert here.link.send(RELIABLE, b"down")
        await until(lambda: here.messages == [(RELIABLE, b"down")])
        here.link.speak(VOICE)
        (voice,) = (await here.subscribe()).sent
        await say(here, voice)


async def test_offers_of_ours_may_follow_one_another_before_the_first_is_answered() -> None:
    async with client(is_dual=True) as here:
        here.link.speak(VOICE)
        stale = await here.link.offer()
        here.link.forward(HUMAN, here.link, "nowhere")
        await here.subscribe()
        await until(lambda: here.down.connectionState == "connected")
        with pytest.raises(OfferError, match="No offer"):
            await here.link.take_answer(here.down.localDescription.sdp)
        await here.link.offer()
        with pytest.raises(OfferError, match="not SDP"):
            await here.link.take_answer("nonsense")
        with pytest.raises(OfferError):
            await here.link.take_answer(stale.sdp)
        assert here.link.state is LinkState.CONNECTED


async def test_only_dual_links_offer() -> None:
    async with client() as here:
        with pytest.raises(OfferError):
            await here.link.offer()
        with pytest.raises(OfferError):
            await here.link.take_answer("v=0")


async def test_candidates_may_come_before_the_offer_and_cannot_block_it() -> None:
    async with client() as here:
        microphone = here.publish(Microphone())
        await here.raw.setLocalDescription(await here.raw.createOffer())
        lines = here.raw.localDescription.sdp.split("\r\n")
        candidates = [line for line in lines if line.startswith("a=candidate")]
        for number in range(5):
            here.link.add_candidate(f"candidate:{number} 1 udp 2 nobody-{number}.local 9 typ host", Target.PUBLISHER)
        for text in ("", "candidate:9 1 tcp 1 192.0.2.7 9 typ host tcptype active", *candidates):
            here.link.add_candidate(text, Target.SUBSCRIBER)
        with pytest.raises(ProtocolError, match="candidate:<foundation>"):
            here.link.add_candidate("candidate:nonsense", Target.PUBLISHER)
        answer = await here.link.answer("\r\n".join(line for line in lines if line not in candidates))
        # The client cannot reach us, as it is told no address: we must reach it.
        sdp = "\r\n".join(line for line in answer.sdp.split("\r\n") if "candidate" not in line)
        await here.raw.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        mid = mid_of(answer, microphone)
        here.link.listen(mid, is_wanted=True)
        await until(lambda: here.events.chunks.get(mid), within=5)


async def test_a_client_that_takes_no_data_is_noticed_and_what_may_be_lost_is_lost() -> None:
    async with client() as here:
        assert all(here.link.send(RELIABLE, bytes(100_000), is_of_others=True) for _ in range(40))
        assert not here.link.send(RELIABLE, bytes(100_000), is_of_others=True)
        assert all(here.link.send(RELIABLE, bytes(100_000)) for _ in range(10))
        assert not here.link.send(RELIABLE, bytes(100_000))
        assert all(here.link.send(LOSSY, bytes(100_000)) for _ in range(30))


async def test_messages_larger_than_agreed_and_channels_of_other_names_are_passed_over() -> None:
    async with client() as here:
        here.prepare()
        answer = await here.negotiate()
        assert "a=max-message-size:65536\r\n" in answer.sdp
        await here.connected()
        other = here.raw.createDataChannel("_data_track")
        await until(lambda: other.readyState == "open")
        other.send(b"other")
        here.raw.sctp._remote_max_message_size = 0  # type: ignore[union-attr]
        here.channels[RELIABLE].send(bytes(70_000))
        here.channels[RELIABLE].send("text")
        here.channels[RELIABLE].send(b"fine")
        await until(lambda: here.events.data)
        assert here.events.data == [(RELIABLE, b"fine")]


async def test_a_client_that_hangs_up_is_told_of_as_closed_once() -> None:
    async with client() as here:
        here.prepare()
        await here.negotiate()
        await here.connected()
        await here.raw.close()
        await until(lambda: LinkState.CLOSED in here.events.states)
        await here.link.close()
        assert here.events.states == [LinkState.CONNECTED, LinkState.CLOSED]
        with pytest.raises(OfferError, match="closed"):
            await here.link.answer("v=0")
        here.link.add_candidate("candidate:nonsense", Target.PUBLISHER)
        here.link.send_audio(b"")
        here.link.flush_audio()
        assert here.link.send(RELIABLE, b"")


async def test_a_client_that_never_connects_fails() -> None:
    async with client(limits=RtcLimits(connect=0.3, tick=0.05)) as here:
        here.prepare()
        await here.raw.setLocalDescription(await here.raw.createOffer())
        await here.link.answer(here.raw.localDescription.sdp)
        await until(lambda: here.events.states == [LinkState.FAILED])


async def test_a_client_that_vanishes_fails() -> None:
    async with client(limits=RtcLimits(silence=0.6, tick=0.05)) as here:
        here.publish(Microphone())
        await here.negotiate()
        await here.connected()
        ice = here.raw.getTransceivers()[0].receiver.transport.transport
        for protocol in ice._connection._protocols:
            protocol.transport.abort()
        await until(lambda: here.events.states == [LinkState.CONNECTED, LinkState.FAILED], within=5)


async def test_an_offer_that_aiortc_cannot_take_fails_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client() as here:
        here.prepare()

        async def refuse(_: object) -> None:
            raise ValueError("no")

        monkeypatch.setattr(here.link._publisher.connection.raw, "setRemoteDescription", refuse)
        with pytest.raises(OfferError, match="no"):
            await here.negotiate()
        assert here.events.states == [LinkState.FAILED]


async def test_a_bug_of_whoever_listens_closes_the_link_and_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client() as here:
        microphone = here.publish(Microphone())

        def fail(*_: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(here.events, "on_audio", fail)
        mid = mid_of(await here.negotiate(), microphone)
        here.link.listen(mid, is_wanted=True)
        await until(lambda: here.events.states == [LinkState.CONNECTED, LinkState.FAILED])


async def test_reception_is_perfect_where_nothing_is_lost() -> None:
    async with client() as here:
        microphone = here.publish(Microphone())
        mid = mid_of(await here.negotiate(), microphone)
        here.link.listen(mid, is_wanted=True)
        await until(lambda: len(here.events.chunks.get(mid, ())) > 20)
        assert here.link.reception().loss == 0.0


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.02, 0.03])
async def test_closing_while_connecting_leaves_nothing(delay: float) -> None:
    async with client() as here:
        here.link.speak(VOICE)
        here.prepare()
        here.publish(Microphone()), here.publish(Camera(picture(320, 240)))
        await here.negotiate()
        await asyncio.sleep(delay)
        waiting = asyncio.create_task(here.link.answer(here.raw.localDescription.sdp))
        await asyncio.sleep(0)
        await here.link.close()
        await asyncio.wait([waiting])
        assert here.events.states[-1] is LinkState.CLOSED
        assert waiting.exception() is None or isinstance(waiting.exception(), OfferError)


async def test_a_sender_that_starts_while_its_connection_closes_is_stopped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client() as here:
        here.link.speak(VOICE)
        here.prepare()
        (mid,) = (await here.negotiate()).sent
        connection = here.link._publisher.connection
        section = connection.section(mid)

        settle = connection._connecting.settle

        async def start() -> None:
            await settle()
            parameters = connection.raw._RTCPeerConnection__localRtp(section)  # type: ignore[attr-defined]
            await section.sender.send(parameters)

        monkeypatch.setattr(connection._connecting, "settle", start)


async def test_a_link_that_was_never_used_can_be_closed() -> None:
    async with client(is_dual=True) as here:
        await asyncio.gather(*(here.link.close() for _ in range(3)))
        assert here.events.states == [LinkState.CLOSED]
