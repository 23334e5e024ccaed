"""What waits to be sent on one socket: bounded, and its speech can be taken back."""

import asyncio
from collections import deque

MOST = 1 << 20
"""Characters that may wait: some 20 s of speech."""


class SendQueue:
    """Texts in order between those who speak and the one who writes."""

    def __init__(self, *, most: int = MOST):
        self._most = most
        self._items: deque[tuple[str, bool]] = deque()
        self._size = 0
        self._news = asyncio.Event()

    @property
    def size(self) -> int:
        """Characters waiting."""
        return self._size

    def put(self, text: str, *, is_speech: bool = False) -> bool:
        """Queue a text; False, and it is not queued, if too much is waiting: the client does not read."""
        if self._size + len(text) > self._most:
            return False
        self._items.append((text, is_speech))
        self._size += len(text)
        self._news.set()
        return True

    def drop_speech(self) -> None:
        """Take back the speech that is not sent yet."""
        self._items = deque(item for item in self._items if not item[1])
        self._size = sum(len(text) for text, _ in self._items)

    def clear(self) -> None:
        """Take everything back."""
        self._items.clear()
        self._size = 0

    def pop(self) -> str | None:
        """The next text, or None."""
        if not self._items:
            return None
        text, _ = self._items.popleft()
        self._size -= len(text)
        return text

    async def get(self) -> str:
        """Wait for the next text."""
        while (text := self.pop()) is None:
            self._news.clear()
            await self._news.wait()
        return text
