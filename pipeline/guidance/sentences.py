"""The sentences about a plan, for the assistant to speak."""

from collections.abc import Sequence

from pipeline.events import Evidence, EvidenceSource, Step, StepState
from pipeline.guidance.guide import Guide
from pipeline.guidance.plan import Plan

NO_PLAN = "No guide is open. Tell me what you want to do, such as: help me file an expense."
CLOSED = "I have closed the guide."
REMARKS_ON = "I will speak up when I see a step done or something unexpected."
REMARKS_OFF = "I will not speak unless you ask me."

MAX_SPOKEN_QUOTE = 60
"""Characters; a longer line is not spoken."""

MAX_LISTED = 5
"""Guides that are named in one sentence."""


def current_step(plan: Plan) -> str:
    """Read the current step, or the end of the plan."""
    if plan.step is None:
        return f"{_sentence(finished(plan))}"
    return _sentence(f"Step {plan.current} of {len(plan)}. {plan.step.sentence}")


def finished(plan: Plan) -> str:
    """Say that the plan is at its end, and whether steps were left out."""
    undone = [step.id for step in plan.event().steps if step.state is not StepState.DONE]
    if not undone:
        return f"That was the last step. All of {plan.goal!r} is done.".replace("'", '"')
    return f"That was the last step. You left out {_numbered(undone)}."


def started(plan: Plan) -> str:
    """Introduce a plan and read its first step."""
    return f"{_sentence(plan.goal)} {current_step(plan)}"


def ticked(steps: Sequence[Step], plan: Plan) -> str:
    """Report steps that were just seen done, with the evidence of the last, and read the next one."""
    evidence = steps[-1].evidence
    are = "is" if len(steps) == 1 else "are"
    report = f"{_numbered([step.id for step in steps])} {are} done".capitalize()
    return f"{report}{seen(evidence) if evidence else ''}. {current_step(plan)}"


def seen(evidence: Evidence) -> str:
    """Quote the words that were seen as the end of a sentence; empty unless the server has read a few."""
    is_quotable = evidence.source is EvidenceSource.SCREEN and 0 < len(evidence.words) <= MAX_SPOKEN_QUOTE
    return f": I see {_quoted(evidence.words)}" if is_quotable else ""


def not_seen(plan: Plan) -> str:
    """Say that the sign of the current step is not on the screen."""
    step = plan.step
    assert step is not None
    if step.look_for is not None:
        missing = f"I do not see {_quoted(step.look_for)} yet"
    else:
        missing = f"I still see {_quoted(step.gone or '')}"
    return f"{missing}. {current_step(plan)} Say next to go on without it."


def hint(plan: Plan, number: int) -> str:
    """Give the hint with this number, counted from 0 and round again; without hints, the step with its label."""
    step = plan.step
    if step is None:
        return current_step(plan)
    if step.hints:
        return _sentence(step.hints[number % len(step.hints)])
    if step.point_at is not None:
        return f"{current_step(plan)} Look for {_quoted(step.point_at)} on the screen."
    return f"I have no hint for this. {current_step(plan)}"


def where(plan: Plan) -> str:
    """Say which step of which goal is current."""
    return f"You follow {_quoted(plan.goal)}. {current_step(plan)}"


def branched(text: str, plan: Plan) -> str:
    """Say why the plan goes another way, and read the step."""
    return f"I see {_quoted(text)}, so we go on elsewhere. {current_step(plan)}"


def wrong_turn(text: str, plan: Plan) -> str:
    """Remark on something unexpected on the screen."""
    return f"Wait, I see something unexpected: {_quoted(text)}. We are still at step {plan.current} of {len(plan)}."


def guides(guides: Sequence[Guide]) -> str:
    """List the guides by number."""
    if not guides:
        return "This server has no guides."
    listed = "; ".join(f"{number}, {guide.title}" for number, guide in enumerate(guides[:MAX_LISTED], start=1))
    return f"I have these guides: {listed}. Say: guide one, or the name of another."


def _numbered(ids: Sequence[int]) -> str:
    if len(ids) == 1:
        return f"step {ids[0]}"
    return f"steps {', '.join(map(str, ids[:-1]))} and {ids[-1]}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…", ":")) else f"{text}."


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "'") + '"'
