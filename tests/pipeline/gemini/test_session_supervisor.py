"""Decisions of the supervisor, without a network and with a manual clock."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from google.genai import errors, types

from pipeline.engine import (
    EngineDisconnected,
    EngineDowngraded,
    EngineEvent,
    EngineReady,
    EngineUnavailable,
    ReplyAudio,
    ReplyCancelled,
    ReplyEnded,
    ReplyGenerated,
    UserText,
)
from pipeline.errors import EngineError, FaultCode, Severity
from pipeline.events import Role
from pipeline.gemini.live_session import NEVER
from pipeline.gemini.retry_policy import EngineTimeouts
from pipeline.gemini.sdk_errors import engine_error, make_engine_error
from pipeline.gemini.send_queue import (
    SCREEN_SHARE_ENDED,
    ActivityEnd,
    ActivityStart,
    ContextNote,
    InitialHistory,
    InterruptReply,
    Text,
)
from pipeline.gemini.session_plan import LARGE_CONTEXT, SessionPlan
from pipeline.gemini.session_supervisor import Phase, SessionSupervisor
from pipeline.media import AudioChunk, EncodedFrame
from tests.support.fake_engine import CONFIG, encoded_frame, speech

server_message = types.LiveServerMessage.model_validate
VOICE = {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAAAAAA"}}]}}

LONG = {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA" * 16_000}}]}}
"""A second of it."""


@dataclass
class Scene:
    """A supervisor, its events, and the time."""

    model: str = CONFIG.model
    fallback: str | None = None
    timeouts: EngineTimeouts = field(default_factory=EngineTimeouts)
    now: float = 0.0
    emitted: list[EngineEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.supervisor = SessionSupervisor(
            replace(CONFIG, model=self.model, fallback=self.fallback),
            listener=self,
            timeouts=self.timeouts,
            jitter=lambda: 1.0,
            clock=lambda: self.now,
        )

    def on_engine_event(self, event: EngineEvent) -> None:
        self.emitted.append(event)

    def next_turn(self) -> int:
        return 100

    def open(self) -> SessionPlan:
        attempt = self.supervisor.next_plan()
        self.supervisor.on_session_opened()
        return attempt

    def receive(self, **message: Any) -> None:
        self.supervisor.on_server_message(server_message(message))

    def receive_content(self, **content: Any) -> None:
        self.receive(serverContent=content)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.supervisor.expire()

    def sent(self) -> list[str]:
        """Return the kinds of the messages to send now."""
        assert self.supervisor.live is not None
        kinds = []
        while (item := self.supervisor.live.send_queue.pop()) is not None:
            match item:
                case Text(text) | ContextNote(text):
                    kinds.append(f"{type(item).__name__} {text}")
                case EncodedFrame(number=number):
                    kinds.append(f"frame {number}")
                case AudioChunk():
                    kinds.append(f"audio {item.duration:.2f}")
                case _:
                    kinds.append(type(item).__name__)
        return kinds

    def kinds(self) -> list[str]:
        kinds, self.emitted[:] = [type(event).__name__ for event in self.emitted], []
        return kinds


def broke(code: int, reason: str = "") -> EngineError:
    kind = FaultCode.ENGINE_NETWORK if code in (1000, 1006) else FaultCode.ENGINE_INTERNAL
    if code == 1007:
        kind = FaultCode.ENGINE_CONTEXT_LIMIT
    if code == 1008:
        kind = FaultCode.ENGINE_UNSUPPORTED_OP
    return make_engine_error(kind, close_code=code)


def speak(supervisor: SessionSupervisor, turn: int) -> None:
    supervisor.start_utterance(turn)
    supervisor.push_audio(speech(0.2))
    supervisor.end_utterance()


def test_the_phases_follow_what_happens() -> None:
    scene = Scene()
    supervisor = scene.supervisor
    phases = [supervisor.phase]
    scene.open()
    phases.append(supervisor.phase)
    supervisor.start_utterance(1)
    phases.append(supervisor.phase)
    supervisor.end_utterance()
    phases.append(supervisor.phase)
    scene.receive_content(**VOICE)
    scene.receive(goAway={"timeLeft": "50s"})
    phases.append(supervisor.phase)
    supervisor.on_session_lost(broke(1006))
    phases.append(supervisor.phase)
    supervisor.on_session_lost(make_engine_error(FaultCode.ENGINE_AUTH_INVALID))
    phases.append(supervisor.phase)
    assert phases == [
        Phase.CONNECTING,
        Phase.READY,
        Phase.LISTENING,
        Phase.RESPONDING,
        Phase.DRAINING,
        Phase.RESUMING,
        Phase.FAILED,
    ]


def test_everything_said_while_there_is_no_session_goes_up_in_order_after_the_screen() -> None:
    class Sharing(Scene):
        def on_engine_event(self, event: EngineEvent) -> None:
            if isinstance(event, EngineReady):
                self.supervisor.push_frame(encoded_frame(1))

    scene = Sharing()
    speak(scene.supervisor, 1)
    scene.supervisor.submit_text(2, "typed")
    scene.supervisor.start_utterance(3)
    scene.supervisor.push_audio(speech(0.1))
    scene.supervisor.next_plan()
    scene.supervisor.on_session_opened()
    scene.supervisor.push_audio(speech(0.064))
    assert scene.sent() == [
        "frame 1",
        "ActivityStart",
        "audio 0.20",
        "ActivityEnd",
        "InterruptReply",
        "Text typed",
        "ActivityStart",
        "audio 0.10",
        "audio 0.06",
    ]


def test_a_reply_that_has_begun_takes_the_question_off_what_is_kept() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    scene.receive_content(**VOICE)
    scene.supervisor.on_session_lost(broke(1006))
    assert scene.kinds() == ["EngineReady", "ReplyAudio", "EngineDisconnected", "EngineUnavailable"]
    scene.open()
    assert scene.sent() == []


def test_a_question_without_an_answer_yet_is_asked_again_and_nobody_is_troubled() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    scene.supervisor.on_session_lost(broke(1006))
    scene.open()
    assert scene.kinds() == ["EngineReady", "EngineDisconnected", "EngineReady"]
    assert scene.sent() == ["Text hello"]


def test_what_the_user_was_understood_to_say_is_told_anew_by_the_next_session() -> None:
    scene = Scene()
    scene.open()
    speak(scene.supervisor, 1)
    scene.receive_content(inputTranscription={"text": "where is"})
    scene.supervisor.on_session_lost(broke(1006))
    scene.open()
    scene.receive_content(inputTranscription={"text": "where"})
    scene.receive_content(inputTranscription={"text": " is save"})
    understood = [event for event in scene.emitted if isinstance(event, UserText)]
    assert [(event.text, event.is_restart) for event in understood] == [
        ("where is", True),
        ("where", True),
        (" is save", False),
    ]


def test_a_reply_that_has_arrived_whole_is_complete_though_its_session_dies() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    scene.receive_content(**VOICE, generationComplete=True)
    scene.supervisor.on_session_lost(broke(1006))
    assert [type(event) for event in scene.emitted] == [
        EngineReady,
        ReplyAudio,
        ReplyGenerated,
        ReplyEnded,
        EngineDisconnected,
    ]


@pytest.mark.parametrize("stage", ["idle", "asked", "answering", "spoken", "all sent"])
def test_the_time_to_go_is_the_first_moment_at_which_nothing_is_lost(stage: str) -> None:
    scene = Scene()
    scene.open()
    if stage in ("asked", "answering", "all sent"):
        scene.supervisor.submit_text(1, "hello")
    if stage == "answering":
        scene.receive_content(**VOICE)
    if stage == "all sent":
        scene.receive_content(**VOICE, generationComplete=True)
    if stage == "spoken":
        scene.supervisor.start_utterance(1)
    live = scene.supervisor.live
    assert live is not None
    scene.receive(goAway={"timeLeft": "50s"})
    at_once = live.is_over
    for _ in range(9):
        if stage == "answering":
            scene.receive_content(outputTranscription={"text": "and "})
        scene.wait(4.95)
    early = live.is_over
    scene.wait(0.5)
    in_time = live.is_over
    if stage == "answering":
        scene.receive_content(generationComplete=True)
    assert (at_once, early, in_time, live.is_over) == {
        "idle": (True, True, True, True),
        "asked": (False, True, True, True),  # by then it has been silent for too long
        "answering": (False, False, False, True),
        "spoken": (False, False, True, True),
        "all sent": (False, True, True, True),  # by then it should have been closed
    }[stage]


def test_a_session_waits_a_moment_for_the_handle_of_its_last_turn_before_it_is_left() -> None:
    scene = Scene()
    scene.open()
    live = scene.supervisor.live
    assert live is not None
    scene.supervisor.submit_text(1, "hello")
    scene.receive(goAway={"timeLeft": "50s"})
    scene.receive_content(**VOICE, turnComplete=True)
    assert not live.is_over
    scene.receive(sessionResumptionUpdate={"newHandle": "h", "resumable": True})
    assert live.is_over


def test_a_session_whose_engine_gives_no_handle_is_left_all_the_same() -> None:
    scene = Scene()
    scene.open()
    live = scene.supervisor.live
    assert live is not None
    scene.supervisor.submit_text(1, "hello")
    scene.receive(goAway={"timeLeft": "50s"})
    scene.receive_content(**VOICE, turnComplete=True)
    scene.wait(scene.timeouts.handle)
    assert live.is_over


def test_an_old_session_is_left_when_idle_if_it_can_be_resumed() -> None:
    for has_handle in (False, True):
        scene = Scene()
        scene.open()
        live = scene.supervisor.live
        assert live is not None
        if has_handle:
            scene.receive(sessionResumptionUpdate={"newHandle": "h", "resumable": True})
        assert live.deadline == (scene.timeouts.roll_over if has_handle else NEVER)
        scene.wait(scene.timeouts.roll_over)
        assert live.is_over is has_handle
        assert live.error is None


def test_the_handle_is_the_newest_that_can_be_resumed() -> None:
    scene = Scene()
    assert not scene.open().is_resumed
    scene.receive(sessionResumptionUpdate={"newHandle": "h1", "resumable": True})
    scene.receive(sessionResumptionUpdate={"resumable": False})
    scene.supervisor.on_session_closed()
    attempt = scene.open()
    assert attempt.is_resumed
    assert attempt.setup.session_resumption == types.SessionResumptionConfig(handle="h1")


def test_a_resumed_session_is_told_what_was_said_since_its_handle_with_the_next_question() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "one")
    scene.receive_content(**VOICE, turnComplete=True)
    scene.receive(sessionResumptionUpdate={"newHandle": "h1", "resumable": True})
    scene.supervisor.submit_text(2, "two")
    scene.supervisor.add_transcript(1, Role.USER, "one")
    scene.supervisor.add_transcript(2, Role.USER, "two")
    scene.receive_content(**VOICE, outputTranscription={"text": "because"})
    scene.supervisor.on_session_lost(broke(1006))
    scene.open()
    assert scene.sent() == []
    scene.supervisor.submit_text(3, "three")
    note, question = scene.sent()
    assert note.startswith("ContextNote [")
    assert note.endswith("\nUser: two\nAssistant: because]")
    assert question == "Text three"


def test_a_resumed_session_learns_that_the_screen_it_remembers_is_gone() -> None:
    scene = Scene()
    scene.open()
    scene.receive(sessionResumptionUpdate={"newHandle": "h1", "resumable": True})
    scene.supervisor.push_frame(encoded_frame(1))
    scene.supervisor.on_session_closed()
    scene.supervisor.stop_screen_share()
    scene.open()
    scene.supervisor.submit_text(1, "what do you see")
    assert scene.sent() == [f"ContextNote {SCREEN_SHARE_ENDED}", "Text what do you see"]


def test_a_handle_that_may_be_older_than_what_the_session_was_told_is_not_taken() -> None:
    scene = Scene()
    scene.supervisor.add_transcript(1, Role.USER, "one")
    assert scene.open().history == InitialHistory(((True, "one"),))
    assert scene.sent() == ["InitialHistory"]
    scene.receive(sessionResumptionUpdate={"newHandle": "too old", "resumable": True})
    scene.supervisor.on_session_closed()
    assert scene.open().history == InitialHistory(((True, "one"),))
    scene.supervisor.submit_text(2, "two")
    scene.receive_content(**VOICE, turnComplete=True)
    scene.receive(sessionResumptionUpdate={"newHandle": "h", "resumable": True})
    scene.supervisor.on_session_closed()
    assert scene.open().is_resumed


@pytest.mark.parametrize("code", [1007, 1008])
def test_a_handle_that_is_refused_is_replaced_by_what_was_said(code: int) -> None:
    scene = Scene()
    scene.open()
    scene.receive(sessionResumptionUpdate={"newHandle": "h", "resumable": True})
    scene.supervisor.add_transcript(1, Role.USER, "one")
    scene.supervisor.on_session_closed()
    scene.open()
    scene.now += 1.0
    scene.kinds()
    scene.supervisor.on_session_lost(broke(code))
    assert scene.supervisor.delay == 0.0
    attempt = scene.open()
    assert (attempt.is_resumed, attempt.history) == (False, InitialHistory(((True, "one"),)))
    assert scene.kinds() == ["EngineDisconnected", "EngineReady"]


def test_trouble_at_a_resumption_is_given_a_second_chance() -> None:
    scene = Scene()
    scene.open()
    scene.receive(sessionResumptionUpdate={"newHandle": "h", "resumable": True})
    scene.supervisor.on_session_closed()
    tries = []
    for _ in range(3):
        tries.append(scene.supervisor.next_plan().is_resumed)
        scene.supervisor.on_session_lost(broke(1011))
    assert tries == [True, True, False]


def test_a_network_that_is_down_costs_no_handle() -> None:
    scene = Scene()
    scene.open()
    scene.receive(sessionResumptionUpdate={"newHandle": "h", "resumable": True})
    for _ in range(3):
        scene.supervisor.on_session_lost(make_engine_error(FaultCode.ENGINE_NETWORK))
        assert scene.supervisor.next_plan().is_resumed


def test_a_seed_that_is_refused_is_not_tried_again() -> None:
    scene = Scene()
    scene.supervisor.add_transcript(1, Role.USER, "one")
    scene.open()
    scene.supervisor.on_session_lost(broke(1011))
    assert scene.open().history is None


def test_a_model_that_takes_no_history_is_told_it_in_its_instructions() -> None:
    scene = Scene(model="gemini-2.5-flash-native-audio-preview-12-2025")
    scene.supervisor.add_transcript(1, Role.USER, "one")
    attempt = scene.open()
    assert attempt.history is None
    assert "User: one" in str(attempt.setup.system_instruction)


def test_a_session_with_a_large_context_is_told_to_have_grown_too_long_and_begins_afresh() -> None:
    for tokens, code in ((LARGE_CONTEXT, FaultCode.ENGINE_CONTEXT_LIMIT), (500, FaultCode.ENGINE_PROTOCOL)):
        scene = Scene()
        scene.open()
        scene.receive(sessionResumptionUpdate={"newHandle": "h", "resumable": True})
        scene.supervisor.submit_text(1, "hello")
        scene.receive_content(**VOICE)
        scene.receive(usageMetadata={"promptTokenCount": tokens})
        scene.now += 60.0
        scene.supervisor.on_session_lost(broke(1007))
        lost = scene.emitted[-1]
        assert isinstance(lost, EngineUnavailable)
        assert (lost.error.code, lost.is_turn_lost) == (code, True)
        assert scene.supervisor.next_plan().is_resumed is (code is FaultCode.ENGINE_PROTOCOL)


def test_an_outage_is_told_once_and_says_that_the_question_is_kept() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    scene.supervisor.on_session_lost(broke(1006))
    for _ in range(3):
        scene.supervisor.next_plan()
        scene.supervisor.on_session_lost(make_engine_error(FaultCode.ENGINE_NETWORK))
    losses = [event for event in scene.emitted if isinstance(event, EngineUnavailable)]
    assert [loss.is_turn_lost for loss in losses] == [False]
    assert "kept" in losses[0].error.message


def test_an_engine_that_stalls_is_asked_again_once() -> None:
    scene = Scene()
    for is_cut in (False, True):
        live = None
        scene.open()
        if not is_cut:
            scene.supervisor.submit_text(1, "hello")
        live = scene.supervisor.live
        assert live is not None
        scene.kinds()
        scene.wait(scene.timeouts.response)
        assert live.is_over
        assert live.error is not None
        scene.supervisor.on_session_lost(live.error)
        lost = scene.emitted[-1]
        assert isinstance(lost, EngineUnavailable)
        assert (lost.error.code, lost.is_turn_lost) == (FaultCode.ENGINE_STALLED, is_cut)


def test_a_reply_that_is_never_closed_ends_some_time_after_it_was_heard() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    for _ in range(5):
        scene.receive_content(**LONG)
    scene.receive_content(generationComplete=True)
    live = scene.supervisor.live
    assert live is not None
    scene.wait(5.0 + scene.timeouts.response - 0.1)
    assert not live.is_over
    scene.wait(0.2)
    assert live.is_over
    assert live.error is None
    scene.supervisor.on_session_closed()
    assert [type(event) for event in scene.emitted[-2:]] == [ReplyEnded, EngineDisconnected]


def test_an_engine_owes_nothing_after_it_has_said_all_or_while_the_user_speaks() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    scene.receive_content(**VOICE, generationComplete=True, turnComplete=True)
    live = scene.supervisor.live
    assert live is not None
    scene.wait(10 * scene.timeouts.response)
    assert not live.is_over
    scene.supervisor.start_utterance(2)
    scene.wait(10 * scene.timeouts.response)
    assert not live.is_over
    scene.receive_content(inputTranscription={"text": "well"})
    assert scene.emitted[-1] == UserText(2, "well", is_restart=True)
    scene.supervisor.end_utterance()
    scene.wait(scene.timeouts.response)
    assert live.is_over


def test_a_remark_that_stops_half_way_is_cut_and_said_to_be() -> None:
    scene = Scene()
    scene.open()
    scene.receive_content(**VOICE)
    live = scene.supervisor.live
    assert live is not None
    scene.wait(scene.timeouts.response)
    assert live.error is not None
    scene.supervisor.on_session_lost(live.error)
    assert scene.emitted[-1] == EngineUnavailable(live.error, is_turn_lost=True)


def test_nothing_begins_in_a_session_that_is_over() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    scene.receive(goAway={"timeLeft": "0s"})
    scene.wait(0.0)
    scene.receive_content(**VOICE)
    assert scene.kinds() == ["EngineReady"]
    scene.supervisor.on_session_closed()
    scene.open()
    assert scene.sent() == ["Text hello"]


def test_a_call_that_is_lost_with_its_session_is_reported() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    scene.receive_content(**VOICE)
    scene.receive(toolCall={"functionCalls": [{"id": "c1", "name": "weather"}]})
    scene.receive_content(turnComplete=True)
    scene.receive(goAway={"timeLeft": "1s"})
    scene.wait(2.0)
    live = scene.supervisor.live
    assert live is not None
    assert not live.is_over  # what it finds out is worth waiting for
    scene.supervisor.on_session_lost(broke(1006))
    lost = scene.emitted[-1]
    assert isinstance(lost, EngineUnavailable)
    assert lost.is_turn_lost


def test_what_is_being_said_does_not_end_with_a_question_before_it() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    scene.supervisor.on_session_lost(broke(1006))
    scene.open()
    scene.supervisor.start_utterance(2)
    scene.kinds()
    scene.supervisor.on_session_lost(broke(1006))
    assert scene.kinds() == ["EngineDisconnected"]
    scene.open()
    assert scene.sent() == ["ActivityStart"]


def test_questions_in_a_row_are_asked_as_one() -> None:
    scene = Scene()
    scene.supervisor.submit_text(1, "one")
    scene.supervisor.submit_text(2, "two")
    scene.open()
    assert scene.sent() == ["Text one\ntwo"]
    scene.receive_content(**VOICE)
    assert isinstance(scene.emitted[-1], ReplyAudio)
    assert scene.emitted[-1].turn == 2


def test_a_model_that_takes_no_notes_begins_afresh_with_what_was_said_since_its_handle() -> None:
    scene = Scene(model="gemini-3.1-flash-live-preview")
    scene.open()
    scene.receive(sessionResumptionUpdate={"newHandle": "h", "resumable": True})
    scene.supervisor.on_session_closed()
    assert scene.open().is_resumed
    scene.supervisor.submit_text(1, "one")
    scene.supervisor.add_transcript(1, Role.USER, "one")
    scene.receive_content(**VOICE)
    scene.supervisor.on_session_lost(broke(1006))
    attempt = scene.open()
    assert (attempt.is_resumed, attempt.history) == (False, InitialHistory(((True, "one"),)))


def test_a_limit_at_a_resumption_is_told_and_costs_no_handle() -> None:
    scene = Scene()
    scene.open()
    scene.receive(sessionResumptionUpdate={"newHandle": "h", "resumable": True})
    scene.supervisor.on_session_closed()
    for _ in range(2):
        assert scene.supervisor.next_plan().is_resumed
        scene.supervisor.on_session_lost(make_engine_error(FaultCode.ENGINE_QUOTA, close_code=1011))
    assert [type(event) for event in scene.emitted].count(EngineUnavailable) == 1


def test_a_limit_is_told_and_waited_for() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.on_session_lost(make_engine_error(FaultCode.ENGINE_QUOTA))
    assert scene.kinds() == ["EngineReady", "EngineDisconnected", "EngineUnavailable"]
    assert scene.supervisor.delay == 30.0
    scene.supervisor.on_session_lost(make_engine_error(FaultCode.ENGINE_QUOTA))
    assert scene.supervisor.delay == 60.0
    scene.supervisor.on_session_lost(make_engine_error(FaultCode.ENGINE_QUOTA))
    assert scene.supervisor.failure is not None
    assert scene.supervisor.failure.code is FaultCode.ENGINE_FAILED
    assert scene.supervisor.failure.details["cause"] == "ENGINE_QUOTA"


def test_settings_that_are_refused_are_left_out_before_anything_is_given_up() -> None:
    scene = Scene()
    scene.supervisor.next_plan()
    scene.supervisor.on_session_lost(make_engine_error(FaultCode.ENGINE_CONFIG_REJECTED, close_code=1007))
    assert [type(event) for event in scene.emitted] == [EngineDowngraded]
    assert scene.supervisor.next_plan().setup.context_window_compression is None
    scene.supervisor.on_session_lost(make_engine_error(FaultCode.ENGINE_CONFIG_REJECTED, close_code=1007))
    assert scene.supervisor.failure is not None
    assert scene.supervisor.failure.code is FaultCode.ENGINE_CONFIG_REJECTED


def test_a_handle_may_be_what_the_settings_are_refused_for() -> None:
    scene = Scene()
    scene.open()
    scene.receive(sessionResumptionUpdate={"newHandle": "h", "resumable": True})
    scene.supervisor.on_session_closed()
    scene.supervisor.next_plan()
    scene.kinds()
    scene.supervisor.on_session_lost(make_engine_error(FaultCode.ENGINE_CONFIG_REJECTED, close_code=1007))
    assert scene.kinds() == []
    attempt = scene.supervisor.next_plan()
    assert not attempt.is_resumed
    assert attempt.setup.context_window_compression is not None


def test_a_model_that_is_not_there_is_replaced_once() -> None:
    scene = Scene(model="gemini-9-live", fallback="gemini-3.8-live")
    scene.supervisor.next_plan()
    scene.supervisor.on_session_lost(make_engine_error(FaultCode.ENGINE_MODEL_UNAVAILABLE))
    assert scene.open().model == "gemini-3.8-live"
    assert scene.emitted[-1] == EngineReady("gemini-3.8-live")
    scene.supervisor.on_session_lost(make_engine_error(FaultCode.ENGINE_MODEL_UNAVAILABLE))
    assert scene.supervisor.failure is not None


def test_what_nobody_wants_an_answer_to_any_more_is_not_asked_again() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    scene.supervisor.interrupt_reply()
    scene.supervisor.start_utterance(2)
    scene.supervisor.cancel_utterance()
    scene.supervisor.on_session_lost(broke(1006))
    scene.open()
    assert scene.sent() == []


def test_a_question_that_was_talked_over_is_known_once_the_engine_has_closed_it() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    scene.supervisor.start_utterance(2)
    scene.receive_content(interrupted=True)
    scene.receive_content(turnComplete=True)
    assert isinstance(scene.emitted[-1], ReplyCancelled)
    scene.supervisor.on_session_lost(broke(1006))
    scene.open()
    assert scene.sent() == ["ActivityStart"]


def test_an_utterance_goes_up_whole_and_its_answer_can_be_stopped() -> None:
    scene = Scene()
    scene.open()
    speak(scene.supervisor, 1)
    assert scene.sent() == [ActivityStart.__name__, "audio 0.20", ActivityEnd.__name__]
    scene.supervisor.interrupt_reply()
    assert scene.sent() == [InterruptReply.__name__]


def test_what_the_user_is_saying_survives_a_loss_whatever_function_was_running_before() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    scene.receive(toolCall={"functionCalls": [{"id": "c1", "name": "weather"}]})
    scene.supervisor.start_utterance(2)
    scene.supervisor.push_audio(speech(0.2))
    scene.kinds()
    scene.supervisor.on_session_lost(broke(1006))
    assert scene.kinds() == ["EngineDisconnected"]


def test_a_session_is_not_kept_for_the_call_of_a_reply_that_was_stopped() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    scene.receive(toolCall={"functionCalls": [{"id": "c1", "name": "weather"}]})
    scene.supervisor.interrupt_reply()
    scene.receive(goAway={"timeLeft": "50s"})
    live = scene.supervisor.live
    assert live is not None
    assert live.is_over
    assert live.error is None


def test_a_reply_that_is_cut_by_a_model_that_is_gone_is_said_to_be() -> None:
    scene = Scene(fallback="gemini-2.5-flash-native-audio-preview-12-2025")
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    scene.receive_content(**VOICE)
    scene.kinds()
    scene.supervisor.on_session_lost(make_engine_error(FaultCode.ENGINE_MODEL_UNAVAILABLE, close_code=1008))
    lost = [event for event in scene.emitted if isinstance(event, EngineUnavailable)]
    assert [(loss.is_turn_lost, loss.error.severity) for loss in lost] == [(True, Severity.TURN)]
    assert scene.kinds() == ["EngineDisconnected", "EngineUnavailable", "EngineDowngraded"]
    assert scene.supervisor.failure is None


def test_a_model_that_was_there_a_moment_ago_is_asked_for_without_the_handle_before_it_is_given_up() -> None:
    scene = Scene()
    scene.open()
    scene.receive(sessionResumptionUpdate={"newHandle": "h", "resumable": True})
    scene.supervisor.on_session_closed()
    assert scene.supervisor.next_plan().is_resumed
    gone = make_engine_error(FaultCode.ENGINE_MODEL_UNAVAILABLE, close_code=1008)
    scene.supervisor.on_session_lost(gone)
    assert scene.supervisor.failure is None
    assert not scene.supervisor.next_plan().is_resumed
    scene.supervisor.on_session_lost(gone)
    assert scene.supervisor.failure is gone


@pytest.mark.parametrize("model", ["gemini-3.8-live", "gemini-3.8-live-extended-thinking"])
def test_an_engine_may_be_mute_while_what_it_has_sent_is_being_heard(model: str) -> None:
    scene = Scene(model=model)
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    for _ in range(60):
        scene.receive_content(**LONG)
    scene.receive_content(generationComplete=True)
    scene.wait(59.0)
    live = scene.supervisor.live
    assert live is not None
    assert not live.is_over
    scene.receive_content(turnComplete=True)
    assert "ReplyEnded" in scene.kinds()


def test_a_question_that_waits_while_sessions_are_left_in_peace_is_never_given_up() -> None:
    scene = Scene()
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    for _ in range(4):
        scene.supervisor.on_session_closed()
        scene.open()
        assert scene.sent() == ["Text hello"]
    assert not [event for event in scene.emitted if isinstance(event, EngineUnavailable)]


@pytest.mark.parametrize(
    ("reason", "delay"), [("Deadline expired before operation could complete.", 0.0), ("Internal error.", 0.5)]
)
def test_a_session_that_has_reached_its_age_is_replaced_without_a_wait(reason: str, delay: float) -> None:
    scene = Scene()
    scene.open()
    scene.now += 5.0
    scene.supervisor.on_session_lost(
        engine_error(errors.APIError(1011, {"message": reason}), is_ready=True, is_local=False)
    )
    assert scene.supervisor.delay == delay


def test_trouble_at_a_resumption_is_forgiven_by_a_session_that_lasts() -> None:
    scene = Scene()
    scene.open()
    scene.receive(sessionResumptionUpdate={"newHandle": "h", "resumable": True})
    scene.supervisor.on_session_closed()
    for lasts in (0.1, 5.0, 0.1):
        assert scene.open().is_resumed
        scene.now += lasts
        scene.supervisor.on_session_lost(broke(1011))
    assert scene.supervisor.next_plan().is_resumed


def test_after_a_session_that_lasts_the_next_is_told_again_what_was_said() -> None:
    scene = Scene()
    scene.supervisor.add_transcript(1, Role.USER, "one")
    scene.open()
    scene.supervisor.on_session_lost(broke(1011))
    assert scene.open().history is None
    scene.now += 5.0
    scene.supervisor.on_session_lost(broke(1006))
    assert scene.open().history == InitialHistory(((True, "one"),))


@pytest.mark.parametrize(
    ("model", "calls", "max_silence"),
    [
        (CONFIG.model, False, 8.0),
        (CONFIG.model, True, 30.0),
        ("gemini-3.8-live-extended-thinking", False, 30.0),
    ],
)
def test_an_engine_that_works_may_be_mute_for_longer(model: str, calls: bool, max_silence: float) -> None:
    scene = Scene(model=model, timeouts=EngineTimeouts(tool_call=100.0))
    scene.open()
    scene.supervisor.submit_text(1, "hello")
    if calls:
        scene.receive(toolCall={"functionCalls": [{"id": "c1", "name": "weather"}]})
    live = scene.supervisor.live
    assert live is not None
    scene.wait(max_silence - 0.1)
    assert not live.is_over
    scene.wait(0.2)
    assert live.error is not None
    assert live.error.code is FaultCode.ENGINE_STALLED


def test_a_fresh_session_that_breaks_has_not_grown_too_long() -> None:
    scene = Scene()
    scene.open()
    scene.receive(usageMetadata={"promptTokenCount": LARGE_CONTEXT})
    scene.now += 60.0
    scene.supervisor.on_session_lost(broke(1007))
    scene.open()
    scene.kinds()
    scene.supervisor.on_session_lost(broke(1006))
    assert scene.kinds() == ["EngineDisconnected"]
