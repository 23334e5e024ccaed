"""The plan of a conversation: a goal in steps, exactly one of them current until the last is done."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.events import Evidence, Guidance, Step, StepState
from pipeline.guidance.guide import Guide, GuideStep


class Plan:
    """Steps, numbered from 1. A step that was skipped stays undone."""

    def __init__(self, goal: str, steps: Sequence[GuideStep], *, guide: str | None = None):
        if not steps:
            raise ValueError("a plan has at least one step")
        self.goal = goal
        self.guide = guide
        """The id of the guide that it follows; None for a plan made on the fly."""
        self.steps = tuple(steps)
        self.current: int | None = 1
        """The number of the current step; None once the plan is finished."""
        self._evidence: dict[int, Evidence] = {}

    @classmethod
    def of(cls, guide: Guide) -> "Plan":
        """Make the plan of a guide."""
        return cls(guide.title, guide.steps, guide=guide.id)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def step(self) -> GuideStep | None:
        """The current step."""
        return None if self.current is None else self.steps[self.current - 1]

    def state(self, number: int) -> StepState:
        """Return the state of a step."""
        if number == self.current:
            return StepState.CURRENT
        return StepState.DONE if number in self._evidence else StepState.AHEAD

    def has(self, number: int) -> bool:
        """Whether there is a step with this number."""
        return 1 <= number <= len(self.steps)

    def complete(self, number: int, evidence: Evidence) -> None:
        """Mark a step as done; if it is the current one, the next undone step after it becomes current."""
        self._evidence[number] = evidence
        if number == self.current:
            self._advance()

    def skip(self) -> None:
        """Leave the current step undone and go to the next undone one after it."""
        self._advance()

    def go_to(self, number: int) -> None:
        """Make a step current; it and all after it count as undone."""
        self.current = number
        self._evidence = {done: evidence for done, evidence in self._evidence.items() if done < number}

    def back(self) -> None:
        """Go to the step before the current one, from a finished plan to its last; the first stays current."""
        self.go_to(len(self.steps) if self.current is None else max(1, self.current - 1))

    def add_hint(self, number: int, hint: str) -> None:
        """Add a hint to a step."""
        step = self.steps[number - 1]
        changed = replace(step, hints=(*step.hints, hint))
        self.steps = (*self.steps[: number - 1], changed, *self.steps[number:])

    def event(self) -> Guidance:
        """Render the plan as an event."""
        steps = tuple(
            Step(number, step.text, self.state(number), self._evidence.get(number))
            for number, step in enumerate(self.steps, start=1)
        )
        return Guidance(self.goal, steps, self.guide)

    def _advance(self) -> None:
        if self.current is not None:
            later = range(self.current + 1, len(self.steps) + 1)
            self.current = next((number for number in later if number not in self._evidence), None)
