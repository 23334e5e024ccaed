"""The guidance of one conversation: its plan, the watch of its screen, and the sentences for its engine."""

from collections.abc import Awaitable, Callable

from pipeline.errors import MediaError, ProtocolError
from pipeline.events import Event, Guidance, GuideCommand, StartGuide, fault_from
from pipeline.guidance.coach import Coach, GuidanceConfig
from pipeline.guidance.notes import say_note
from pipeline.guidance.screen_watch import ScreenWatch
from pipeline.media import EncodedFrame
from pipeline.tools.toolbox import PlanAnswer, PlanRequest

NO_GUIDANCE = GuidanceConfig()
"""A conversation without guides, whose screen is not read."""

SubmitNote = Callable[[str, Callable[[], bool]], Awaitable[bool]]
"""Sends a note to which the engine replies, if the function, asked last, finds it wanted; returns whether it was."""


class GuidedConversation:
    """Connects the coach and the watch to the conversation that they belong to."""

    def __init__(
        self,
        config: GuidanceConfig,
        *,
        screenshot: Callable[[], EncodedFrame | None],
        submit_note: SubmitNote,
        is_quiet: Callable[[], bool],
        send_event: Callable[[Event], None],
    ):
        self._config = config
        self._submit_note = submit_note
        self._is_quiet = is_quiet
        self._send_event = send_event
        self._coach = Coach(config, send_event=send_event, screenshot=screenshot, on_changed=self._on_plan_changed)
        self._watch = ScreenWatch(
            self._coach,
            config.reader,
            takes_notes=config.takes_notes,
            screenshot=screenshot,
            speak=self._speak_when_quiet,
            send_event=send_event,
            timing=config.timing,
        )

    @property
    def event(self) -> Guidance | None:
        """The plan as it is now, for a client that joins."""
        return self._coach.event

    @property
    def note(self) -> str | None:
        """The plan in words, as context of a question to a model."""
        return self._coach.note

    async def run(self) -> None:
        """Start the guide that the client has chosen, then follow the screen until cancelled."""
        if self._config.guide is not None:
            self._watch.announce(self._coach.start(self._config.guide))
        await self._watch.run()

    def on_frame(self) -> None:
        """Note that a frame was sent to the engine."""
        self._watch.on_frame()

    async def execute(self, command: StartGuide | GuideCommand) -> None:
        """Carry out a client's action, and let the engine speak the answer at once."""
        try:
            answer = await self._answer(command)
        except MediaError as error:
            self._send_event(fault_from(error))
            return
        await self._submit_note(say_note(answer), lambda: True)

    async def change(self, request: PlanRequest) -> PlanAnswer:
        """Carry out a request of the engine; raises `ToolError`."""
        return await self._coach.change(request)

    def adopt(self, shown: Guidance) -> None:
        """Make the list of steps that the engine has shown the plan."""
        self._coach.adopt(shown)

    def _on_plan_changed(self) -> None:
        self._watch.on_plan_changed()

    async def _answer(self, command: StartGuide | GuideCommand) -> str:
        if isinstance(command, GuideCommand):
            return await self._coach.move(command.command)
        answer = await self._coach.start_by_id(command.guide)
        if answer is None:
            raise ProtocolError(f"There is no guide {command.guide!r}; `GET /api/v1/guides` lists yours.")
        return answer

    async def _speak_when_quiet(self, note: str) -> bool:
        return self._is_quiet() and await self._submit_note(note, self._is_quiet)
