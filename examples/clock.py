"""A tool of your own: copy this file beside run.py and start with TOOLS=clock:CLOCK."""

from collections.abc import Mapping
from datetime import datetime

from pipeline.tools import Outcome, Tool, ToolContext, ToolError


async def now(args: Mapping[str, object], _: ToolContext) -> Outcome:
    """Give the time to the model, or say why not."""
    if args.get("place") != "here":
        raise ToolError("Only the time here is known.")
    return {"time": datetime.now().strftime("%H:%M")}


CLOCK = Tool(
    "now",
    "Tell the time. Call it whenever the user asks for the time.",
    {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    now,
    seconds=2,
)
