"""Opus in and out, by PyAV's libopus: 20 ms of speech to a packet, a packet to audio."""

from fractions import Fraction

from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.packet import Packet

from pipeline.errors import AudioError
from pipeline.media import SAMPLE_BYTES, AudioChunk
from pipeline.playout import FRAME_BYTES, FRAME_SAMPLES, SILENCE, SPEECH_RATE

SILENCE_PACKET = bytes.fromhex("d8fffe")
"""What the encoder below makes of 20 ms of silence: CELT, super-wideband, one frame that says it is silent."""

# FFmpeg's libopus decoder gives 48 kHz whatever it is asked for (libavcodec/libopusdec.c).
DECODED_RATE = 48_000


class OpusEncoder:
    """24 kHz mono speech to Opus, one packet for each 20 ms frame, none held back."""

    def __init__(self) -> None:
        self._frame = AudioFrame("s16", "mono", FRAME_SAMPLES)
        self._frame.sample_rate = SPEECH_RATE
        self._is_settled: bool
        self.reset()

    def encode(self, pcm: bytes) -> bytes:
        """Return the packet for 960 bytes of 16-bit PCM, or raise `AudioError`; lasting silence costs nothing."""
        is_silent = pcm == SILENCE
        if is_silent and self._is_settled:
            return SILENCE_PACKET
        if len(pcm) != FRAME_BYTES:
            raise AudioError(f"A speech frame is {FRAME_BYTES} bytes, not {len(pcm)}.", where="opus")
        self._frame.planes[0].update(pcm)
        try:
            packets = self._codec.encode(self._frame)
        except (FFmpegError, ValueError) as error:
            raise AudioError("Speech could not be encoded.", where="opus") from error
        if len(packets) != 1:
            raise AudioError(f"The encoder gave {len(packets)} packets for one frame.", where="opus")
        packet = bytes(packets[0])
        # The first silent frame still carries the end of the speech before it. Once the encoder itself has said
        # silence, its state and the listener's decoder agree, and repeating that packet keeps both as they are.
        self._is_settled = is_silent and packet == SILENCE_PACKET
        return packet

    def reset(self) -> None:
        """Begin a new stream."""
        codec = CodecContext.create("libopus", "w")
        assert isinstance(codec, AudioCodecContext)
        codec.sample_rate = SPEECH_RATE
        codec.layout = "mono"
        codec.format = "s16"
        codec.time_base = Fraction(1, SPEECH_RATE)
        codec.bit_rate = 48_000
        # "audio" keeps to CELT: a third of the cost of "voip" (SILK) for speech at this bit rate.
        # Expecting loss, it codes loudness afresh where it matters: a listener who was sent silence in place of frames,
        # or lost one, hears speech again after one frame. Without it the next 100 ms are muffled. No cost measured.
        codec.options = {"application": "audio", "compression_level": "5", "frame_duration": "20", "packet_loss": "5"}
        self._codec = codec
        self._is_settled = False

    def close(self) -> None:
        """Let go of the codec now, and of the two threads that PyAV's graph for regrouping frames keeps waiting."""
        del self._codec


class OpusDecoder:
    """Opus packets of any kind to 48 kHz mono audio; `Resampler` brings it to 16 kHz."""

    def __init__(self) -> None:
        self.reset()

    def decode(self, packet: bytes, pts: float) -> AudioChunk:
        """Return the audio (2.5 to 120 ms) of a packet due at session time `pts` (s), or raise `AudioError`."""
        if not packet:  # to FFmpeg the end of the stream
            raise AudioError("The Opus packet is empty.", where="opus")
        try:
            frames = self._codec.decode(Packet(packet))
        except (FFmpegError, ValueError) as error:
            raise AudioError("The Opus packet could not be decoded.", where="opus") from error
        pcm = b"".join(memoryview(frame.planes[0])[: frame.samples * SAMPLE_BYTES] for frame in frames)
        return AudioChunk(pcm, DECODED_RATE, pts)

    def reset(self) -> None:
        """Begin a new stream."""
        codec = CodecContext.create("libopus", "r")
        assert isinstance(codec, AudioCodecContext)
        codec.sample_rate = DECODED_RATE
        codec.layout = "mono"
        codec.format = "s16"
        self._codec = codec
