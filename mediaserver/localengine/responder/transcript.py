"""The outcome of speech-to-text, and its failures."""

from dataclasses import dataclass

from pipeline.errors import FaultCode, MediaError


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of an utterance and its confidence (0 to 1, None without evidence); without text it was rejected."""

    text: str
    confidence: float | None = None


REJECTED = Transcript("", 0.0)
"""The transcript of audio that is no speech for certain."""

_SENTENCES = {
    FaultCode.STT_UNAVAILABLE: "I cannot hear you, because my speech recognition is not installed completely.",
    FaultCode.STT_BUSY: "Too many people are speaking to me at once. Please say that again in a moment.",
    FaultCode.STT_UNREACHABLE: "I cannot hear you, because I cannot reach my speech recognition service.",
    FaultCode.STT_TIMEOUT: "I cannot hear you, because my speech recognition service takes too long.",
    FaultCode.STT_AUTH_INVALID: "I cannot hear you, because my speech recognition service did not accept the key.",
    FaultCode.STT_MODEL_UNAVAILABLE: "I cannot hear you, because my speech recognition service lacks the model.",
    FaultCode.STT_RATE_LIMITED: "My speech recognition service has had too many requests. Please wait a moment.",
    FaultCode.STT_REFUSED: "My speech recognition service did not accept what you said.",
    FaultCode.STT_INTERNAL: "My speech recognition had a problem. Please say that again.",
    FaultCode.STT_PROTOCOL: "My speech recognition service sent something that I do not understand.",
}


class SpeechToTextError(MediaError):
    """Speech that could not be transcribed; `message` is a plain English sentence for the user."""

    def __init__(self, code: FaultCode):
        super().__init__(code, _SENTENCES[code], where="speech-to-text")
