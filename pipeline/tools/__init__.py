"""Functions that the engine may call. Your own tools import from here: this part is public."""

from pipeline.tools.toolbox import Outcome, Tool, ToolContext, ToolError

__all__ = ["Outcome", "Tool", "ToolContext", "ToolError"]
