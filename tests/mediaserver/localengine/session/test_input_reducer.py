import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from mediaserver.localengine.protocol.codec import INVALID, WireError
from mediaserver.localengine.protocol.messages import (
    ActivityEnd,
    ActivityStart,
    Audio,
    AudioStreamEnd,
    Behavior,
    ClientContent,
    ContentTurn,
    ContextUpdate,
    Detection,
    FunctionDeclaration,
    ImageInput,
    Input,
    RealtimeInput,
    Setup,
    TextInput,
)
from mediaserver.localengine.responder.interface import Memory, Question
from mediaserver.localengine.session.audio_input import AudioInputStream, Detector
from mediaserver.localengine.session.context import Context
from mediaserver.localengine.session.input_reducer import (
    LONGEST_WINDOW,
    Action,
    InputReducer,
    SpeechPaused,
    SpeechResumed,
    StopReply,
)
from mediaserver.localengine.session.pause_detector import PauseDetector
from pipeline.audio.vad import VadModel
from pipeline.gemini import send_queue

SECOND = bytes(32_000)
SPEECH = Path(__file__).parents[3] / "data" / "go-forward-ten-meters.wav"  # a man, 2.8 s


def manual(*, may_interrupt: bool = True) -> InputReducer:
    return InputReducer(Setup("models/local", may_interrupt=may_interrupt), None, Context(Memory()))


def push(live: InputReducer, *items: Input) -> list[Action]:
    return list(live.push(RealtimeInput(items), audible=False))


def questions(actions: Iterable[Action]) -> list[Question]:
    return [action for action in actions if isinstance(action, Question)]


def test_a_window_is_the_audio_between_its_signals() -> None:
    live = manual()
    push(live, Audio(b"\1\1", 16_000), ActivityStart(), Audio(b"\2\2", 16_000), Audio(b"\3\3", 16_000))
    actions = push(live, ActivityEnd(), Audio(b"\4\4", 16_000))
    assert questions(actions) == [Question(b"\2\2\3\3", None, None)]


def listening_ahead() -> InputReducer:
    return InputReducer(Setup("models/local"), None, Context(Memory()), pauses=PauseDetector(VadModel()))


def spoken(pcm: bytes) -> list[Audio]:
    """As the bridge sends it, in windows of 32 ms."""
    return [Audio(pcm[start : start + 1024], 16_000) for start in range(0, len(pcm), 1024)]


def test_a_pause_after_speech_is_told_with_what_was_said_and_ends_the_speech_of_the_question() -> None:
    live = listening_ahead()
    voice = speech()
    actions = push(live, ActivityStart(), *spoken(voice + SECOND))
    (paused,) = [action for action in actions if isinstance(action, SpeechPaused)]
    assert paused.audio == (voice + SECOND)[: len(paused.audio)]
    assert len(SECOND) * 2 < len(paused.audio) < len(voice + SECOND) - len(SECOND) // 2
    (question,) = questions(push(live, ActivityEnd()))
    assert question.audio == voice + SECOND
    assert question.audio[: question.speech_bytes] == paused.audio


def test_who_goes_on_after_a_pause_is_heard_to_the_end() -> None:
    live = listening_ahead()
    voice = speech()
    actions = push(live, ActivityStart(), *spoken(voice + SECOND + voice))
    kinds = [type(action) for action in actions if isinstance(action, SpeechPaused | SpeechResumed)]
    assert kinds[:2] == [SpeechPaused, SpeechResumed]
    (question,) = questions(push(live, *spoken(SECOND), ActivityEnd()))
    assert question.speech_bytes is not None
    assert question.speech_bytes > len(voice + SECOND + voice) - len(SECOND)


def test_a_question_without_a_pause_is_all_speech() -> None:
    live = listening_ahead()
    push(live, ActivityStart(), *spoken(speech()[: 2 * len(SECOND)]))
    (question,) = questions(push(live, ActivityEnd()))
    assert question.speech_bytes is None


def test_silence_without_speech_is_no_pause() -> None:
    assert push(listening_ahead(), ActivityStart(), *spoken(SECOND)) == [StopReply()]


def test_the_same_audio_pauses_at_the_same_place_however_it_is_cut_and_whatever_came_before() -> None:
    live = listening_ahead()
    pcm = speech() + SECOND
    positions = []
    for items in (spoken(pcm), [Audio(pcm, 16_000)], [Audio(pcm[:5_001], 16_000), Audio(pcm[5_001:], 16_000)]):
        (question,) = questions(push(live, ActivityStart(), *items, ActivityEnd()))
        positions.append(question.speech_bytes)
    assert len(set(positions)) == 1
    assert positions[0] is not None


def test_the_beginning_of_a_window_interrupts() -> None:
    assert push(manual(), ActivityStart()) == [StopReply()]


def test_the_end_of_a_window_interrupts_what_was_typed_meanwhile() -> None:
    live = manual()
    push(live, ActivityStart())
    assert push(live, ActivityEnd()) == [StopReply(), Question(b"", None, None)]


def test_without_interruptions_a_question_waits_for_its_turn() -> None:
    live = manual(may_interrupt=False)
    actions = push(live, ActivityStart(), Audio(b"\1\1", 16_000), ActivityEnd(), TextInput("hi"))
    assert actions == [Question(b"\1\1", None, None), Question(b"", "hi", None)]


def test_signals_out_of_order_change_nothing() -> None:
    live = manual()
    assert push(live, ActivityEnd()) == []
    push(live, ActivityStart(), Audio(b"\1\1", 16_000))
    assert push(live, ActivityStart()) == []
    assert questions(push(live, ActivityEnd())) == [Question(b"\1\1", None, None)]


def test_typed_text_is_a_turn_of_its_own_and_interrupts() -> None:
    assert push(manual(), TextInput("hi")) == [StopReply(), Question(b"", "hi", None)]


def test_text_may_not_open_a_window() -> None:
    live = manual()
    push(live, ActivityStart())
    with pytest.raises(WireError) as caught:
        push(live, TextInput("hi"))
    assert caught.value.code == INVALID


def test_text_inside_a_window_belongs_to_it() -> None:
    live = manual()
    push(live, ActivityStart(), Audio(b"\1\1", 16_000), TextInput("where "), TextInput("is it"))
    assert questions(push(live, ActivityEnd())) == [Question(b"\1\1", "where is it", None)]


def test_the_end_of_the_stream_has_no_place_between_own_signals() -> None:
    with pytest.raises(WireError) as caught:
        push(manual(), AudioStreamEnd())
    assert caught.value.code == INVALID


def test_the_newest_picture_goes_with_the_question() -> None:
    live = manual()
    push(live, ImageInput(b"old"), ImageInput(b"new"))
    assert questions(push(live, TextInput("what is this"))) == [Question(b"", "what is this", b"new")]


def test_our_clients_note_of_a_stopped_screen_share_clears_the_screen() -> None:
    live = manual()
    push(live, ImageInput(b"old"))
    note = ContentTurn("user", send_queue.SCREEN_SHARE_ENDED, None)
    list(live.push(ClientContent((note,), is_complete=False), audible=False))
    assert questions(push(live, TextInput("what is this"))) == [Question(b"", "what is this", None)]


def test_complete_content_interrupts_and_asks() -> None:
    turns = (ContentTurn("user", "first", None), ContentTurn("model", "no", None), ContentTurn("user", "last", b"p"))
    actions = list(manual().push(ClientContent(turns, is_complete=True), audible=False))
    assert actions == [StopReply(), Question(b"", "last", b"p")]


def test_incomplete_content_only_stops_and_is_asked_about_later() -> None:
    live = manual()
    turns = (ContentTurn("user", "hi", None),)
    assert list(live.push(ClientContent(turns, is_complete=False), audible=False)) == [StopReply()]
    asked = live.push(ClientContent((), is_complete=True), audible=False)
    assert list(asked) == [StopReply(), Question(b"", "hi", None)]


def test_new_tools_replace_the_old_ones() -> None:
    live = InputReducer(Setup("models/local", functions={"f": FunctionDeclaration()}), None, Context(Memory()))
    list(live.push(ContextUpdate(None), audible=False))
    assert set(live.functions) == {"f"}
    list(live.push(ContextUpdate({"g": FunctionDeclaration(Behavior.BLOCKING)}), audible=False))
    assert live.functions == {"g": FunctionDeclaration(Behavior.BLOCKING)}


def test_of_an_endless_window_the_newest_part_is_kept() -> None:
    live = manual()
    push(live, ActivityStart(), Audio(b"\1\1", 16_000))
    for _ in range(int(LONGEST_WINDOW)):
        push(live, Audio(SECOND, 16_000))
    (question,) = questions(push(live, ActivityEnd()))
    assert question.audio == SECOND * int(LONGEST_WINDOW)


def test_a_sample_split_between_two_messages_is_joined() -> None:
    live = manual()
    push(live, ActivityStart(), Audio(b"\1\2\3", 16_000), Audio(b"\4\5", 16_000))
    assert questions(push(live, ActivityEnd())) == [Question(b"\1\2\3\4", None, None)]


@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100, 48_000])
def test_audio_at_any_rate_is_heard_at_16_khz(rate: int) -> None:
    tone = (np.sin(np.arange(rate) * 2 * np.pi * 440 / rate) * 8_000).astype("<i2").tobytes()
    intake = AudioInputStream()
    step = rate // 25 * 2 + 1  # bytes: about 20 ms, and odd
    heard = b"".join(
        chunk.pcm
        for start in range(0, len(tone), step)
        for chunk in intake.push(Audio(tone[start : start + step], rate))
    )
    samples = np.frombuffer(heard, "<i2").astype(float)
    assert len(samples) == pytest.approx(16_000, abs=64)
    assert np.argmax(np.abs(np.fft.rfft(samples, 16_000))) == pytest.approx(440, abs=1)


def speech() -> bytes:
    with wave.open(str(SPEECH)) as file:
        assert file.getframerate() == 16_000
        return bytes(file.readframes(file.getnframes()))


def automatic(vad: VadModel) -> InputReducer:
    detection = Detection(silence_ms=800)
    return InputReducer(Setup("models/local", detection=detection), Detector(vad, detection), Context(Memory()))


def test_speech_and_then_silence_is_one_turn(vad: VadModel) -> None:
    pcm = speech()
    actions = push(automatic(vad), Audio(SECOND + pcm + SECOND, 16_000))
    (question,) = questions(actions)
    assert actions[0] == StopReply()
    assert len(question.audio) > len(pcm) // 2


def test_a_stream_that_merely_stops_does_not_end_a_turn_but_its_announced_end_does(vad: VadModel) -> None:
    live = automatic(vad)
    assert push(live, Audio(SECOND + speech(), 16_000)) == [StopReply()]
    assert len(questions(push(live, AudioStreamEnd()))) == 1
    assert push(live, AudioStreamEnd()) == []


def test_typed_text_is_a_turn_also_while_the_user_speaks(vad: VadModel) -> None:
    live = automatic(vad)
    push(live, Audio(SECOND + speech(), 16_000))
    assert questions(push(live, TextInput("hi"))) == [Question(b"", "hi", None)]
    assert len(questions(push(live, AudioStreamEnd()))) == 1


@pytest.mark.parametrize("signal", [ActivityStart(), ActivityEnd()])
def test_a_client_that_leaves_detection_to_the_server_may_not_signal(vad: VadModel, signal: Input) -> None:
    with pytest.raises(WireError, match="Precondition check failed"):
        push(automatic(vad), signal)
