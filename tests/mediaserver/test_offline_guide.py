"""A guide with the local engine alone: started in words, ticked by five pictures, with one wrong turn remarked on."""

import asyncio
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from mediaserver.localengine.responder.local import LocalResponder
from mediaserver.localengine.server import LocalEngine
from pipeline.config import ConversationConfig
from pipeline.conversation.conversation import Conversation
from pipeline.engine import EngineConfig
from pipeline.events import Event, EvidenceSource, Guidance, Interrupt, Role, TextInput, Transcript
from pipeline.gemini.bridge import GeminiBridge, make_client
from pipeline.gemini.model_profiles import LOCAL
from pipeline.guidance.coach import GuidanceConfig, WatchTiming
from pipeline.guidance.guide import parse_guide
from pipeline.guidance.library import GuideLibrary
from pipeline.guidance.plan_tools import PLAN_TOOLS
from pipeline.media import ScreenFrame
from pipeline.playout.frame_clock import FrameClock
from pipeline.screen.ocr import Ocr
from pipeline.tools.toolbox import Toolbox
from tests.support.conversation_harness import FakePeer, vad_model

GUIDE = parse_guide(
    """# File an expense
When: the user wants money back.
1. Open the expenses.
   look for: "New expense"
2. Press New expense.
   look for: "Amount"
   point at: "New expense"
3. Attach the receipt.
   look for: "Receipt attached"
4. Press Submit.
   gone: "Draft"
5. Write the number down.
   look for: "Number copied"
""",
    guide_id="expense",
)
PICTURES = {
    1: ("Home", "Mail", "Calendar"),
    2: ("Home", "Expenses", "New expense"),
    3: ("Draft", "Amount 12.00", "Attach receipt"),
    4: ("Draft", "Amount 12.00", "The upload has failed"),  # the wrong turn
    5: ("Draft", "Amount 12.00", "Receipt attached"),
    6: ("Expense EX 17", "Thank you"),
    7: ("Expense EX 17", "Number copied"),
}


def frame(lines: tuple[str, ...]) -> ScreenFrame:
    page = np.full((360, 640, 3), 255, np.uint8)
    cv2.putText(page, "Acme Portal", (30, 50), cv2.FONT_HERSHEY_SIMPLEX, 1, (160, 60, 20), 2, cv2.LINE_AA)
    for row, line in enumerate(lines):
        cv2.putText(page, line, (30, 130 + 80 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 1, cv2.LINE_AA)
    planes = cv2.cvtColor(page, cv2.COLOR_BGR2YUV_I420)
    u, v = (planes[rows].reshape(180, 320) for rows in (slice(360, 450), slice(450, 540)))
    return ScreenFrame(planes[:360], u, v, full_range=False, arrived=time.monotonic())


class Client(FakePeer):
    """A client that cuts every sentence short once it has its text, so that the test need not listen to the end."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[int, str] = {}
        self.plan: Guidance | None = None

    def send_event(self, event: Event) -> None:
        super().send_event(event)
        match event:
            case Transcript(turn, Role.ASSISTANT, text):
                self.said[turn] = max(self.said.get(turn, ""), text, key=len)  # at last it is what was heard
            case Guidance():
                self.plan = event

    @property
    def progress(self) -> str:
        return "" if self.plan is None else " ".join(step.state.value for step in self.plan.steps)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.01)


@pytest.mark.one_python
async def test_a_guide_of_five_steps_works_offline_from_beginning_to_end() -> None:
    async def load() -> GuideLibrary:
        return GuideLibrary((GUIDE,))

    ocr, client = Ocr(), Client()
    responder = LocalResponder(ocr)
    async with LocalEngine(responder, vad=vad_model()) as engine:
        sdk = make_client(api_key="local", base_url=engine.base_url, ssl_context=engine.client_ssl)
        toolbox = Toolbox(PLAN_TOOLS)
        conversation = Conversation(
            ConversationConfig("id1", "label", "local", LOCAL, None, "en", 600.0, 3600.0, timed_transcript=True),
            vad=vad_model(),
            frame_clock=FrameClock(),
            toolbox=toolbox,
            make_bridge=lambda listener: GeminiBridge(
                sdk, EngineConfig(LOCAL, None, "en", "", "medium", toolbox.tools), listener=listener
            ),
            guidance=GuidanceConfig(
                load_guides=load, reader=ocr, timing=WatchTiming(still=0.05, restless=0.2, quiet_poll=0.02)
            ),
        )
        conversation.attach(client)
        running = asyncio.create_task(conversation.run())

        async def said(sentence: str) -> None:
            await until(lambda: any(sentence in text for text in client.said.values()))
            conversation.submit(client, Interrupt())

        try:
            conversation.push_frame(client, frame(PICTURES[1]))
            conversation.submit(client, TextInput("Can you help me file an expense, please?"))
            await said("Step 1 of 5")
            conversation.push_frame(client, frame(PICTURES[2]))
            await said("Step 2 of 5")
            conversation.push_frame(client, frame(PICTURES[3]))
            await said("Step 3 of 5")
            conversation.push_frame(client, frame(PICTURES[4]))
            await said("I see something unexpected")
            assert client.progress == "done done current todo todo"
            conversation.push_frame(client, frame(PICTURES[5]))
            await said("Step 4 of 5")
            conversation.submit(client, TextInput("where am I?"))
            await said('You follow "File an expense"')
            conversation.push_frame(client, frame(PICTURES[6]))
            await said("Step 5 of 5")
            conversation.push_frame(client, frame(PICTURES[7]))
            await said("That was the last step.")
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await asyncio.gather(responder.close(), ocr.close())

    assert client.plan is not None
    evidence = [step.evidence for step in client.plan.steps]
    assert all(each is not None and each.source is EvidenceSource.SCREEN for each in evidence)
    assert [each.words for each in evidence if each is not None] == [
        "New expense",
        "Amount 12.00",
        "Receipt attached",
        "",
        "Number copied",
    ]
    assert sum("unexpected" in text for text in client.said.values()) == 1
