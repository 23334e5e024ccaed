"""Bounded send queue of one socket, whose speech can be dropped."""

import asyncio
from collections import deque

MAX_CHARACTERS = 1 << 20
"""Characters that may be queued: about 20 s of speech."""


class SendQueue:
    """FIFO of text messages with many producers and one writer."""

    def __init__(self, *, max_characters: int = MAX_CHARACTERS):
        self._max_characters = max_characters
        self._items: deque[tuple[str, bool]] = deque()
        self._size = 0
        self._wakeup = asyncio.Event()

    @property
    def size(self) -> int:
        """Characters in the queue."""
        return self._size

    def put(self, text: str, *, is_speech: bool = False) -> bool:
        """Queue a text; False, without queueing it, when the queue is full: the client does not read."""
        if self._size + len(text) > self._max_characters:
            return False
        self._items.append((text, is_speech))
        self._size += len(text)
        self._wakeup.set()
        return True

    def drop_speech(self) -> None:
        """Remove the speech that is not sent yet."""
        self._items = deque(item for item in self._items if not item[1])
        self._size = sum(len(text) for text, _ in self._items)

    def clear(self) -> None:
        """Remove everything."""
        self._items.clear()
        self._size = 0

    def pop(self) -> str | None:
        """Remove and return the next text; None when the queue is empty."""
        if not self._items:
            return None
        text, _ = self._items.popleft()
        self._size -= len(text)
        return text

    async def get(self) -> str:
        """Wait for the next text and remove it."""
        while (text := self.pop()) is None:
            self._wakeup.clear()
            await self._wakeup.wait()
        return text
