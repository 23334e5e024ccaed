"""Media of one client on its way up: audio in order and in real time, of the pictures the newest."""

import asyncio
from asyncio import sleep
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import numpy as np

from mediaserver.jsonws.codec import AudioInput
from mediaserver.jsonws.pacer import ReadPacer
from pipeline.audio.gap_filler import GapFiller
from pipeline.codecs.audio_decoder import AudioDecoder
from pipeline.codecs.image_decoder import decode_image
from pipeline.errors import AudioError, MediaError
from pipeline.events import Command
from pipeline.media import SAMPLE_BYTES, AudioChunk
from pipeline.peer import ConversationPort, Peer

MAX_QUEUED_COMMANDS = 100
"""Commands that may be queued behind audio before reading from the client pauses."""


@dataclass(frozen=True, slots=True)
class MediaFeedback:
    """Callbacks with the outcome of each media message: decoded, or refused."""

    on_good: Callable[[], None]
    on_bad: Callable[[MediaError], None]


@dataclass(frozen=True, slots=True)
class _Picture:
    data: bytes
    on_done: Callable[[], None]


class LatestFrameInput:
    """Decodes one picture at a time in a thread, and keeps only the newest of those that wait."""

    def __init__(
        self, conversation: ConversationPort, peer: Peer, feedback: MediaFeedback, decoder_slots: asyncio.Semaphore
    ):
        self._conversation = conversation
        self._peer = peer
        self._feedback = feedback
        self._decoder_slots = decoder_slots
        self._newest: _Picture | None = None
        self._offered = 0
        self._processed = 0
        self._wakeup = asyncio.Event()
        self._progress = asyncio.Event()

    @property
    def offered(self) -> int:
        """Number of pictures so far, for `wait_until_processed`."""
        return self._offered

    def offer(self, data: bytes, on_done: Callable[[], None]) -> None:
        """Queue a picture in place of the one that waits; `on_done` is called when it is no longer in memory."""
        self._discard()
        self._newest = _Picture(data, on_done)
        self._offered += 1
        self._wakeup.set()

    def clear(self) -> None:
        """Discard every picture so far."""
        self._discard()
        self._mark_processed(self._offered)

    async def wait_until_processed(self, number: int) -> None:
        """Wait until so many pictures have been pushed, replaced by newer ones, or refused."""
        while self._processed < number:
            self._progress.clear()
            await self._progress.wait()

    async def run(self) -> None:
        """Decode until cancelled."""
        try:
            while True:
                picture, self._newest = self._newest, None
                if picture is None:
                    self._wakeup.clear()
                    await self._wakeup.wait()
                    continue
                try:
                    await self._decode(picture.data)
                finally:
                    picture.on_done()
        finally:
            self._discard()

    async def _decode(self, data: bytes) -> None:
        number, arrived = self._offered, monotonic()
        max_side = self._conversation.config.frame_max_side
        try:
            async with self._decoder_slots:
                frame = await asyncio.to_thread(decode_image, data, arrived, max_side=max_side)
        except MediaError as error:
            self._feedback.on_bad(error)
        else:
            self._feedback.on_good()
            if self._processed < number:  # else the share has ended since
                self._conversation.push_frame(self._peer, frame)
        self._mark_processed(max(number, self._processed))

    def _discard(self) -> None:
        picture, self._newest = self._newest, None
        if picture is not None:
            picture.on_done()

    def _mark_processed(self, number: int) -> None:
        self._processed = number
        self._progress.set()


class PacedAudioInput:
    """Pushes audio at most a little ahead of real time, and the commands that must follow it in order.

    When audio stops, silence follows in real time, so that an utterance ends without an audio_end.
    """

    def __init__(
        self, conversation: ConversationPort, peer: Peer, feedback: MediaFeedback, frame_input: LatestFrameInput
    ):
        self._conversation = conversation
        self._peer = peer
        self._feedback = feedback
        self._frame_input = frame_input
        self._decoder = AudioDecoder()
        self._pacer = ReadPacer()
        self._gap_filler = GapFiller(grace=conversation.config.turns.silence)
        self._pushed_samples = 0
        self._queue: deque[AudioInput | tuple[Command, int]] = deque()
        self._unfinished_audio = 0  # messages that are not completely pushed
        self._wakeup = asyncio.Event()
        self._space = asyncio.Event()
        self._is_closed = False

    @property
    def queued(self) -> int:
        """Messages that are not completely pushed."""
        return self._unfinished_audio + len(self._queue)

    async def put_audio(self, audio: AudioInput) -> None:
        """Queue a piece of audio once all audio before it has been pushed."""
        while self._unfinished_audio and not self._is_closed:
            await self._wait_for_space()
        self._unfinished_audio += 1
        self._queue.append(audio)
        self._wakeup.set()

    async def put_command(self, command: Command) -> None:
        """Queue a command behind the audio and the pictures that came before it."""
        while len(self._queue) >= MAX_QUEUED_COMMANDS and not self._is_closed:
            await self._wait_for_space()
        self._queue.append((command, self._frame_input.offered))
        self._wakeup.set()

    async def run(self) -> None:
        """Push until cancelled."""
        while True:
            if not self._queue:
                await self._wait_or_fill_silence()
                continue
            match self._queue.popleft():
                case AudioInput() as audio:
                    await self._feed(audio)
                    self._unfinished_audio -= 1
                case command, frames_before:
                    await self._frame_input.wait_until_processed(frames_before)
                    self._conversation.submit(self._peer, command)
            self._space.set()

    def close(self) -> None:
        """Discard the queue and release the callers that wait to fill it."""
        self._is_closed = True
        self._queue.clear()
        self._space.set()

    async def _wait_for_space(self) -> None:
        self._space.clear()
        await self._space.wait()

    async def _wait_or_fill_silence(self) -> None:
        due = self._gap_filler.due
        self._wakeup.clear()
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - monotonic())):
                await self._wakeup.wait()
        except TimeoutError:
            for chunk in self._gap_filler.fill_silence(monotonic()):
                self._conversation.push_audio(self._peer, chunk)

    async def _feed(self, audio: AudioInput) -> None:
        try:
            for chunk in self._decoder.push(
                audio.data, audio_format=audio.format, rate=audio.rate, channels=audio.channels
            ):
                # A sleep of zero still lets other tasks run.
                await sleep(self._pacer.wait(monotonic()))
                if chunk is not None:
                    self._push_audio(chunk)
        except AudioError as error:
            self._conversation.report_error(error)
            self._feedback.on_bad(error)
        except MediaError as error:
            self._feedback.on_bad(error)
        else:
            self._feedback.on_good()

    def _push_audio(self, chunk: AudioChunk) -> None:
        self._pacer.record(chunk.duration, monotonic())
        samples = np.frombuffer(chunk.pcm, np.int16)
        # A gap counts from the end of what would have been played: a chunk may last 10 s.
        for piece in self._gap_filler.push(samples, chunk.rate, self._pushed_samples, self._pacer.played_until):
            self._conversation.push_audio(self._peer, piece)
        self._pushed_samples += len(chunk.pcm) // SAMPLE_BYTES
