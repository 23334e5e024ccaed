"""A participant that uses LiveKit's published Python SDK: it speaks, shows a screen, and notes what it is told."""

import asyncio
import json
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic
from typing import Any, TypeVar

import aiohttp
import cv2
import numpy as np
import pytest
from livekit import rtc

from tests.support.server_process import RATE

LOUD = 100.0
"""RMS of 16-bit samples; what silence becomes on its way is far below."""

T = TypeVar("T")


def picture(*labels: str, width: int = 1280, height: int = 720, shade: int = 255) -> bytes:
    """A rendered window with buttons in a row, the first at the upper left, as RGBA."""
    image = np.full((height, width, 3), shade, np.uint8)
    for index, label in enumerate(labels):
        left = 40 + 160 * index
        cv2.rectangle(image, (left, 20), (left + 130, 70), (225, 225, 225), -1)
        cv2.putText(image, label, (left + 20, 56), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (20, 20, 20), 2, cv2.LINE_AA)
    cv2.putText(image, "Quarterly report", (60, 200), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (0, 0, 0), 3, cv2.LINE_AA)
    return bytes(cv2.cvtColor(image, cv2.COLOR_BGR2RGBA).tobytes())


@dataclass
class TextSegment:
    """One text stream of a transcription."""

    who: str
    segment: str
    track: str
    text: str = ""
    pieces: int = 0
    is_final: bool = False
    is_over: bool = False


@dataclass
class Notes:
    """The events and levels so far; times are seconds of `monotonic()`."""

    events: list[dict[str, Any]] = field(default_factory=list)
    texts: list[TextSegment] = field(default_factory=list)
    legacy: list[tuple[str, rtc.TranscriptionSegment]] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    levels: list[tuple[float, float]] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)
    others: dict[str, list[float]] = field(default_factory=dict)
    """The times at which each other participant was loud."""
    widths: dict[str, int] = field(default_factory=dict)
    """The width of each participant's video."""

    def actions(self) -> list[str]:
        return [event["action"] for event in self.events]

    def final(self, who: str) -> list[str]:
        """Return the final transcripts of a participant."""
        return [stream.text for stream in self.texts if stream.who == who and stream.is_over and stream.is_final]

    def so_far(self, who: str) -> str:
        return " ".join(stream.text for stream in self.texts if stream.who == who)

    def loud_since(self, at: float) -> list[float]:
        return [when for when, level in self.levels[bisect_left(self.levels, (at, 0.0)) :] if level > LOUD]


class Caller:
    """Connected until its context ends."""

    def __init__(self, room: rtc.Room):
        self.room = room
        self.notes = Notes()
        self.connected_in = 0.0
        self._wakeup = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._source: rtc.AudioSource | None = None
        room.register_text_stream_handler("lk.transcription", lambda reader, who: self._spawn(self._read(reader, who)))
        room.on("data_received", self._on_data)
        room.on("track_subscribed", self._on_track)
        room.on("transcription_received", self._on_transcription)
        room.on("participant_attributes_changed", self._on_attributes)
        for event in (
            "reconnecting",
            "reconnected",
            "disconnected",
            "local_track_republished",
            "local_track_subscribed",
        ):
            room.on(event, self._noting(event))

    @property
    def me(self) -> rtc.LocalParticipant:
        return self.room.local_participant

    async def until(self, is_so: Callable[[Notes], T], within: float = 30.0) -> T:
        """Wait until something is so."""
        try:
            async with asyncio.timeout(within):
                while not (found := is_so(self.notes)):
                    self._wakeup.clear()
                    await self._wakeup.wait()
        except TimeoutError:
            notes = self.notes
            pytest.fail(f"not so within {within} s: {notes.events[-6:]}, {notes.texts[-3:]}, {notes.happened}")
        return found

    def times(self, what: str) -> int:
        """Count the events and room callbacks of that name."""
        return self.notes.actions().count(what) + self.notes.happened.count(what)

    async def more_than(self, times: int, what: str, within: float = 30.0) -> None:
        """Wait until the events and callbacks of that name are more than `times`."""
        await self.until(lambda _: self.times(what) > times, within)

    async def sound(self, since: float, frames: int = 1) -> float:
        """Wait until the assistant has been heard for so many 10 ms; when that began."""
        await self.until(lambda notes: len(notes.loud_since(since)) >= frames)
        return self.notes.loud_since(since)[0]

    async def listen(self, until: float) -> None:
        """Wait until the voice's track has been received up to that moment, loud or not."""
        await self.until(lambda notes: notes.levels[-1][0] > until, until - monotonic() + 30)

    def longest_silence(self, since: float) -> float:
        """Return the longest silence (s) between the assistant's sounds, up to the last one."""
        return max(later - earlier for earlier, later in pairwise([since, *self.notes.loud_since(since)]))

    async def lost(self) -> int:
        """Count the lost datagrams of the assistant's voice."""
        stats = await self.room.get_rtc_stats()
        found = [*stats.publisher_stats, *stats.subscriber_stats]
        return sum(each.inbound_rtp.received.packets_lost for each in found if each.HasField("inbound_rtp"))

    # Up.

    async def publish_microphone(self) -> rtc.LocalTrackPublication:
        self._source = rtc.AudioSource(RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        published = await self.me.publish_track(track, options)
        async with asyncio.timeout(10):
            await published.wait_for_subscription()
        return published

    async def say(self, pcm: bytes) -> float:
        """Speak 24 kHz PCM as it would be spoken; when the last of it was."""
        assert self._source is not None
        step = RATE // 50 * 2
        for start in range(0, len(pcm), step):
            piece = pcm[start : start + step].ljust(step, b"\0")
            await self._source.capture_frame(rtc.AudioFrame(piece, RATE, 1, RATE // 50))
        await self._source.wait_for_playout()
        return monotonic()

    async def share(self, image: bytes, width: int = 1280, height: int = 720, *, simulcast: bool = False) -> "Screen":
        screen = Screen(rtc.VideoSource(width, height, is_screencast=True), width, height, image)
        track = rtc.LocalVideoTrack.create_video_track("screen", screen.source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_SCREENSHARE, simulcast=simulcast)
        screen.publication = await self.me.publish_track(track, options)
        self._spawn(screen.draw())
        return screen

    async def ask(self, text: str) -> None:
        await self.me.send_text(text, topic="lk.chat")

    async def call(self, method: str, payload: str = "") -> str:
        return await self.me.perform_rpc(destination_identity="assistant", method=method, payload=payload)

    async def answered(self, turn: int, within: float = 40.0) -> str:
        """Wait for the end of an answer, and return its text."""

        def text(notes: Notes) -> str | None:
            ended = [event for event in notes.events if event.get("turn") == turn]
            if not any(event["action"] in ("turn_complete", "interrupted") for event in ended):
                return None
            return next((str(event["text"]) for event in ended if event["action"] == "text_response"), None)

        found = await self.until(text, within)
        assert found is not None
        return found

    # Down.

    def _noting(self, event: str) -> Callable[..., None]:
        def note(*_: object) -> None:
            self.notes.happened.append(event)
            self._wakeup.set()

        return note

    def _on_data(self, packet: rtc.DataPacket) -> None:
        if packet.topic == "events":
            assert packet.participant is not None
            assert packet.participant.identity == "assistant"
            self.notes.events.append(json.loads(packet.data))
            self._wakeup.set()

    def _on_track(self, track: rtc.Track, _: object, participant: rtc.RemoteParticipant) -> None:
        if isinstance(track, rtc.RemoteAudioTrack):
            self._spawn(self._listen(track, participant.identity))
        elif isinstance(track, rtc.RemoteVideoTrack):
            self._spawn(self._look(track, participant.identity))

    def _on_transcription(
        self, segments: list[rtc.TranscriptionSegment], participant: rtc.Participant, _: object
    ) -> None:
        self.notes.legacy += [(participant.identity, segment) for segment in segments]
        self._wakeup.set()

    def _on_attributes(self, changed: dict[str, str], participant: rtc.Participant) -> None:
        if "lk.agent.state" in changed:
            self.notes.states.append(changed["lk.agent.state"])
            self._wakeup.set()

    async def _listen(self, track: rtc.RemoteAudioTrack, who: str) -> None:
        stream = rtc.AudioStream(track, sample_rate=48_000)
        try:
            async for event in stream:
                samples = np.frombuffer(event.frame.data, np.int16).astype(float)
                level = float(np.sqrt(np.mean(samples**2)))
                if who == "assistant":
                    self.notes.levels.append((monotonic(), level))
                elif level > LOUD:
                    self.notes.others.setdefault(who, []).append(monotonic())
                self._wakeup.set()
        finally:
            await stream.aclose()

    async def _look(self, track: rtc.RemoteVideoTrack, who: str) -> None:
        stream = rtc.VideoStream(track)
        try:
            async for event in stream:
                self.notes.widths[who] = event.frame.width
                self._wakeup.set()
        finally:
            await stream.aclose()

    async def _read(self, reader: rtc.TextStreamReader, who: str) -> None:
        attributes = reader.info.attributes or {}
        stream = TextSegment(who, attributes["lk.segment_id"], attributes["lk.transcribed_track_id"])
        self.notes.texts.append(stream)
        async for piece in reader:
            stream.text += piece
            stream.pieces += 1
            self._wakeup.set()
        stream.is_final = (reader.info.attributes or {})["lk.transcription_final"] == "true"
        stream.is_over = True
        self._wakeup.set()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()

    async def close(self) -> None:
        await self.room.disconnect()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass
class Screen:
    """A picture that is published; changing `image` changes what is seen."""

    source: rtc.VideoSource
    width: int
    height: int
    image: bytes
    publication: rtc.LocalTrackPublication | None = None

    @property
    def sid(self) -> str:
        assert self.publication is not None
        return self.publication.sid

    async def draw(self) -> None:
        while True:
            frame = rtc.VideoFrame(self.width, self.height, rtc.VideoBufferType.RGBA, self.image)
            self.source.capture_frame(frame)
            await asyncio.sleep(0.1)


async def token_for(address: str, identity: str, room: str) -> tuple[str, str, str]:
    """A guest's way into a room: the socket's address, LiveKit's token, and the server's own."""
    async with aiohttp.ClientSession(address) as http:
        guest = await (await http.post("/api/v1/guests")).json()
        headers = {"Authorization": f"Bearer {guest['access_token']}"}
        wanted = {"room_name": room, "participant_identity": identity}
        answer = await (await http.post("/api/v1/livekit/token", json=wanted, headers=headers)).json()
    return answer["server_url"], answer["participant_token"], guest["access_token"]


@asynccontextmanager
async def caller(
    address: str, identity: str = "ada", room: str = "kitchen", *, is_dual: bool = False
) -> AsyncIterator[Caller]:
    """A participant that has connected and hears the assistant."""
    url, token, _ = await token_for(address, identity, room)
    here = Caller(rtc.Room())
    began = monotonic()
    await here.room.connect(url, token, rtc.RoomOptions(single_peer_connection=not is_dual))
    here.connected_in = monotonic() - began
    try:
        await here.until(lambda notes: "state" in notes.actions() and notes.levels)
        yield here
    finally:
        await here.close()
