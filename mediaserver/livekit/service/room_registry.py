"""The rooms of this server by name."""

import asyncio
from collections.abc import Callable

from livekit.protocol.models import DisconnectReason
from loguru import logger

from mediaserver.livekit.service.live_room import RoomRuntime

_CLOSE_DEADLINE = 10.0


class RoomRegistry:
    """Finds, creates and closes rooms, and runs each in a task of its own."""

    def __init__(self, make_room: Callable[[str], RoomRuntime]):
        self._make_room = make_room
        self._rooms: dict[str, RoomRuntime] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._rooms)

    @property
    def all(self) -> tuple[RoomRuntime, ...]:
        """The open rooms."""
        return tuple(room for room in self._rooms.values() if not room.is_closed)

    def find(self, name: str) -> RoomRuntime | None:
        """Return an open room by name."""
        found = self._rooms.get(name)
        return found if found is not None and not found.is_closed else None

    async def get_or_create(self, name: str) -> RoomRuntime:
        """Return a room by name, and create it if there is none."""
        found = self.find(name)
        if found is not None:
            return found
        room = self._rooms[name] = self._make_room(name)
        started = asyncio.Event()
        task = asyncio.create_task(room.run(started), name=f"room {room.room.sid}")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._forget(room, done))
        await started.wait()
        return room

    def delete(self, name: str) -> bool:
        """Delete a room; False if there is none."""
        room = self.find(name)
        if room is None:
            return False
        del self._rooms[name]
        room.delete()
        return True

    async def close(self) -> None:
        """Close all rooms, and wait for them at most 10 s."""
        for room in self.all:
            room.close(DisconnectReason.SERVER_SHUTDOWN)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_DEADLINE)

    def _forget(self, room: RoomRuntime, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._rooms.get(room.room.name) is room:
            del self._rooms[room.room.name]
        # Only a bug ends a room with an exception; its clients are disconnected by then.
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("room failed")
