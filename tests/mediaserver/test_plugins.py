"""Tools from outside: found by name, or told what is wrong with each."""

from pathlib import Path

import pytest

from mediaserver.plugins import load_toolbox
from mediaserver.settings import SettingsError
from pipeline.guidance.plan_tools import PLAN_TOOLS

MODULE = """
from pipeline.tools import Tool
NOTHING_TO_SAY = {"type": "object", "properties": {}}
WEATHER = Tool("weather", "Say the weather.", NOTHING_TO_SAY, lambda args, context: {"sky": "clear"})
POINTER = Tool("point_at", "Point.", NOTHING_TO_SAY, lambda args, context: {})
CHOICE = Tool("choice", "Choose.", {"type": "object", "properties": {"a": {"const": 1}}}, lambda args, context: {})
MAYBE = Tool("maybe", "Say.", {"type": ["object", "null"]}, lambda args, context: {})
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tools_of_a_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


def test_named_tools_stand_beside_the_servers_own() -> None:
    toolbox = load_toolbox(["tools_of_a_test:WEATHER"])
    names = [tool.name for tool in toolbox.tools]
    assert names == ["point_at", "show_steps", *(tool.name for tool in PLAN_TOOLS), "weather"]


def test_every_tool_that_cannot_be_loaded_is_named() -> None:
    names = [
        "no_such_module:X",
        "tools_of_a_test:NOTHING",
        "tools_of_a_test",
        "pathlib:Path",
        "tools_of_a_test:POINTER",
        "tools_of_a_test:CHOICE",
        "tools_of_a_test:MAYBE",
    ]
    with pytest.raises(SettingsError) as raised:
        load_toolbox(names)
    assert len(raised.value.faults) == len(names)
    assert all(name in fault for name, fault in zip(names, raised.value.faults, strict=True))
    assert all(fault.startswith("TOOLS: ") and "accepts" in fault for fault in raised.value.faults)
