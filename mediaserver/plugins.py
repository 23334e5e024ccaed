"""Loads the operator's own tools by the names in the settings."""

import importlib
from collections.abc import Iterable, Sequence

from mediaserver.settings import SettingsError
from pipeline.gemini.model_profiles import check_declaration
from pipeline.guidance.plan_tools import PLAN_TOOLS
from pipeline.tools.toolbox import Tool, Toolbox

# The likely errors of importing a module from elsewhere; any other is shown with its traceback.
_FAILURES = (ImportError, AttributeError, SyntaxError, ValueError, LookupError, NameError, TypeError, OSError)


def load_toolbox(names: Iterable[str], engine_tools: Sequence[Tool] = ()) -> Toolbox:
    """Load the server's own tools, `engine_tools`, and those named `module:attribute`.

    Raises `SettingsError` with one line for each fault.
    """
    tools = list(engine_tools)
    faults: list[str] = []
    taken = {tool.name for tool in Toolbox([*PLAN_TOOLS, *tools]).tools}
    for name in names:
        try:
            tool = _load(name)
        except _FAILURES as error:
            faults.append(f"TOOLS: {name} cannot be loaded: {error}; accepts module:attribute, a pipeline.tools.Tool")
            continue
        if tool.name in taken:
            faults.append(f"TOOLS: {name} is called {tool.name}, as another tool is; accepts a name of its own")
        taken.add(tool.name)
        tools.append(tool)
    if faults:
        raise SettingsError(faults)
    return Toolbox([*PLAN_TOOLS, *tools])


def _load(name: str) -> Tool:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError("it has no module or no attribute")
    tool = getattr(importlib.import_module(module), attribute)
    if not isinstance(tool, Tool):
        raise ValueError(f"it is no Tool but a {type(tool).__name__}")
    check_declaration(tool)
    return tool
