"""A plan in a conversation: moved by the client, the model and the screen, and spoken through the engine."""

import asyncio
from dataclasses import dataclass, field

from pipeline.engine import EngineDisconnected, ToolCall
from pipeline.events import (
    EvidenceSource,
    Fault,
    Guidance,
    GuideAction,
    GuideCommand,
    Pointer,
    StartGuide,
    StepState,
    TextInput,
)
from pipeline.guidance.coach import GuidanceConfig, WatchTiming
from pipeline.guidance.guide import parse_guide
from pipeline.guidance.library import GuideLibrary
from pipeline.guidance.notes import text_to_say
from pipeline.guidance.plan_tools import PLAN_TOOLS
from pipeline.screen.layout import ScreenLayout
from pipeline.screen.read_text import ReadText
from tests.support.conversation_harness import ConversationHarness, FakePeer, enter, picture, speech

GUIDE = parse_guide(
    """# Save the file
1. Open File.
   look for: "Save as"
   point at: "File"
   hint: It is at the top.
2. Think of a name.
3. Press Save.
   look for: "Saved"
   if "Sign in": go to step 4
4. Sign in.
   look for: "Welcome"
""",
    guide_id="save",
)
HASTY = WatchTiming(still=0.005, restless=0.05, quiet_poll=0.005)


@dataclass
class Screen:
    """A reader that reads the given lines on every frame."""

    texts: tuple[str, ...] = ()
    reads: int = 0

    async def read(self, jpeg: bytes) -> tuple[ReadText, ...]:
        self.reads += 1
        return tuple(ReadText(text, (row, 0, row + 10, 100), 0.9) for row, text in enumerate(self.texts))

    async def layout(self, jpeg: bytes) -> ScreenLayout:
        return ScreenLayout((), ())


@dataclass
class Guided:
    """A conversation with one guide, and the screen that its reader reads."""

    harness: ConversationHarness
    screen: Screen
    level: int = field(default=0)

    def plan(self) -> Guidance:
        return [event for event in self.harness.peer.events if isinstance(event, Guidance)][-1]

    def states(self) -> str:
        return " ".join(step.state.value for step in self.plan().steps)

    def spoken(self) -> list[str]:
        notes = [said.partition(" ")[2].partition(" ")[2] for said in self.harness.engine.up if said.startswith("ask ")]
        return [text for note in notes if (text := text_to_say(note)) is not None]

    async def move(self, action: GuideAction) -> None:
        self.harness.conversation.submit(self.harness.peer, GuideCommand(action))
        await self.harness.settle()

    async def show(self, *texts: str) -> None:
        """Share a new picture, with these lines on it, and wait until it was sent."""
        self.screen.texts = texts
        sent = len(self.harness.engine.stills)
        self.level = (self.level + 90) % 250
        self.harness.conversation.push_frame(self.harness.peer, picture(self.level))
        await self.harness.until(lambda: len(self.harness.engine.stills) > sent)

    async def finish_speaking(self) -> None:
        turn = int([said for said in self.harness.engine.up if said.startswith("ask ")][-1].split()[1])
        self.harness.engine.reply(turn, "So it is.")
        self.harness.frame_clock.tick(120)
        await self.harness.settle()


async def guided(*, chosen: bool = True, takes_notes: bool = False, remarks: bool = True) -> Guided:
    screen = Screen()

    async def load() -> GuideLibrary:
        return GuideLibrary((GUIDE,))

    config = GuidanceConfig(
        GUIDE if chosen else None,
        load_guides=load,
        reader=screen,
        takes_notes=takes_notes,
        remarks=remarks,
        timing=HASTY,
    )
    return Guided(await enter(tools=PLAN_TOOLS, guidance=config), screen)


async def test_a_chosen_guide_is_shown_and_read_from_its_first_step() -> None:
    guide = await guided()
    assert guide.states() == "current todo todo todo"
    assert guide.plan().guide == "save"
    assert guide.spoken() == ["Save the file. Step 1 of 4. Open File."]
    await guide.harness.leave()


async def test_a_guide_is_started_by_the_client() -> None:
    guide = await guided(chosen=False)
    guide.harness.conversation.submit(guide.harness.peer, StartGuide("save"))
    await guide.harness.settle()
    assert guide.spoken() == ["Save the file. Step 1 of 4. Open File."]
    guide.harness.conversation.submit(guide.harness.peer, StartGuide("other"))
    await guide.harness.settle()
    (fault,) = [event for event in guide.harness.peer.events if isinstance(event, Fault)]
    assert "no guide 'other'" in fault.message
    assert guide.plan().guide == "save"
    await guide.harness.leave()


async def test_the_client_moves_the_plan_and_hears_the_step() -> None:
    guide = await guided()
    for action, states, said in (
        (GuideAction.NEXT, "done current todo todo", "Step 2 of 4. Think of a name."),
        (GuideAction.SKIP, "done todo current todo", "Step 3 of 4. Press Save."),
        (GuideAction.REPEAT, "done todo current todo", "Step 3 of 4. Press Save."),
        (GuideAction.BACK, "done current todo todo", "Step 2 of 4. Think of a name."),
        (GuideAction.DONE, "done done current todo", "Step 3 of 4. Press Save."),
        (GuideAction.WHERE, "done done current todo", 'You follow "Save the file". Step 3 of 4. Press Save.'),
        (GuideAction.RESTART, "current todo todo todo", "Step 1 of 4. Open File."),
        (GuideAction.HINT, "current todo todo todo", "It is at the top."),
    ):
        await guide.move(action)
        assert (guide.states(), guide.spoken()[-1]) == (states, said)
    for _ in range(4):
        await guide.move(GuideAction.NEXT)
    assert guide.states() == "done done done done"
    assert guide.spoken()[-1] == 'That was the last step. All of "Save the file" is done.'
    await guide.move(GuideAction.CLOSE)
    assert guide.plan().steps == ()
    await guide.move(GuideAction.NEXT)
    assert guide.spoken()[-1].startswith("No guide is open.")
    await guide.harness.leave()


async def test_a_command_ends_the_utterance_that_is_open() -> None:
    guide = await guided()
    pcm = speech()
    guide.harness.say(pcm[: len(pcm) // 2])
    await guide.harness.until(lambda: "audio" in guide.harness.engine.up)
    await guide.move(GuideAction.NEXT)
    await guide.harness.until(lambda: len(guide.spoken()) == 2)
    assert guide.harness.engine.up[-2:] == ["end", guide.harness.engine.up[-1]]
    assert guide.spoken()[-1] == "Step 2 of 4. Think of a name."
    await guide.harness.leave()


async def test_nothing_is_said_unasked_while_the_user_speaks() -> None:
    guide = await guided()
    await guide.finish_speaking()
    pcm = speech()
    guide.harness.say(pcm[: len(pcm) // 2])
    await guide.harness.until(lambda: "audio" in guide.harness.engine.up)
    await guide.show("Save as")
    await guide.harness.until(lambda: guide.states() == "done current todo todo")
    await asyncio.sleep(0.05)
    assert len(guide.spoken()) == 1
    await guide.harness.leave()


async def test_a_client_that_joins_gets_the_plan() -> None:
    guide = await guided()
    late = FakePeer()
    guide.harness.conversation.attach(late)
    assert guide.plan() in late.events
    await guide.harness.leave()


async def test_the_plan_outlives_an_engine_session_and_the_share() -> None:
    guide = await guided()
    await guide.move(GuideAction.NEXT)
    guide.harness.engine.emit(EngineDisconnected())
    guide.harness.engine.ready()
    guide.harness.conversation.stop_screen_share(guide.harness.peer)
    await guide.move(GuideAction.NEXT)
    assert guide.states() == "done done current todo"
    await guide.harness.leave()


async def test_a_step_ticks_when_the_screen_shows_it_and_the_next_is_read_once_it_is_quiet() -> None:
    guide = await guided()
    await guide.show("File Edit", "Save as")
    await guide.harness.until(lambda: guide.states() == "done current todo todo")
    evidence = guide.plan().steps[0].evidence
    assert evidence is not None
    assert (evidence.source, evidence.words, evidence.frame) == (EvidenceSource.SCREEN, "Save as", 1)
    assert len(guide.spoken()) == 1  # the first step is still being read
    await guide.finish_speaking()
    await guide.harness.until(lambda: len(guide.spoken()) == 2)
    assert guide.spoken()[1] == 'Step 1 is done: I see "Save as". Step 2 of 4. Think of a name.'
    await guide.harness.leave()


async def test_a_step_does_not_tick_without_evidence() -> None:
    guide = await guided()
    await guide.show("File Edit", "Safe")
    await guide.harness.until(lambda: guide.screen.reads > 0)
    await guide.harness.settle()
    assert guide.states() == "current todo todo todo"
    await guide.harness.leave()


async def test_the_label_of_the_step_is_pointed_at() -> None:
    guide = await guided()
    await guide.show("File", "Edit")
    await guide.harness.until(lambda: any(isinstance(event, Pointer) for event in guide.harness.peer.events))
    (pointer,) = [event for event in guide.harness.peer.events if isinstance(event, Pointer)]
    assert pointer == Pointer(1, (0, 0, 10, 100), "File")
    await guide.harness.leave()


async def test_done_is_checked_where_the_screen_can_show_it() -> None:
    guide = await guided()
    await guide.show("File", "Edit")
    await guide.move(GuideAction.DONE)
    assert guide.states() == "current todo todo todo"
    assert guide.spoken()[-1].startswith('I do not see "Save as" yet.')
    await guide.harness.leave()


async def test_a_return_to_a_step_does_not_tick_it_again_at_once() -> None:
    guide = await guided()
    await guide.show("Save as")
    await guide.harness.until(lambda: guide.states() == "done current todo todo")
    reads = guide.screen.reads
    await guide.move(GuideAction.BACK)
    await guide.harness.until(lambda: guide.screen.reads > reads)
    await guide.harness.settle()
    assert guide.states() == "current todo todo todo"
    await guide.harness.leave()


async def test_a_branch_leads_elsewhere() -> None:
    guide = await guided()
    await guide.move(GuideAction.NEXT)
    await guide.move(GuideAction.NEXT)
    await guide.finish_speaking()
    await guide.show("Sign in")
    await guide.harness.until(lambda: guide.states() == "done done todo current")
    await guide.harness.until(lambda: "so we go on elsewhere" in guide.spoken()[-1])
    assert guide.spoken()[-1] == 'I see "Sign in", so we go on elsewhere. Step 4 of 4. Sign in.'
    await guide.harness.leave()


async def test_a_wrong_turn_is_remarked_on_once_and_not_before_it_is_quiet() -> None:
    guide = await guided()
    await guide.show("File")
    await guide.harness.until(lambda: guide.screen.reads > 0)
    await guide.harness.settle()
    await guide.show("File", "The file cannot be opened")
    await guide.harness.until(lambda: guide.screen.reads > 1)
    await guide.harness.settle()
    assert len(guide.spoken()) == 1
    await guide.finish_speaking()
    await guide.harness.until(lambda: len(guide.spoken()) == 2)
    assert '"The file cannot be opened"' in guide.spoken()[1]
    await guide.finish_speaking()
    await guide.move(GuideAction.REPEAT)
    assert len([said for said in guide.spoken() if "unexpected" in said]) == 1
    await guide.harness.leave()


async def test_nothing_is_said_unasked_where_remarks_are_off_but_steps_tick() -> None:
    guide = await guided(remarks=False)
    await guide.finish_speaking()
    await guide.show("Save as")
    await guide.harness.until(lambda: guide.states() == "done current todo todo")
    await guide.harness.settle()
    assert len(guide.spoken()) == 1
    await guide.move(GuideAction.REMARKS_ON)
    assert guide.spoken()[-1].startswith("I will speak up")
    await guide.harness.leave()


async def test_a_model_is_asked_to_look_where_the_text_cannot_show_the_step() -> None:
    guide = await guided(takes_notes=True)
    await guide.move(GuideAction.NEXT)
    await guide.finish_speaking()
    await guide.show("A name")
    await guide.harness.until(lambda: "[Screen changed" in guide.harness.engine.up[-1])
    assert 'Current step 2: "Think of a name."' in guide.harness.engine.up[-1]
    await guide.finish_speaking()
    reads = guide.screen.reads
    await guide.show("Another name")  # less than 20 s later
    await guide.harness.until(lambda: guide.screen.reads > reads)
    await guide.harness.settle()
    assert len([said for said in guide.harness.engine.up if "[Screen changed" in said]) == 1
    await guide.harness.leave()


async def test_a_question_to_a_model_carries_the_plan() -> None:
    guide = await guided(takes_notes=True)
    guide.harness.conversation.submit(guide.harness.peer, TextInput("is it done?"))
    await guide.harness.settle()
    note, question = guide.harness.engine.up[-2:]
    assert note.startswith('[Plan "Save the file", step 1 of 4 is current: "Open File."')
    assert question.endswith("is it done?")
    await guide.harness.leave()


async def test_a_model_makes_a_plan_and_moves_it_with_evidence() -> None:
    guide = await guided(chosen=False)
    guide.harness.conversation.submit(guide.harness.peer, TextInput("help me print"))
    await guide.harness.settle()

    async def call(name: str, **args: object) -> object:
        guide.harness.engine.emit(ToolCall(1, f"c{len(guide.harness.engine.answers)}", name, args))
        await guide.harness.settle()
        return guide.harness.engine.answers[-1]

    assert "There is no plan" in str(await call("complete_step", id=1, evidence="Print"))
    await call("set_steps", goal="Print", steps=[{"text": "Open File"}, {"text": "Press Print"}])
    assert guide.states() == "current todo"
    assert await call("complete_step", id=1, evidence="The menu is open") == {"say": "Step 2 of 2. Press Print."}
    evidence = guide.plan().steps[0].evidence
    assert evidence is not None
    assert (evidence.source, evidence.words) == (EvidenceSource.ASSISTANT, "The menu is open")
    assert "no step 9" in str(await call("go_to_step", id=9))
    await call("go_to_step", id=1)
    assert guide.states() == "current todo"
    await call("add_hint", id=1, hint="At the top.")
    assert await call("guide_command", command="hint") == {"say": "At the top."}
    assert await call("start_guide", request="save the file") == {"say": "Save the file. Step 1 of 4. Open File."}
    assert "no guide fits" in str(await call("start_guide", request="bake a cake"))
    await guide.harness.leave()


async def test_the_older_list_of_steps_becomes_the_plan() -> None:
    guide = await guided(chosen=False)
    guide.harness.conversation.submit(guide.harness.peer, TextInput("help me"))
    await guide.harness.settle()
    steps = [{"text": text, "state": state} for text, state in (("a", "done"), ("b", "current"), ("c", "current"))]
    guide.harness.engine.emit(ToolCall(1, "c1", "show_steps", {"title": "Saving", "steps": steps}))
    await guide.harness.settle()
    assert [step.state for step in guide.plan().steps] == [StepState.DONE, StepState.CURRENT, StepState.AHEAD]
    await guide.move(GuideAction.NEXT)
    assert guide.states() == "done done current"
    await guide.harness.leave()
