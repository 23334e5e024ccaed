"""A bounded queue that drops the oldest item and counts the drops."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A bounded queue between one or more senders and one `async for`; ends when closed and empty."""

    def __init__(self, capacity: int):
        self.dropped = 0
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._closed = False
        self._arrival = asyncio.Event()

    def put(self, item: T) -> bool:
        """Queue an item; True if the oldest was dropped for it. After `close` nothing is queued."""
        if self._closed:
            return False
        is_full = len(self._items) >= self._capacity
        if is_full:
            self._items.popleft()
            self.dropped += 1
        self._items.append(item)
        self._arrival.set()
        return is_full

    def close(self) -> None:
        """End the reader's loop after the queued items."""
        self._closed = True
        self._arrival.set()

    def __len__(self) -> int:
        return len(self._items)

    def __aiter__(self) -> "Mailbox[T]":
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._arrival.clear()
            await self._arrival.wait()
        return self._items.popleft()
