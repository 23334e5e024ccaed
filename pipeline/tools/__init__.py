"""Functions that the engine may call; a plug-in imports its names from here."""

from pipeline.tools.toolbox import Outcome, Tool, ToolContext, ToolError

__all__ = ["Outcome", "Tool", "ToolContext", "ToolError"]
