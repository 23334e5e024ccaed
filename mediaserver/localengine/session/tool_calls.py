"""The pending function calls of one session, on the engine's side; `pipeline/tools/executor.py` runs them."""

import asyncio
from collections.abc import Iterable

from mediaserver.localengine.protocol.messages import FunctionResponse, ToolCall
from mediaserver.localengine.responder.interface import Call, CallResult

_SILENT = "SILENT"


class PendingToolCalls:
    """Calls without a result yet; their unique ids begin with `prefix`."""

    def __init__(self, prefix: str):
        self._prefix = prefix
        self._count = 0
        self._open: dict[str, asyncio.Future[CallResult]] = {}

    @property
    def are_open(self) -> bool:
        """Whether any call is pending."""
        return bool(self._open)

    def open(self, call: Call) -> ToolCall:
        """Assign an id to a call that is about to be sent."""
        self._count += 1
        numbered = ToolCall(f"{self._prefix}-{self._count}", call.name, call.args)
        self._open[numbered.id] = call.result or asyncio.get_running_loop().create_future()
        return numbered

    def settle(self, responses: Iterable[FunctionResponse]) -> bool:
        """Settle pending calls; unknown, repeated and cancelled ids are ignored. Returns whether any was pending."""
        was_pending = False
        for response in responses:
            if response.id is None or (result := self._open.pop(response.id, None)) is None:
                continue
            was_pending = True
            if not result.done():  # whoever waited for it may have given up
                result.set_result(CallResult(response.response, response.scheduling == _SILENT))
        return was_pending

    def cancel(self) -> tuple[str, ...]:
        """Cancel every pending call."""
        cancelled, self._open = self._open, {}
        for result in cancelled.values():
            result.cancel()
        return tuple(cancelled)

    async def answered(self, call_id: str) -> None:
        """Wait until a call is no longer pending."""
        if (result := self._open.get(call_id)) is not None:
            await asyncio.wait([result])
