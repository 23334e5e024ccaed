"""What a client sends up: its voice in order and in real time, its screen newest first."""

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

MOST_WAITING = 100
"""Commands that may wait behind audio before the client is not read any more."""


@dataclass(frozen=True, slots=True)
class MediaFeedback:
    """Where media that was fine, or was not, is told; each message once."""

    good: Callable[[], None]
    bad: Callable[[MediaError], None]


class LatestFrameInput:
    """Decodes one picture at a time, in a thread; of those that come meanwhile only the newest is kept."""

    def __init__(self, host: ConversationPort, peer: Peer, verdict: MediaFeedback, workers: asyncio.Semaphore):
        self._host = host
        self._peer = peer
        self._verdict = verdict
        self._workers = workers
        self._newest: bytes | None = None
        self._offered = 0
        self._settled = 0
        self._news = asyncio.Event()
        self._progress = asyncio.Event()

    @property
    def offered(self) -> int:
        """How many pictures came; a number for `seen`."""
        return self._offered

    def offer(self, data: bytes) -> None:
        """Take a picture."""
        self._newest = data
        self._offered += 1
        self._news.set()

    def clear(self) -> None:
        """Forget every picture that came so far."""
        self._newest = None
        self._settle(self._offered)

    async def seen(self, number: int) -> None:
        """Wait until that many pictures, or newer ones in their place, have been given or found bad."""
        while self._settled < number:
            self._progress.clear()
            await self._progress.wait()

    async def run(self) -> None:
        """Decode until cancelled."""
        while True:
            data, self._newest = self._newest, None
            if data is None:
                self._news.clear()
                await self._news.wait()
                continue
            number, arrived = self._offered, monotonic()
            try:
                async with self._workers:
                    frame = await asyncio.to_thread(decode_image, data, arrived)
            except MediaError as error:
                self._verdict.bad(error)
            else:
                self._verdict.good()
                if self._settled < number:  # else the share ended meanwhile
                    self._host.push_frame(self._peer, frame)
            self._settle(max(number, self._settled))

    def _settle(self, number: int) -> None:
        self._settled = number
        self._progress.set()


class PacedAudioInput:
    """Feeds what must keep its order: audio, never far ahead of real time, and the commands that refer to it.

    When audio stops, silence follows it in real time, so that an utterance is closed without a word from the client.
    """

    def __init__(self, host: ConversationPort, peer: Peer, verdict: MediaFeedback, screen: LatestFrameInput):
        self._host = host
        self._peer = peer
        self._verdict = verdict
        self._screen = screen
        self._decoder = AudioDecoder()
        self._pace = ReadPacer()
        self._continuity = GapFiller(grace=host.config.turns.silence)
        self._taken = 0  # samples
        self._waiting: deque[AudioInput | tuple[Command, int]] = deque()
        self._audio = 0  # messages of it that are not wholly fed
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """Messages not wholly fed."""
        return self._audio + len(self._waiting)

    async def put_audio(self, audio: AudioInput) -> None:
        """Wait until all audio before it has been fed, and take it."""
        while self._audio and not self._is_closed:
            await self._wait_for_room()
        self._audio += 1
        self._waiting.append(audio)
        self._news.set()

    async def put_command(self, command: Command) -> None:
        """Take a command that is to be obeyed after the audio and the pictures that came before it."""
        while len(self._waiting) >= MOST_WAITING and not self._is_closed:
            await self._wait_for_room()
        self._waiting.append((command, self._screen.offered))
        self._news.set()

    async def run(self) -> None:
        """Feed until cancelled."""
        while True:
            if not self._waiting:
                await self._wait_for_silence()
                continue
            match self._waiting.popleft():
                case AudioInput() as audio:
                    await self._feed(audio)
                    self._audio -= 1
                case command, pictures:
                    await self._screen.seen(pictures)
                    self._host.submit(self._peer, command)
            self._room.set()

    def close(self) -> None:
        """Let those go on who wait to put something: nothing more is fed."""
        self._is_closed = True
        self._waiting.clear()
        self._room.set()

    async def _wait_for_room(self) -> None:
        self._room.clear()
        await self._room.wait()

    async def _wait_for_silence(self) -> None:
        due = self._continuity.due
        self._news.clear()
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - monotonic())):
                await self._news.wait()
        except TimeoutError:
            for chunk in self._continuity.fill_silence(monotonic()):
                self._host.push_audio(self._peer, chunk)

    async def _feed(self, audio: AudioInput) -> None:
        try:
            for chunk in self._decoder.push(
                audio.data, audio_format=audio.format, rate=audio.rate, channels=audio.channels
            ):
                # Others have their turn even if nothing has to be waited for.
                await sleep(self._pace.wait(monotonic()))
                if chunk is not None:
                    self._push_audio(chunk)
        except AudioError as error:
            self._host.report_error(error)
            self._verdict.bad(error)
        except MediaError as error:
            self._verdict.bad(error)
        else:
            self._verdict.good()

    def _push_audio(self, chunk: AudioChunk) -> None:
        self._pace.record(chunk.duration, monotonic())
        samples = np.frombuffer(chunk.pcm, np.int16)
        # No audio for a while is counted from when the last of it would have been played: a chunk may last 10 s.
        for fed in self._continuity.push(samples, chunk.rate, self._taken, self._pace.until):
            self._host.push_audio(self._peer, fed)
        self._taken += len(chunk.pcm) // SAMPLE_BYTES
