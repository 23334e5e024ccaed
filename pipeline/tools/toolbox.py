"""The functions that the engine can call, each of which yields events for the client or data for the model."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.events import Box, Fault, Guidance, Pointer, Step, StepState

Schema = Mapping[str, object]

MAX_STEPS = 30
MAX_LABEL = 200


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The number of the newest frame, or None if no screen is shared."""

    frame: int | None


class PlanRequest:
    """A change of the conversation's plan; `pipeline/guidance/plan_tools.py` has its kinds."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class PlanAnswer:
    """The result of a `PlanRequest` for the model; `is_silent`: it need not speak about it."""

    result: Mapping[str, object]
    is_silent: bool


Outcome = Fault | Guidance | Pointer | PlanRequest | Mapping[str, object]
"""The result of a call: an event for the user, a change of the plan, or data for the model."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the engine can call: its declaration (JSON Schema `parameters`) and its code.

    `run` returns an outcome or an awaitable of one, which gets at most `seconds`; it raises `ToolError` if it fails.
    """

    name: str
    description: str
    parameters: Schema
    run: Callable[[Mapping[str, object], ToolContext], Outcome | Awaitable[Outcome]]
    seconds: float = 8.0


class ToolError(Exception):
    """A call that cannot be executed; the message is meant for the model."""


def point_at(args: Mapping[str, object], context: ToolContext) -> Pointer:
    """Turn a box into a pointer on the newest frame, clamped and ordered, or raise `ToolError`."""
    if context.frame is None:
        raise ToolError("No screen is shared, so there is nothing to point at.")
    return Pointer(context.frame, _box(args.get("box_2d")), _text(args.get("label", ""), "label"))


def show_steps(args: Mapping[str, object], _: ToolContext) -> Guidance:
    """Turn a list of steps into guidance, or raise `ToolError`."""
    steps = args.get("steps")
    if not isinstance(steps, list) or not 0 < len(steps) <= MAX_STEPS:
        raise ToolError(f"`steps` is a list of 1 to {MAX_STEPS} objects with `text` and `state`.")
    title = _text(args.get("title", ""), "title")
    return Guidance(title, tuple(_step(number, step) for number, step in enumerate(steps, start=1)))


POINT_AT = Tool(
    "point_at",
    "Draw a box on the shared screen around the thing you speak of. Call it whenever you say where something is.",
    {
        "type": "object",
        "properties": {
            "box_2d": {
                "type": "array",
                "items": {"type": "integer"},
                "description": "[ymin, xmin, ymax, xmax], integers 0 to 1000 of the newest frame",
            },
            "label": {"type": "string", "description": "what it is, in a word or two"},
        },
        "required": ["box_2d", "label"],
    },
    point_at,
)

SHOW_STEPS = Tool(
    "show_steps",
    "Show the steps of the task as a list beside the screen. Call it again whenever a step is done.",
    {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "steps": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string"},
                        "state": {"type": "string", "enum": [state.value for state in StepState]},
                    },
                    "required": ["text", "state"],
                },
            },
        },
        "required": ["title", "steps"],
    },
    show_steps,
)


class Toolbox:
    """The tools of one server by name: the two built-in ones, and `more`."""

    def __init__(self, more: Sequence[Tool] = ()):
        self.tools = (POINT_AT, SHOW_STEPS, *more)
        self._by_name = {tool.name: tool for tool in self.tools}

    def get(self, name: str) -> Tool:
        """Return the tool of that name, or raise `ToolError`."""
        tool = self._by_name.get(name)
        if tool is None:
            raise ToolError(f"There is no function {name!r}; there are: {', '.join(self._by_name)}.")
        return tool


def _box(value: object) -> Box:
    numbers = [side for side in value if _is_number(side)] if isinstance(value, list) else []
    if not isinstance(value, list) or len(value) != 4 or len(numbers) != 4:
        raise ToolError("`box_2d` is [ymin, xmin, ymax, xmax], integers 0 to 1000.")
    top, left, bottom, right = (round(min(1000.0, max(0.0, float(side)))) for side in numbers)
    return min(top, bottom), min(left, right), max(top, bottom), max(left, right)


def _is_number(value: object) -> bool:
    # NaN compares false with everything, so it fails here too.
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e6 < value < 1e6


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ToolError(f"`{name}` is a string.")
    return value.strip()[:MAX_LABEL]


def _step(number: int, step: object) -> Step:
    match step:
        case {"text": str(text), "state": "done" | "current" | "todo" as state}:
            return Step(number, text.strip()[:MAX_LABEL], StepState(state))
        case _:
            raise ToolError("A step has `text` (a string) and `state`: done, current or todo.")
