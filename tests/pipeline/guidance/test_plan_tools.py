"""Arguments of models become requests, or `ToolError` and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import GuideAction
from pipeline.gemini.model_profiles import check_declaration
from pipeline.guidance.guide import GuideStep
from pipeline.guidance.plan_tools import PLAN_TOOLS, AddHint, CompleteStep, FollowGuide, GoToStep, MovePlan, SetSteps
from pipeline.tools.toolbox import PlanRequest, Tool, ToolContext, ToolError

TOOLS = {tool.name: tool for tool in PLAN_TOOLS}


@pytest.mark.parametrize(
    ("name", "args", "request_made"),
    [
        (
            "set_steps",
            {"goal": " Save ", "steps": [{"text": "Press Save", "look_for": "Saved", "where": "Save", "gone": "--"}]},
            SetSteps("Save", (GuideStep("Press Save", look_for="Saved", point_at="Save"),)),
        ),
        ("start_guide", {"request": "file an  expense"}, FollowGuide("file an expense")),
        ("complete_step", {"id": 2.0, "evidence": "Saved"}, CompleteStep(2, "Saved", 7)),
        ("go_to_step", {"id": 3}, GoToStep(3)),
        ("add_hint", {"id": 1, "hint": "It is blue."}, AddHint(1, "It is blue.")),
        ("guide_command", {"command": "next"}, MovePlan(GuideAction.NEXT)),
    ],
)
def test_a_call_becomes_a_request(name: str, args: dict[str, object], request_made: PlanRequest) -> None:
    assert TOOLS[name].run(args, ToolContext(7)) == request_made


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("set_steps", {"goal": "Save", "steps": []}),
        ("set_steps", {"goal": "Save", "steps": ["Press Save"]}),
        ("complete_step", {"id": 1, "evidence": " "}),  # never without evidence
        ("complete_step", {"id": True, "evidence": "Saved"}),
        ("go_to_step", {"id": 0}),
        ("guide_command", {"command": ["next"]}),
    ],
)
def test_a_call_that_says_too_little_is_refused(name: str, args: dict[str, object]) -> None:
    with pytest.raises(ToolError):
        TOOLS[name].run(args, ToolContext(7))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "where", "id"]), inner),
    max_leaves=6,
)


@given(
    st.sampled_from(PLAN_TOOLS),
    st.dictionaries(st.sampled_from(["id", "goal", "steps", "hint", "evidence", "command", "request"]), JSON),
)
def test_any_arguments_become_a_request_or_are_refused(tool: Tool, args: dict[str, object]) -> None:
    try:
        request = tool.run(args, ToolContext(None))
    except ToolError:
        return
    assert isinstance(request, PlanRequest)


@pytest.mark.parametrize("tool", PLAN_TOOLS, ids=lambda tool: tool.name)
def test_gemini_accepts_the_declarations(tool: Tool) -> None:
    check_declaration(tool)
