"""The microphone on aiortc's own receiver, packet by packet."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiortc import RTCRtpReceiver
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from aiortc.rtp import RtcpByePacket, RtcpPacket, RtcpReceiverInfo, RtcpRrPacket, RtpPacket

from mediaserver.rtc.aiortc_patches.receivers import MAX_SOURCES
from mediaserver.rtc.inbound.audio_track import HANDOVER, MAX_AHEAD, InboundAudioTrack
from pipeline.errors import AudioError
from pipeline.media import AudioChunk
from pipeline.playout.opus_encoder import OpusEncoder
from tests.support.rtc_harness import until
from tests.support.virtual_time import in_virtual_time

OPUS = RTCRtpCodecParameters(mimeType="audio/opus", clockRate=48_000, channels=2, payloadType=111)


class Booth:
    """One microphone, and what it was heard to say; `now` is its clock."""

    def __init__(self, lull: float):
        self.sent: list[bytes] = []
        self.chunks: list[AudioChunk] = []
        self.faults: list[AudioError] = []
        self.now = 100.0
        transport: Any = SimpleNamespace(
            state="connected",
            _stats_id="transport",
            _get_stats=dict,
            _register_rtp_receiver=lambda receiver, parameters: None,
            _unregister_rtp_receiver=lambda receiver: None,
            _send_rtp=self._send,
        )
        self.receiver: Any = RTCRtpReceiver("audio", transport)
        self.receiver._track = RemoteStreamTrack("audio")
        self.receiver._set_rtcp_ssrc(99)
        self.microphone = InboundAudioTrack(
            self.receiver,
            lull=lull,
            on_chunk=self.chunks.append,
            on_fault=self.faults.append,
            clock=lambda: self.now,
        )
        self._voice = speech()

    async def _send(self, data: bytes) -> None:
        self.sent.append(data)

    async def deliver(
        self, number: int, *, ssrc: int = 1, payload: bytes | None = None, payload_type: int = 111
    ) -> None:
        """Receive one packet of 20 ms."""
        packet = RtpPacket(payload_type, sequence_number=number % 65_536, timestamp=number * 960 % 2**32, ssrc=ssrc)
        packet.payload = next(self._voice) if payload is None else payload
        await self.receiver._handle_rtp_packet(packet, arrival_time_ms=0)

    async def stream(self, numbers: range, *, ssrc: int = 1) -> None:
        """Receive packets 20 ms apart."""
        for number in numbers:
            await self.deliver(number, ssrc=ssrc)
            self.now += 0.02

    @property
    def seconds(self) -> float:
        """How much was heard; without a gap."""
        end = 0.0
        for chunk in self.chunks:
            assert chunk.pts == pytest.approx(end)
            end = chunk.pts + chunk.duration
        return end

    def loudness(self, start: float, end: float) -> float:
        pcm = np.frombuffer(b"".join(chunk.pcm for chunk in self.chunks), np.int16)
        return float(pcm[int(start * 16_000) : int(end * 16_000)].astype(float).std())


def speech() -> Iterator[bytes]:
    """A tone without end, in packets."""
    encoder = OpusEncoder()
    time = np.arange(480) / 24_000
    pcm = (8_000 * np.sin(2 * np.pi * 400 * time)).astype(np.int16).tobytes()
    while True:
        yield encoder.encode(pcm)


@asynccontextmanager
async def booth(lull: float = 60.0) -> AsyncIterator[Booth]:
    """A microphone whose receiver runs."""
    here = Booth(lull)
    await here.receiver.receive(RTCRtpReceiveParameters(codecs=[OPUS]))
    try:
        yield here
    finally:
        here.microphone.end()
        await here.receiver.stop()


async def test_each_packet_is_heard_before_the_next_one_is_looked_at() -> None:
    async with booth() as here:
        for number in range(50):
            await here.deliver(number)
            assert len(here.chunks) == number + 1
        assert {(chunk.rate, len(chunk.pcm)) for chunk in here.chunks} == {(16_000, 640)}
        assert here.seconds == pytest.approx(1.0)


@in_virtual_time
async def test_after_a_loss_sound_waits_20_ms_once_and_never_again() -> None:
    async with booth() as here:
        await here.stream(range(10))
        await here.deliver(11)
        assert len(here.chunks) == 10
        here.now += 0.02
        await until(lambda: len(here.chunks) == 12)
        assert here.loudness(0.2, 0.22) > 2_000  # the lost one was made up
        for number in range(12, 30):
            await here.deliver(number)
            assert len(here.chunks) == number + 1
        assert here.seconds == pytest.approx(0.6)
        assert not here.faults


@in_virtual_time
async def test_a_gap_costs_one_timer_and_a_clean_link_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async with booth() as here:
        loop = asyncio.get_running_loop()
        delays: list[float] = []

        def call_later(delay: float, callback: Any, *args: Any) -> asyncio.TimerHandle:
            if callback == here.microphone._on_due:
                delays.append(delay)
            return loop.call_at(loop.time() + delay, callback, *args)

        monkeypatch.setattr(loop, "call_later", call_later)
        await here.stream(range(20))
        assert not delays
        for number in (21, 22, 23):
            await here.deliver(number)
        assert delays == [pytest.approx(0.02)]
        here.now += 0.02
        await until(lambda: len(here.chunks) == 24)
        assert len(delays) == 1


async def test_packets_of_another_kind_are_not_heard() -> None:
    async with booth() as here:
        await here.deliver(0, payload_type=0)
        assert not here.chunks


async def test_nothing_is_heard_while_the_section_is_not_to_be_received() -> None:
    async with booth() as here:
        here.receiver._enabled = False
        await here.deliver(0)
        assert not here.chunks
        here.receiver._enabled = True
        await here.deliver(1)
        assert len(here.chunks) == 1


async def test_malformed_packets_are_told_every_10_s_and_the_rest_is_heard() -> None:
    async with booth() as here:
        for number in range(600):
            await here.deliver(number, payload=b"\xff\xff\xff" if number % 10 == 5 else None)
            here.now += 0.02
        assert [fault.message for fault in here.faults] == ["The microphone's audio cannot be decoded."] * 2
        assert here.seconds == pytest.approx(12.0)


async def test_another_source_takes_over_once_the_first_is_silent() -> None:
    async with booth() as here:
        await here.stream(range(10), ssrc=1)
        here.now += HANDOVER
        await here.stream(range(5, 15), ssrc=2)  # stamps that could follow those of the first, but do not
        assert here.seconds == pytest.approx(0.4)
        assert here.loudness(0.25, 0.4) > 2_000


async def test_two_sources_at_once_are_not_mixed_up() -> None:
    async with booth() as here:
        for number in range(50):
            await here.deliver(number, ssrc=1)
            await here.deliver(9_000 + number, ssrc=2)
            here.now += 0.02
        assert here.seconds == pytest.approx(1.0)


@pytest.mark.parametrize("start", [0, 960, 30_000, 50_000])
async def test_a_sender_that_starts_its_numbers_afresh_is_heard_within_a_fifth_of_a_second(start: int) -> None:
    async with booth() as here:
        await here.stream(range(1_000, 1_050))
        before = here.seconds
        await here.stream(range(start, start + 50))
        assert here.seconds - before > 0.8
        assert not here.faults


async def test_a_flood_is_dropped_and_told_and_does_not_last() -> None:
    async with booth() as here:
        for number in range(500):
            await here.deliver(number)
        assert MAX_AHEAD <= here.seconds <= MAX_AHEAD + 0.05
        assert [fault.message for fault in here.faults] == [
            "The microphone's audio comes faster than time; some is dropped."
        ]
        heard = len(here.chunks)
        here.now += 1.0
        await here.stream(range(500, 550))
        assert len(here.chunks) >= heard + 50


async def test_a_hitch_of_the_network_loses_nothing() -> None:
    async with booth() as here:
        await here.stream(range(50))
        here.now += 1.9
        for number in range(50, 145):
            await here.deliver(number)
        assert here.seconds == pytest.approx(2.9)


async def test_a_sender_whose_clock_runs_faster_is_heard_for_ever() -> None:
    async with booth() as here:
        payload = next(speech())
        for number in range(30_000):
            await here.deliver(number, payload=payload)
            here.now += 0.02 / 1.005
        assert here.seconds == pytest.approx(600)  # 3 s more than have passed
        assert not here.faults


async def test_what_goes_wrong_in_the_conversation_is_raised_by_run_and_nothing_more_is_heard() -> None:
    async with booth() as here:

        def fail(chunk: AudioChunk) -> None:
            here.chunks.append(chunk)
            raise RuntimeError("a bug")

        here.microphone._on_chunk = fail
        await here.deliver(0)
        await here.deliver(1)
        with pytest.raises(RuntimeError, match="a bug"):
            await here.microphone.run()
        assert len(here.chunks) == 1


async def test_it_ends_with_its_receiver() -> None:
    async with booth() as here:
        running = asyncio.create_task(here.microphone.run())
        await asyncio.sleep(0)
        assert not running.done()
        await here.receiver.stop()
        await running
    async with booth() as here:
        here.receiver._handle_disconnect()
        await here.microphone.run()


async def test_it_outlives_bye() -> None:
    async with booth() as here:
        await here.deliver(0)
        await here.receiver._handle_rtcp_packet(RtcpByePacket(sources=[1]))
        await here.deliver(1)
        assert len(here.chunks) == 2


@in_virtual_time
async def test_nothing_is_heard_after_the_end_not_even_what_waits() -> None:
    async with booth() as here:
        await here.deliver(0)
        await here.deliver(2)
        here.microphone.end()
        await here.deliver(3)
        here.now += 1.0
        await asyncio.sleep(1.0)
        assert len(here.chunks) == 1


async def report(here: Booth) -> list[RtcpReceiverInfo]:
    """What the receiver tells the sender of what it got."""
    here.sent.clear()
    await until(lambda: here.sent)
    (packet,) = RtcpPacket.parse(here.sent[0])
    assert isinstance(packet, RtcpRrPacket)
    return packet.reports


@in_virtual_time
async def test_senders_are_told_what_was_lost() -> None:
    async with booth() as here:
        for number in range(65_500, 65_600):
            if number % 10:
                await here.deliver(number)
        (info,) = await report(here)
        assert (info.ssrc, info.packets_lost, info.highest_sequence) == (1, 9, 65_599 - 65_536)
        assert info.fraction_lost == 9 * 256 // 99


@in_virtual_time
async def test_stamps_that_leap_do_not_end_the_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1_000.0
    monkeypatch.setattr("aiortc.rtcrtpreceiver.time", SimpleNamespace(time=lambda: clock))
    async with booth() as here:
        for number in range(300):
            clock += 0.02
            packet = RtpPacket(111, sequence_number=number, timestamp=0xFFFFFFFF * (number % 2), ssrc=1)
            await here.receiver._handle_rtp_packet(packet, arrival_time_ms=0)
            (stream,) = here.receiver._RTCRtpReceiver__remote_streams.values()
            assert stream.jitter <= 0xFFFFFFFF
        assert (await report(here))[0].jitter > 0xFFFFF000


@in_virtual_time
async def test_any_number_of_sources_fits_the_reports() -> None:
    async with booth() as here:
        for ssrc in range(1, 2 * MAX_SOURCES):
            await here.deliver(0, ssrc=ssrc)
        assert [info.ssrc for info in await report(here)] == list(range(MAX_SOURCES, 2 * MAX_SOURCES))
