"""Liveness: after any sequence of user and engine events there is a deadline or an owed message."""

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine import EngineEvent, ToolCall
from pipeline.errors import EngineError, FaultCode
from pipeline.gemini.live_session import NEVER
from pipeline.gemini.retry_policy import EngineTimeouts
from pipeline.gemini.sdk_errors import make_engine_error
from pipeline.gemini.session_supervisor import Phase, SessionSupervisor
from tests.support.fake_engine import CONFIG, encoded_frame, speech

pytestmark = pytest.mark.one_python

VOICE = {"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA" * 800}}]}
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "modelTurn": st.just(VOICE),
        "outputTranscription": st.just({"text": "word "}),
        "inputTranscription": st.just({"text": "heard "}),
        "interrupted": st.just(True),
        "generationComplete": st.just(True),
        "turnComplete": st.just(True),
        "interactionStatus": st.sampled_from(["IDLE", "IN_PROGRESS"]),
    },
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "serverContent": CONTENTS,
        "toolCall": st.just({"functionCalls": [{"id": "c1", "name": "point_at"}]}),
        "toolCallCancellation": st.just({"ids": ["c1"]}),
        "goAway": st.sampled_from([{"timeLeft": "50s"}, {"timeLeft": "-1s"}, {"timeLeft": "nan"}, {}]),
        "sessionResumptionUpdate": st.sampled_from([{"newHandle": "h", "resumable": True}, {"resumable": False}]),
        "usageMetadata": st.just({"totalTokenCount": 1}),
    },
)
USER = ["ask", "start", "hear", "end", "cancel", "stop", "show", "hide", "mention", "answer"]
ACTS = st.lists(
    st.one_of(
        st.sampled_from(USER), MESSAGES, st.sampled_from([0.1, 1.0, 9.0, 31.0]), st.sampled_from(["lost", "left"])
    ),
    max_size=40,
)


class Scene:
    """A supervisor with a clock, a user and an engine under the test's control."""

    def __init__(self, model: str) -> None:
        self.now = 0.0
        self.turn = 0
        self.events: list[EngineEvent] = []
        self.asked: set[int] = set()
        self.supervisor = SessionSupervisor(
            CONFIG if model == CONFIG.model else type(CONFIG)(model, None, None, "", "low"),
            listener=self,
            timeouts=EngineTimeouts(),
            jitter=lambda: 0.0,
            clock=lambda: self.now,
        )
        self.open()

    def on_engine_event(self, event: EngineEvent) -> None:
        self.events.append(event)

    def next_turn(self) -> int:
        self.turn += 1
        return self.turn

    def open(self) -> None:
        self.supervisor.next_plan()
        self.supervisor.on_session_opened()

    def act(self, act: object) -> None:
        supervisor = self.supervisor
        match act:
            case "ask":
                supervisor.submit_text(self.next_turn(), "what?")
            case "start":
                supervisor.start_utterance(self.next_turn())
            case "hear":
                supervisor.push_audio(speech())
            case "answer":
                for call in [event for event in self.events if isinstance(event, ToolCall)][-1:]:
                    supervisor.send_tool_response(call, {}, is_silent=False)
            case "end" | "cancel":
                {"end": supervisor.end_utterance, "cancel": supervisor.cancel_utterance}[act]()
            case "stop":
                supervisor.interrupt_reply()
            case "show":
                supervisor.push_frame(encoded_frame(1))
            case "hide":
                supervisor.stop_screen_share()
            case "mention":
                supervisor.add_context_note("[Ada is speaking.]")
            case "lost":
                self.lose(make_engine_error(FaultCode.ENGINE_NETWORK, close_code=1006))
            case "left":
                supervisor.on_session_closed()
                self.open()
            case float():
                self.pass_time(act)
            case _:
                supervisor.on_server_message(types.LiveServerMessage.model_validate(act))
        self.settle()

    def lose(self, error: EngineError) -> None:
        self.supervisor.on_session_lost(error)
        if self.supervisor.failure is None:
            self.open()

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self.supervisor.live is not None and self.supervisor.live.deadline <= end:
            deadline = self.supervisor.live.deadline
            self.now = max(self.now, deadline)
            self.supervisor.expire()
            self.settle()
            if self.supervisor.live is not None:
                assert self.supervisor.live.deadline > deadline, "a deadline that passes must do something"
        self.now = end

    def settle(self) -> None:
        live = self.supervisor.live
        while live is not None and live.is_over:
            if live.error is not None:
                self.lose(live.error)
            else:
                self.supervisor.on_session_closed()
                self.open()
            live = self.supervisor.live


@pytest.mark.parametrize("model", ["gemini-3.1-flash-live-preview", CONFIG.model, "gemini-3.8-live-extended-thinking"])
@given(acts=ACTS)
def test_what_the_engine_owes_has_a_deadline_and_comes_to_an_end(model: str, acts: list[object]) -> None:
    scene = Scene(model)
    for act in acts:
        scene.act(act)
        if scene.supervisor.failure is not None:
            return
        if scene.supervisor.phase in (Phase.RESPONDING, Phase.DRAINING):
            assert scene.supervisor.live is not None
            assert scene.supervisor.live.deadline < NEVER
    scene.act("end")
    scene.pass_time(600.0)
    assert scene.supervisor.failure is not None or scene.supervisor.phase is Phase.READY
