"""Links against aiortc as their client, over real sockets."""

import asyncio

import numpy as np
from link_room import VOICE, client, mid_of
from rtc_room import TONE, Camera, Microphone, loudest, picture, until

from mediaserver.rtc.exchange import LOSSY, RELIABLE, LinkState
from pipeline.opus import OpusEncoder


def speech(seconds: float) -> list[bytes]:
    """A 500 Hz tone as the assistant's voice."""
    encoder = OpusEncoder()
    times = np.arange(int(seconds * 24_000)) / 24_000
    pcm = (9_000 * np.sin(2 * np.pi * 500 * times)).astype(np.int16).tobytes()
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
        for frame in speech(1.0):
            here.link.play(frame)
            await asyncio.sleep(0.02)
        sink = here.sinks[mid]
        await until(lambda: len(sink.heard) >= 40)
        assert abs(loudest(sink.sound(30), 48_000) - 500) < 20
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
        await until(lambda: len(here.told) == 3)
        assert sorted(here.told) == [(LOSSY, b"down"), (RELIABLE, b"down"), (RELIABLE, b"early")]
