"""The functions by which a model makes and moves the plan; each turns its arguments into a request to the coach."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.events import GuideAction
from pipeline.guidance.guide import MAX_STEPS, MAX_TEXT, MAX_TITLE, GuideStep
from pipeline.tools.toolbox import PlanRequest, Tool, ToolContext, ToolError


@dataclass(frozen=True, slots=True)
class SetSteps(PlanRequest):
    """Replace the plan."""

    goal: str
    steps: tuple[GuideStep, ...]


@dataclass(frozen=True, slots=True)
class FollowGuide(PlanRequest):
    """Follow the guide that a request of the user names."""

    request: str


@dataclass(frozen=True, slots=True)
class CompleteStep(PlanRequest):
    """Mark a step as done, with the words that show it on frame number `frame`."""

    id: int
    words: str
    frame: int | None


@dataclass(frozen=True, slots=True)
class GoToStep(PlanRequest):
    """Make a step current."""

    id: int


@dataclass(frozen=True, slots=True)
class AddHint(PlanRequest):
    """Add a hint to a step."""

    id: int
    hint: str


@dataclass(frozen=True, slots=True)
class MovePlan(PlanRequest):
    """Move the plan as the user has asked."""

    action: GuideAction


def set_steps(args: Mapping[str, object], _: ToolContext) -> SetSteps:
    """Read a goal and its steps, or raise `ToolError`."""
    steps = args.get("steps")
    if not isinstance(steps, list) or not 0 < len(steps) <= MAX_STEPS:
        raise ToolError(f"`steps` is a list of 1 to {MAX_STEPS} objects with `text`.")
    return SetSteps(_text(args, "goal", limit=MAX_TITLE), tuple(_step(step) for step in steps))


def start_guide(args: Mapping[str, object], _: ToolContext) -> FollowGuide:
    """Read the user's request, or raise `ToolError`."""
    return FollowGuide(_text(args, "request"))


def complete_step(args: Mapping[str, object], context: ToolContext) -> CompleteStep:
    """Read a step's id and the evidence, or raise `ToolError`."""
    return CompleteStep(_id(args), _text(args, "evidence"), context.frame)


def go_to_step(args: Mapping[str, object], _: ToolContext) -> GoToStep:
    """Read a step's id, or raise `ToolError`."""
    return GoToStep(_id(args))


def add_hint(args: Mapping[str, object], _: ToolContext) -> AddHint:
    """Read a step's id and a hint, or raise `ToolError`."""
    return AddHint(_id(args), _text(args, "hint"))


def guide_command(args: Mapping[str, object], _: ToolContext) -> MovePlan:
    """Read the user's command, or raise `ToolError`."""
    command = args.get("command")
    if command not in list(GuideAction):
        raise ToolError(f"`command` is one of: {', '.join(GuideAction)}.")
    return MovePlan(GuideAction(str(command)))


_ID = {"id": {"type": "integer", "description": "the step's number, from 1"}}

SET_STEPS = Tool(
    "set_steps",
    "Make the plan of a task: all of its steps in order, the first one current. The server keeps it and shows it.",
    {
        "type": "object",
        "properties": {
            "goal": {"type": "string", "description": "the task in a few words"},
            "steps": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string", "description": "one action of the user"},
                        "look_for": {"type": "string", "description": "words on the screen that show that it is done"},
                        "gone": {"type": "string", "description": "words that vanish from the screen when it is done"},
                        "where": {"type": "string", "description": "the label on the screen to press or fill in"},
                    },
                    "required": ["text"],
                },
            },
        },
        "required": ["goal", "steps"],
    },
    set_steps,
)

START_GUIDE = Tool(
    "start_guide",
    "Follow a guide of this server, if it has one for the task. Call it before set_steps when the user asks to be "
    "taken through a task.",
    {
        "type": "object",
        "properties": {"request": {"type": "string", "description": "the task in the user's words, or a guide's id"}},
        "required": ["request"],
    },
    start_guide,
)

COMPLETE_STEP = Tool(
    "complete_step",
    "Mark a step of the plan as done, once the newest picture shows that it is.",
    {
        "type": "object",
        "properties": _ID | {"evidence": {"type": "string", "description": "the words or the sign that you see"}},
        "required": ["id", "evidence"],
    },
    complete_step,
)

GO_TO_STEP = Tool(
    "go_to_step",
    "Make another step of the plan current.",
    {"type": "object", "properties": _ID, "required": ["id"]},
    go_to_step,
)

ADD_HINT = Tool(
    "add_hint",
    "Add a hint to a step of the plan.",
    {"type": "object", "properties": _ID | {"hint": {"type": "string"}}, "required": ["id", "hint"]},
    add_hint,
)

GUIDE_COMMAND = Tool(
    "guide_command",
    "Move the plan as the user asks: next, back, repeat, skip, where (where am I), restart (start over), hint (I am "
    "stuck), done (only if you cannot see whether it is), close; remarks_off if you shall not speak unasked.",
    {
        "type": "object",
        "properties": {"command": {"type": "string", "enum": [action.value for action in GuideAction]}},
        "required": ["command"],
    },
    guide_command,
)

PLAN_TOOLS = (SET_STEPS, START_GUIDE, COMPLETE_STEP, GO_TO_STEP, ADD_HINT, GUIDE_COMMAND)


def _step(step: object) -> GuideStep:
    if not isinstance(step, dict):
        raise ToolError("A step is an object with `text`.")
    return GuideStep(
        _text(step, "text"),
        look_for=_optional_text(step, "look_for"),
        gone=_optional_text(step, "gone"),
        point_at=_optional_text(step, "where"),
    )


def _id(args: Mapping[str, object]) -> int:
    number = args.get("id")
    # Models send whole numbers as 2.0 too.
    if not isinstance(number, int | float) or isinstance(number, bool) or number not in range(1, MAX_STEPS + 1):
        raise ToolError("`id` is the number of a step, from 1.")
    return int(number)


def _optional_text(args: Mapping[str, object], name: str) -> str | None:
    text = args.get(name)
    # Words without a letter or digit are never found by OCR.
    return _text(args, name) if isinstance(text, str) and any(sign.isalnum() for sign in text) else None


def _text(args: Mapping[str, object], name: str, *, limit: int = MAX_TEXT) -> str:
    value = args.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ToolError(f"`{name}` is a string that is not blank.")
    return " ".join(value.split())[:limit]
