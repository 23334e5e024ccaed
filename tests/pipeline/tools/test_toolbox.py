"""The built-in tools."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import Guidance, Pointer, Step, StepState
from pipeline.tools.toolbox import Toolbox, ToolContext, ToolError

SHARED = ToolContext(frame=17)


def called(name: str, args: Mapping[str, object], context: ToolContext) -> object:
    return Toolbox().get(name).run(args, context)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


def test_a_box_becomes_a_pointer_on_the_frame_seen_last() -> None:
    pointer = called("point_at", {"box_2d": [120, 40, 160, 110], "label": " Save "}, SHARED)
    assert pointer == Pointer(17, (120, 40, 160, 110), "Save")


def test_a_box_is_clamped_and_put_in_order() -> None:
    pointer = called("point_at", {"box_2d": [1200, 90.4, -5, 10], "label": "x"}, SHARED)
    assert pointer == Pointer(17, (0, 10, 1000, 90), "x")


def test_nothing_is_pointed_at_without_a_screen() -> None:
    with pytest.raises(ToolError, match="No screen"):
        called("point_at", {"box_2d": [0, 0, 1, 1], "label": "x"}, ToolContext(frame=None))


@pytest.mark.parametrize("box", [None, [1, 2, 3], [1, 2, 3, "4"], [1, 2, 3, True], [1, 2, 3, float("nan")], "1234"])
def test_what_is_no_box_is_refused_with_what_a_box_is(box: object) -> None:
    with pytest.raises(ToolError, match="ymin, xmin, ymax, xmax"):
        called("point_at", {"box_2d": box, "label": "x"}, SHARED)


def test_steps_become_guidance() -> None:
    steps = [{"text": "Open File", "state": "done"}, {"text": "Choose Save", "state": "current"}]
    guidance = called("show_steps", {"title": "Saving", "steps": steps}, SHARED)
    assert guidance == Guidance(
        "Saving", (Step(1, "Open File", StepState.DONE), Step(2, "Choose Save", StepState.CURRENT))
    )


@pytest.mark.parametrize("steps", [None, [], [{"text": "x"}], [{"text": "x", "state": "later"}], [1], [{}] * 31])
def test_what_are_no_steps_is_refused(steps: object) -> None:
    with pytest.raises(ToolError):
        called("show_steps", {"title": "t", "steps": steps}, SHARED)


def test_an_unknown_function_is_told_what_there_is() -> None:
    with pytest.raises(ToolError, match="point_at, show_steps"):
        called("format_disk", {}, SHARED)


@given(
    st.sampled_from(["point_at", "show_steps"]),
    st.dictionaries(st.sampled_from(["box_2d", "label", "steps"]), ANYTHING),
)
def test_any_arguments_give_an_event_or_a_tool_error(name: str, args: dict[str, Any]) -> None:
    try:
        event = called(name, args, SHARED)
    except ToolError:
        return
    assert isinstance(event, Pointer | Guidance)
