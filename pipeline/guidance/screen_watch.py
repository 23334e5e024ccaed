"""Watches the screen for the plan: ticks steps, points at the next one and remarks on wrong turns."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from loguru import logger

from pipeline.errors import MediaError
from pipeline.events import Pointer, Step
from pipeline.guidance import sentences
from pipeline.guidance.coach import Coach, ScreenReader, WatchTiming, expected_steps
from pipeline.guidance.notes import say_note, screen_note
from pipeline.guidance.plan import Plan
from pipeline.guidance.step_check import WrongTurns, find_text
from pipeline.media import EncodedFrame
from pipeline.screen.layout import ScreenLayout
from pipeline.screen.read_text import ReadText

REMARK_INTERVAL = 20.0
"""Seconds between two remarks that nobody asked for; reports of ticked steps are not among them."""


@dataclass(frozen=True, slots=True)
class _Report:
    """A sentence that waits for silence: a note, or steps that were ticked, or the words that led to a branch.

    It holds for one revision of the plan only.
    """

    revision: int
    note: str | None = None
    ticked: tuple[Step, ...] = ()
    branch: str = ""


class ScreenWatch:
    """Looks at each new frame while a plan is open.

    `speak` sends a note to the engine and returns False, without doing so, while the user or the assistant speaks.
    """

    def __init__(
        self,
        coach: Coach,
        reader: ScreenReader | None,
        *,
        takes_notes: bool,
        screenshot: Callable[[], EncodedFrame | None],
        speak: Callable[[str], Awaitable[bool]],
        send_event: Callable[[Pointer], None],
        timing: WatchTiming,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._coach = coach
        self._reader = reader
        self._takes_notes = takes_notes
        self._screenshot = screenshot
        self._speak = speak
        self._send_event = send_event
        self._timing = timing
        self._clock = clock
        self._new_frame = asyncio.Event()
        self._due = asyncio.Event()
        self._wrong_turns = WrongTurns()
        self._pending: _Report | None = None
        self._has_report = asyncio.Event()
        self._pointed_at: tuple[int, int] | None = None  # revision of the plan, and frame
        self._noted_frame = 0
        self._unexpected: str | None = None
        self._last_remark = float("-inf")

    def on_frame(self) -> None:
        """Note that a new frame was sent to the engine."""
        self._new_frame.set()
        self._due.set()

    def on_plan_changed(self) -> None:
        """Note that the plan has changed, so that the frame at hand is looked at for it."""
        self._due.set()

    def announce(self, sentence: str) -> None:
        """Speak a sentence about the plan as it is now, as soon as it is quiet."""
        self._report(_Report(self._coach.revision, note=say_note(sentence)))

    async def run(self) -> None:
        """Look at the screen whenever it or the plan has changed, and report, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run_looks())
            tasks.create_task(self._run_reports())

    async def _run_looks(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            if self._new_frame.is_set():
                await self._until_still()
            if self._coach.open_plan is not None:
                await self._look()

    async def _until_still(self) -> None:
        deadline = self._clock() + self._timing.restless
        while self._new_frame.is_set() and self._clock() < deadline:
            self._new_frame.clear()
            await asyncio.sleep(self._timing.still)
        self._new_frame.clear()

    async def _look(self) -> None:
        frame = self._screenshot()
        if frame is None:
            return
        if self._reader is not None:
            try:
                lines = await self._reader.read(frame.jpeg)
                layout = await self._reader.layout(frame.jpeg)
            except MediaError as error:
                logger.warning("the screen cannot be read for the plan", reason=error.message)
                return
            self._check_steps(lines, frame.number)
            plan = self._coach.open_plan
            if plan is not None:
                self._point(plan, lines, frame.number)
                self._look_for_wrong_turn(plan, lines, layout)
        self._remark(frame)

    def _check_steps(self, lines: tuple[ReadText, ...], frame: int) -> None:
        """Tick every step that the frame shows to be done, one after the other."""
        plan = self._coach.open_plan
        visited: set[int] = set()  # branches may lead round in a circle
        while plan is not None and plan.current is not None and plan.current not in visited:
            visited.add(plan.current)
            number, check = plan.current, self._coach.check
            assert check is not None
            evidence = check.look(lines, frame=frame)
            if evidence is not None:
                self._coach.tick(evidence)
                self._report(_Report(self._coach.revision, ticked=(plan.event().steps[number - 1],)))
            elif (branch := check.branch(lines)) is not None:
                self._coach.take_branch(branch.step)
                self._report(_Report(self._coach.revision, branch=branch.text))
            plan = self._coach.open_plan

    def _point(self, plan: Plan, lines: tuple[ReadText, ...], frame: int) -> None:
        step, state = plan.step, (self._coach.revision, frame)
        if step is None or step.point_at is None or self._pointed_at == state:
            return
        line = find_text(lines, step.point_at)
        if line is not None:
            self._pointed_at = state
            self._send_event(Pointer(frame, line.box, step.point_at))

    def _look_for_wrong_turn(self, plan: Plan, lines: tuple[ReadText, ...], layout: ScreenLayout) -> None:
        new = self._wrong_turns.look(lines, layout, expected_steps(plan))
        if new is not None or (self._unexpected is not None and find_text(lines, self._unexpected) is None):
            self._unexpected = new

    def _remark(self, frame: EncodedFrame) -> None:
        """Remark on something unexpected, or let a model look at a step that the screen's text cannot show done."""
        plan, check, unexpected = self._coach.open_plan, self._coach.check, self._unexpected
        if plan is None or check is None or not self._coach.remarks or self._pending is not None:
            return
        is_for_model = self._takes_notes and not check.step.is_checkable and frame.number != self._noted_frame
        if (unexpected is None and not is_for_model) or self._clock() - self._last_remark < REMARK_INTERVAL:
            return
        if self._takes_notes:
            note = screen_note(plan, seconds=max(1, round(self._timing.still)), unexpected=unexpected)
        else:
            note = say_note(sentences.wrong_turn(unexpected or "", plan))
        self._unexpected = None
        self._last_remark = self._clock()
        self._noted_frame = frame.number
        self._report(_Report(self._coach.revision, note=note))

    # Reports.

    def _report(self, report: "_Report") -> None:
        """Queue a report; ticks that were not reported yet are reported with it."""
        if self._pending is not None and report.note is None:
            report = replace(report, ticked=(*self._pending.ticked, *report.ticked))
        self._pending = report
        self._has_report.set()

    async def _run_reports(self) -> None:
        while True:
            await self._has_report.wait()
            self._has_report.clear()
            while (report := self._pending) is not None:
                note = self._note(report)
                if note is not None and not await self._speak(note):
                    await asyncio.sleep(self._timing.quiet_poll)
                elif self._pending is report:
                    self._pending = None
                    self._due.set()  # something unexpected may have waited for its turn

    def _note(self, report: "_Report") -> str | None:
        """Render a report; None if it is out of date or not wanted."""
        plan = self._coach.plan
        if plan is None or report.revision != self._coach.revision:
            return None  # the user has moved the plan meanwhile, and was answered
        if report.note is not None:
            return report.note
        if not self._coach.remarks:
            return None
        if report.ticked:
            return say_note(sentences.ticked(report.ticked, plan))
        return say_note(sentences.branched(report.branch, plan))
