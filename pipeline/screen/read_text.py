"""A line of text that OCR has read on a frame."""

from dataclasses import dataclass

from pipeline.events import Box


@dataclass(frozen=True, slots=True)
class ReadText:
    """A line of text, its box on the frame (0 to 1000), and its confidence (0 to 1)."""

    text: str
    box: Box
    confidence: float
