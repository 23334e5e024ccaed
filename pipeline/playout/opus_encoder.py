"""The assistant's speech as Opus: a packet for each 20 ms frame, and silence for free."""

from pipeline.codecs.libopus import Encoder
from pipeline.errors import AudioError
from pipeline.media import SPEECH_SAMPLE_RATE
from pipeline.playout.playout_buffer import FRAME_BYTES, SILENCE

SILENCE_PACKET = bytes.fromhex("d8fffe")
"""What the encoder below makes of 20 ms of silence: CELT, super-wideband, one frame that says it is silent."""


class OpusEncoder:
    """24 kHz mono speech to Opus, one packet for each 20 ms frame, none held back."""

    def __init__(self) -> None:
        self._is_settled: bool
        self.reset()

    def encode(self, pcm: bytes) -> bytes:
        """Return the packet for 960 bytes of 16-bit PCM, or raise `AudioError`; lasting silence costs nothing."""
        is_silent = pcm == SILENCE
        if is_silent and self._is_settled:
            return SILENCE_PACKET
        if len(pcm) != FRAME_BYTES:
            raise AudioError(f"A speech frame is {FRAME_BYTES} bytes, not {len(pcm)}.", where="opus")
        packet = self._codec.encode(pcm)
        # The first silent frame still carries the end of the speech before it. Once the encoder itself has said
        # silence, its state and the listener's decoder agree, and repeating that packet keeps both as they are.
        self._is_settled = is_silent and packet == SILENCE_PACKET
        return packet

    def reset(self) -> None:
        """Begin a new stream."""
        # CELT ("audio") costs a third of SILK ("voip") for speech at this bit rate.
        # Expecting loss, it codes loudness afresh where it matters: a listener who was sent silence in place of frames,
        # or lost one, hears speech again after one frame. Without it the next 100 ms are muffled. No cost measured.
        self._codec = Encoder(rate=SPEECH_SAMPLE_RATE, bitrate=48_000, complexity=5, packet_loss=5)
        self._is_settled = False
