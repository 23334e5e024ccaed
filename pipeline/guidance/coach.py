"""The owner of a conversation's plan: carries out what the user, the model and the screen ask of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never

from pipeline.errors import MediaError
from pipeline.events import Evidence, EvidenceSource, Guidance, GuideAction, StepState
from pipeline.guidance import sentences
from pipeline.guidance.guide import Guide, GuideStep
from pipeline.guidance.library import GuideLibrary
from pipeline.guidance.notes import plan_note
from pipeline.guidance.plan import Plan
from pipeline.guidance.plan_tools import AddHint, CompleteStep, FollowGuide, GoToStep, MovePlan, SetSteps
from pipeline.guidance.step_check import StepCheck
from pipeline.media import EncodedFrame
from pipeline.screen.layout import ScreenLayout
from pipeline.screen.read_text import ReadText
from pipeline.tools.toolbox import PlanAnswer, PlanRequest, ToolError


class ScreenReader(Protocol):
    """Reads frames, such as `pipeline.screen.ocr.Ocr`."""

    async def read(self, jpeg: bytes, /) -> tuple[ReadText, ...]:
        """Return the lines of text on a frame; raises `MediaError`."""
        ...

    async def layout(self, jpeg: bytes, /) -> ScreenLayout:
        """Return the layout of a frame; raises `MediaError`."""
        ...


@dataclass(frozen=True, slots=True)
class WatchTiming:
    """Times in seconds of the watch of the screen."""

    still: float = 1.1
    """So long without a new frame, the screen counts as still; frames come at least 1 s apart."""
    restless: float = 5.0
    """A screen that never is still is looked at this often."""
    quiet_poll: float = 0.1
    """So often a sentence that waits looks whether the user and the assistant are silent."""


DEFAULT_TIMING = WatchTiming()


async def no_guides() -> GuideLibrary:
    """Return an empty library."""
    return GuideLibrary()


@dataclass(frozen=True, slots=True)
class GuidanceConfig:
    """The guidance of one conversation."""

    guide: Guide | None = None
    """The guide to start with."""
    load_guides: Callable[[], Awaitable[GuideLibrary]] = no_guides
    """Loads the guides that the user may follow now."""
    reader: ScreenReader | None = None
    """Without one, no step ticks by itself."""
    takes_notes: bool = False
    """Whether the engine is a model, which can look at the screen when a note asks it to."""
    remarks: bool = True
    """Whether the assistant speaks unasked at first."""
    timing: WatchTiming = DEFAULT_TIMING


class Coach:
    """Holds at most one plan. Every change is sent as a `Guidance` event; the returned sentences are to be spoken."""

    def __init__(
        self,
        config: GuidanceConfig,
        *,
        send_event: Callable[[Guidance], None],
        screenshot: Callable[[], EncodedFrame | None],
        on_changed: Callable[[], None],
    ):
        self.plan: Plan | None = None
        self.remarks = config.remarks
        """True: the assistant may speak unasked."""
        self.revision = 0
        """Counts the changes of the plan."""
        self.check: StepCheck | None = None
        """The check of the current step."""
        self._config = config
        self._send_event = send_event
        self._screenshot = screenshot
        self._on_changed = on_changed
        self._hints_given = 0

    @property
    def event(self) -> Guidance | None:
        """The plan as it is now, for a client that joins."""
        return None if self.plan is None else self.plan.event()

    @property
    def note(self) -> str | None:
        """The plan in words, as context of a question to a model."""
        return plan_note(self.plan) if self.plan is not None and self._config.takes_notes else None

    @property
    def open_plan(self) -> Plan | None:
        """The plan, unless it is finished."""
        return self.plan if self.plan is not None and self.plan.current is not None else None

    # Changes.

    def start(self, guide: Guide) -> str:
        """Follow a guide from its first step."""
        return self._begin(Plan.of(guide))

    async def start_by_id(self, guide_id: str) -> str | None:
        """Follow the guide with this id; None if the user has none."""
        guide = (await self._config.load_guides()).get(guide_id)
        return None if guide is None else self.start(guide)

    def adopt(self, shown: Guidance) -> None:
        """Make a plan of a list of steps with states, as the function show_steps gives it."""
        plan = Plan(shown.title, [GuideStep(step.text) for step in shown.steps])
        current = next((step.id for step in shown.steps if step.state is StepState.CURRENT), None)
        for step in shown.steps:
            if step.state is StepState.DONE:
                plan.complete(step.id, Evidence(EvidenceSource.ASSISTANT, ""))
        if current is not None:
            plan.current = current
        self.plan = plan
        self._changed()

    async def move(self, action: GuideAction) -> str:
        """Move the plan as the user asks, and return the sentence that answers."""
        if action in (GuideAction.REMARKS_ON, GuideAction.REMARKS_OFF):
            self.remarks = action is GuideAction.REMARKS_ON
            return sentences.REMARKS_ON if self.remarks else sentences.REMARKS_OFF
        plan = self.plan
        if plan is None:
            return sentences.NO_PLAN
        if action is GuideAction.DONE and (answer := await self._refuse_unseen(plan)) is not None:
            return answer
        return self._move(plan, action)

    def _move(self, plan: Plan, action: GuideAction) -> str:
        match action:
            case GuideAction.NEXT | GuideAction.DONE:
                if plan.current is not None:
                    plan.complete(plan.current, Evidence(EvidenceSource.USER, ""))
                    self._changed()
            case GuideAction.SKIP:
                plan.skip()
                self._changed()
            case GuideAction.BACK:
                plan.back()
                self._changed(must_appear=True)
            case GuideAction.RESTART:
                plan.go_to(1)
                self._changed(must_appear=True)
            case GuideAction.CLOSE:
                self.plan = None
                self._changed()
                return sentences.CLOSED
            case GuideAction.WHERE:
                return sentences.where(plan)
            case GuideAction.HINT:
                self._hints_given += 1
                return sentences.hint(plan, self._hints_given - 1)
            case GuideAction.REPEAT | GuideAction.REMARKS_ON | GuideAction.REMARKS_OFF:
                pass
            case _:
                assert_never(action)
        return sentences.current_step(plan)

    async def change(self, request: PlanRequest) -> PlanAnswer:
        """Carry out a model's request; raises `ToolError`."""
        match request:
            case FollowGuide(text):
                return await self._follow(text)
            case MovePlan(action):
                return self._answer(await self.move(action))
            case SetSteps(goal, steps):
                self._begin(Plan(goal, steps))
                return PlanAnswer({"result": "shown", "current": 1}, is_silent=True)
        plan = self.plan
        if plan is None:
            raise ToolError("There is no plan; make one with set_steps.")
        match request:
            case CompleteStep(id, words, frame):
                self._require(plan, id)
                is_current = id == plan.current
                plan.complete(id, Evidence(EvidenceSource.ASSISTANT, words, frame))
                self._changed(keeps_step=not is_current)
                return self._answer(sentences.current_step(plan))
            case GoToStep(id):
                self._require(plan, id)
                plan.go_to(id)
                self._changed(must_appear=True)
                return self._answer(sentences.current_step(plan))
            case AddHint(id, hint):
                self._require(plan, id)
                plan.add_hint(id, hint)
                return PlanAnswer({"result": "added"}, is_silent=True)
            case _:
                raise ToolError("This change of the plan is not known.")

    def tick(self, evidence: Evidence) -> None:
        """Mark the current step as done, as the screen shows it."""
        plan = self.open_plan
        if plan is not None and plan.current is not None:
            plan.complete(plan.current, evidence)
            self._changed()

    def take_branch(self, number: int) -> None:
        """Go to another step, as the screen shows that this is the way."""
        if self.plan is not None:
            self.plan.go_to(number)
            self._changed()

    async def _follow(self, request: str) -> PlanAnswer:
        library = await self._config.load_guides()
        guide = library.match(request)
        if guide is not None:
            return self._answer(self.start(guide))
        listed = [{"id": guide.id, "title": guide.title} for guide in library.guides]
        answer = {"result": "no guide fits", "guides": listed, "list": sentences.guides(library.guides)}
        return PlanAnswer(answer, is_silent=False)

    async def _refuse_unseen(self, plan: Plan) -> str | None:
        """Look whether the current step is done as the user says; the sentence if the screen shows that it is not."""
        frame, check, revision = self._screenshot(), self.check, self.revision
        if self._config.reader is None or frame is None or check is None or not check.step.is_checkable:
            return None
        try:
            lines = await self._config.reader.read(frame.jpeg)
        except MediaError:
            return None  # the user's word is enough where the screen cannot be read
        if self.revision != revision:
            return sentences.current_step(plan)  # it was ticked while the frame was read
        evidence = check.confirm(lines, frame=frame.number)
        if evidence is None:
            return sentences.not_seen(plan)
        self.tick(evidence)
        return sentences.current_step(plan)

    def _begin(self, plan: Plan) -> str:
        self.plan = plan
        self._changed()
        return sentences.started(plan)

    def _changed(self, *, must_appear: bool = False, keeps_step: bool = False) -> None:
        self.revision += 1
        if not keeps_step:
            step = None if self.plan is None else self.plan.step
            self.check = None if step is None else StepCheck(step, must_appear)
            self._hints_given = 0
        self._send_event(Guidance("", ()) if self.plan is None else self.plan.event())
        self._on_changed()

    def _answer(self, sentence: str) -> PlanAnswer:
        return PlanAnswer({"say": sentence}, is_silent=False)

    def _require(self, plan: Plan, number: int) -> None:
        if not plan.has(number):
            raise ToolError(f"There is no step {number}; the plan has steps 1 to {len(plan)}.")


def expected_steps(plan: Plan) -> Sequence[GuideStep]:
    """Return the current step and the one after it, whose words are no surprise on the screen."""
    return () if plan.current is None else plan.steps[plan.current - 1 : plan.current + 1]
