"""Configuration of the chat endpoint."""

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

Images = Literal["auto", "on", "off"]


REPORT_FAULT = "report_fault"
"""The function that a client declares to receive faults: `code` (an LLM_ code) and `message`."""


@dataclass(frozen=True, slots=True)
class ChatModelConfig:
    """An OpenAI-compatible endpoint: `url` ends before /chat/completions, such as http://localhost:11434/v1."""

    url: str
    model: str
    key: str = field(default="", repr=False)
    images: Images = "auto"
    """on gives the model the frame, off the words on it, auto the frame unless the model refuses it."""

    @property
    def host(self) -> str:
        """Host and port, to be shown to users."""
        return urlsplit(self.url).netloc
