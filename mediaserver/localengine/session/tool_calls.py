"""The pending function calls of one session, on the engine's side; `pipeline/tools/executor.py` runs them."""

import asyncio
from collections.abc import Iterable

from mediaserver.localengine.protocol.messages import ToolCall
from mediaserver.localengine.responder.interface import Call


class PendingToolCalls:
    """Calls without a result yet; their unique ids begin with `prefix`."""

    def __init__(self, prefix: str):
        self._prefix = prefix
        self._count = 0
        self._open: dict[str, asyncio.Event] = {}

    @property
    def are_open(self) -> bool:
        """Whether any call is pending."""
        return bool(self._open)

    def open(self, call: Call) -> ToolCall:
        """Assign an id to a call that is about to be sent."""
        self._count += 1
        numbered = ToolCall(f"{self._prefix}-{self._count}", call.name, call.args)
        self._open[numbered.id] = asyncio.Event()
        return numbered

    def settle(self, ids: Iterable[str | None]) -> bool:
        """Settle pending calls; unknown, repeated and cancelled ids are ignored. Returns whether any was pending."""
        events = [self._open.pop(call_id) for call_id in ids if call_id in self._open]
        for event in events:
            event.set()
        return bool(events)

    def cancel(self) -> tuple[str, ...]:
        """Cancel every pending call."""
        ids = tuple(self._open)
        self.settle(ids)
        return ids

    async def answered(self, call_id: str) -> None:
        """Wait until a call is no longer pending."""
        if (event := self._open.get(call_id)) is not None:
            await event.wait()
