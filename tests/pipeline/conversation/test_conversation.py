"""One conversation: turns, barge-in, screen, tools, deadlines, and its events."""

import asyncio

import pytest

from pipeline.engine import (
    EngineDisconnected,
    EngineReady,
    EngineUnavailable,
    ReplyAudio,
    ReplyCancelled,
    ReplyEnded,
    ReplyText,
    ToolCall,
    UserText,
)
from pipeline.errors import EngineError, FaultCode, MediaError
from pipeline.events import (
    AudioEnd,
    EndReason,
    EndSession,
    Event,
    Fault,
    Guidance,
    Interrupt,
    Interrupted,
    NameTracks,
    Ping,
    Playback,
    Pointer,
    Pong,
    Role,
    ScreenFrameSent,
    ScreenShareEnd,
    SeenReason,
    SessionEnded,
    SessionStarted,
    State,
    StateChanged,
    TextInput,
    TextResponse,
    Transcript,
    TurnEnded,
    TurnStarted,
    TurnUsageReport,
    Usage,
)
from pipeline.media import AudioChunk
from tests.support.conversation_harness import SECOND_OF_TONE, ConversationHarness, enter, picture, speech, turns_of
from tests.support.virtual_time import in_virtual_time


async def ask(harness: ConversationHarness, text: str = "where is save?") -> None:
    harness.conversation.submit(harness.peer, TextInput(text))
    await harness.settle()


async def test_a_client_is_told_what_it_joined_and_what_it_does() -> None:
    harness = await enter()
    assert isinstance(harness.peer.events[0], SessionStarted)
    assert harness.peer.states == ["connecting", "idle"]
    assert await harness.leave() is EndReason.CLIENT
    assert harness.peer.events[-1] == SessionEnded(EndReason.CLIENT)
    assert harness.peer.dismissed is EndReason.CLIENT


async def test_nothing_outlives_a_conversation() -> None:
    before = asyncio.all_tasks()
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1)
    await harness.leave()
    assert asyncio.all_tasks() == before
    assert not harness.frame_clock.callbacks


async def test_spoken_words_go_up_as_one_utterance_and_open_a_turn() -> None:
    harness = await enter()
    harness.say(speech())
    await harness.until(lambda: "end" in harness.engine.up)
    assert harness.engine.up == ["start 1", "audio", "end"]
    assert harness.peer.states[-2:] == ["listening", "thinking"]
    assert sum(chunk.duration for chunk in harness.engine.audio) > 1.5
    await harness.leave()


async def test_a_reply_is_played_told_and_ended() -> None:
    harness = await enter()
    await ask(harness)
    assert harness.engine.up == ["ask 1 where is save?"]
    harness.engine.reply(1, "It is at the top.")
    assert harness.peer.states[-1] == "speaking"
    harness.frame_clock.tick(60)
    events = harness.peer.events
    assert Transcript(1, Role.USER, "where is save?", final=True) in events
    assert TurnStarted(1) in events
    assert len(harness.peer.frames) == 52, "a second of speech, 5 ms down to zero, and a frame of silence"
    assert {frame.turn for frame in harness.peer.frames} == {1}
    assert Transcript(1, Role.ASSISTANT, "It is at the top.", final=True) in events
    assert TextResponse(1, "It is at the top.", None) in events
    ended = next(event for event in events if isinstance(event, TurnEnded))
    assert (ended.turn, ended.heard_ms, ended.usage) == (1, 1000, Usage({"total": 9}))
    assert ended.latency_ms["speech_end_to_first_audio"] >= 0
    assert harness.peer.states[-1] == "idle"
    assert not harness.frame_clock.callbacks, "silence costs nothing"
    await harness.leave()


async def test_a_turn_ends_only_when_the_engine_says_so_too() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1, ended=False)
    harness.frame_clock.tick(60)
    assert not any(isinstance(event, TurnEnded) for event in harness.peer.events)
    harness.engine.emit(ReplyEnded(1, Usage(), None))
    assert any(isinstance(event, TurnEnded) for event in harness.peer.events)
    await harness.leave()


async def test_a_reply_without_voice_ends_its_turn() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.emit(ReplyEnded(1, Usage(), None))
    assert TurnEnded(1, 0, {}, Usage()) in harness.peer.events
    assert harness.peer.states[-1] == "idle"
    await harness.leave()


async def test_speaking_over_an_answer_silences_it_at_once() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1, "I can see a page.", seconds=4)
    harness.frame_clock.tick(25)
    harness.say(speech())
    await harness.until(lambda: any(isinstance(event, Interrupted) for event in harness.peer.events))
    interrupted = next(event for event in harness.peer.events if isinstance(event, Interrupted))
    assert (interrupted.turn, interrupted.heard_ms) == (1, 500)
    assert interrupted.latency_ms["speech_start_to_silence"] >= 192
    assert harness.peer.flushed >= 1
    played = len(harness.peer.frames)
    harness.frame_clock.tick(10)
    assert len(harness.peer.frames) == played
    assert "start 2" in harness.engine.up
    await harness.leave()


async def test_the_transcript_of_a_cut_reply_is_what_was_heard() -> None:
    harness = await enter()
    await ask(harness)
    for word in ("I ", "can ", "see "):
        harness.engine.emit(ReplyText(1, word))
        harness.engine.emit(ReplyAudio(1, AudioChunk(SECOND_OF_TONE, 24_000, 0.0)))
    harness.frame_clock.tick(60)  # 1.2 of 3 seconds
    harness.conversation.submit(harness.peer, Interrupt())
    await harness.settle()
    assert Interrupted(1, 1200, "I can") in harness.peer.events
    assert Transcript(1, Role.ASSISTANT, "I can", final=True) in harness.peer.events
    assert TextResponse(1, "I can", None) in harness.peer.events
    assert "stop" in harness.engine.up
    await harness.leave()


async def test_words_of_a_cut_reply_that_nobody_heard_are_not_remembered() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1, "I can see a page.", seconds=2)
    harness.conversation.submit(harness.peer, Interrupt())
    await harness.settle()
    assert Interrupted(1, 0, "") in harness.peer.events
    assert harness.engine.remembered[-1] == (1, "assistant", "")
    await harness.leave()


async def test_what_the_client_has_played_is_reckoned_on_from_its_last_report() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1, seconds=4)
    harness.frame_clock.tick(50)
    harness.conversation.submit(harness.peer, Playback(1, 700))
    await harness.settle()
    harness.frame_clock.tick(100)
    harness.conversation.submit(harness.peer, Interrupt())
    await harness.settle()
    assert next(event for event in harness.peer.events if isinstance(event, Interrupted)).heard_ms == 2700
    await harness.leave()


async def test_a_reply_played_to_its_end_was_heard_whole_however_late_the_client_is() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1, seconds=1)
    harness.frame_clock.tick(30)
    harness.conversation.submit(harness.peer, Playback(1, 300))
    await harness.settle()
    harness.frame_clock.tick(60)
    assert next(event for event in harness.peer.events if isinstance(event, TurnEnded)).heard_ms == 1000
    await harness.leave()


async def test_a_remark_that_waits_is_no_longer_than_a_reply_may_be() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1, seconds=2)
    harness.frame_clock.tick(10)
    harness.engine.reply(2, "endless", seconds=121)
    assert [event.code for event in harness.peer.events if isinstance(event, Fault)] == [
        FaultCode.AUDIO_PROCESSING_ERROR
    ]
    await harness.leave()


@pytest.mark.parametrize(("played_ms", "heard_ms"), [(0, 0), (400, 400), (60_000, 1000)])
async def test_what_the_client_says_it_played_is_believed_but_not_more_than_it_got(
    played_ms: int, heard_ms: int
) -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1, seconds=2)
    harness.frame_clock.tick(50)
    harness.conversation.submit(harness.peer, Playback(1, played_ms))
    harness.conversation.submit(harness.peer, Interrupt())
    await harness.settle()
    assert next(event for event in harness.peer.events if isinstance(event, Interrupted)).heard_ms == heard_ms
    await harness.leave()


async def test_audio_of_an_interrupted_turn_is_never_played() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1)
    harness.conversation.submit(harness.peer, Interrupt())
    await harness.settle()
    harness.engine.reply(1)
    harness.frame_clock.tick(20)
    assert not harness.peer.frames
    await harness.leave()


async def test_audio_of_a_turn_that_was_heard_to_its_end_is_never_played() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1)
    harness.frame_clock.tick(80)
    assert isinstance(harness.peer.events[-2], TurnEnded)
    played = len(harness.peer.frames)
    harness.engine.reply(1)
    harness.frame_clock.tick(20)
    assert len(harness.peer.frames) == played
    await harness.leave()


async def test_a_question_asked_while_an_answer_is_awaited_replaces_it() -> None:
    harness = await enter()
    await ask(harness, "one")
    await ask(harness, "two")
    assert Interrupted(1, 0, "") in harness.peer.events
    harness.engine.reply(1, "late answer to one")
    harness.engine.reply(2, "answer to two")
    harness.frame_clock.tick(60)
    assert {frame.turn for frame in harness.peer.frames} == {2}
    assert list(turns_of(harness.peer)) == sorted(turns_of(harness.peer))
    await harness.leave()


async def test_a_remark_nobody_asked_for_waits_until_the_reply_before_it_was_heard() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1, "answer")
    remark = harness.engine.next_turn()
    harness.engine.reply(remark, "and by the way")
    harness.frame_clock.tick(200)
    assert [frame.turn for frame in harness.peer.frames] == [1] * 52 + [2] * 52
    texts = [event.text for event in harness.peer.events if isinstance(event, TextResponse)]
    assert texts == ["answer", "and by the way"]
    await harness.leave()


async def test_what_the_engine_understood_becomes_the_users_transcript() -> None:
    harness = await enter()
    harness.say(speech())
    await harness.until(lambda: "end" in harness.engine.up)
    harness.engine.emit(UserText(1, "go for"))
    harness.engine.emit(UserText(1, "ward"))
    harness.engine.reply(1)
    said = [event for event in harness.peer.events if isinstance(event, Transcript) and event.role is Role.USER]
    assert said == [
        Transcript(1, Role.USER, "go for", final=False),
        Transcript(1, Role.USER, "go forward", final=False),
        Transcript(1, Role.USER, "go forward", final=True),
    ]
    await harness.leave()


async def test_the_confidence_of_the_engine_is_told_with_the_words() -> None:
    harness = await enter()
    harness.say(speech())
    await harness.until(lambda: "end" in harness.engine.up)
    harness.engine.emit(UserText(1, "go forward", confidence=0.84))
    harness.engine.reply(1)
    said = [event for event in harness.peer.events if isinstance(event, Transcript) and event.role is Role.USER]
    assert said == [
        Transcript(1, Role.USER, "go forward", final=False, confidence=0.84),
        Transcript(1, Role.USER, "go forward", final=True, confidence=0.84),
    ]
    await harness.leave()


async def test_words_understood_after_the_answer_began_join_the_question() -> None:
    harness = await enter()
    harness.say(speech())
    await harness.until(lambda: "end" in harness.engine.up)
    harness.engine.emit(UserText(1, "go"))
    harness.engine.reply(1)
    harness.engine.emit(UserText(1, " forward"))
    said = [event for event in harness.peer.events if isinstance(event, Transcript) and event.role is Role.USER]
    assert said[-1] == Transcript(1, Role.USER, "go forward", final=True)
    await harness.leave()


async def test_the_end_of_the_session_tells_what_was_heard_of_the_reply_it_cut() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1, seconds=3)
    harness.frame_clock.tick(50)
    await harness.leave()
    assert any(isinstance(event, Interrupted) and event.heard_ms == 1000 for event in harness.peer.events)


async def test_audio_end_closes_the_utterance_now() -> None:
    harness = await enter()
    harness.say(speech()[: 32_000 * 2])
    harness.conversation.submit(harness.peer, AudioEnd())
    await harness.until(lambda: "end" in harness.engine.up)
    await harness.leave()


async def test_a_microphone_that_ends_completes_its_utterance() -> None:
    harness = await enter()
    harness.say(speech()[: 32_000 * 2])
    harness.conversation.end_audio(harness.peer)
    await harness.until(lambda: "end" in harness.engine.up)
    await harness.leave()


async def test_the_first_frame_goes_up_at_once_and_an_equal_one_does_not() -> None:
    harness = await enter()
    harness.conversation.push_frame(harness.peer, picture())
    await harness.until(lambda: bool(harness.engine.stills))
    harness.conversation.push_frame(harness.peer, picture())
    await ask(harness)
    await harness.until(lambda: "ask 1 where is save?" in harness.engine.up)
    assert harness.engine.up == ["frame", "ask 1 where is save?"]
    seen = [event for event in harness.peer.events if isinstance(event, ScreenFrameSent)]
    assert [(event.frame, event.reason) for event in seen] == [(1, SeenReason.FIRST)]
    assert harness.conversation.latest_screenshot == harness.engine.stills[0]
    await harness.leave()


async def test_a_changed_frame_goes_up_before_the_question_about_it() -> None:
    harness = await enter()
    harness.conversation.push_frame(harness.peer, picture(40))
    await harness.until(lambda: bool(harness.engine.stills))
    harness.conversation.push_frame(harness.peer, picture(200))
    await ask(harness)
    await harness.until(lambda: len(harness.engine.up) == 3)
    assert harness.engine.up == ["frame", "frame", "ask 1 where is save?"]
    assert (
        next(event.reason for event in reversed(harness.peer.events) if isinstance(event, ScreenFrameSent))
        is SeenReason.TURN
    )
    await harness.leave()


async def test_the_frame_goes_up_inside_the_utterance_it_belongs_to() -> None:
    harness = await enter()
    harness.say(speech()[:64_000])
    await harness.until(lambda: "start 1" in harness.engine.up)
    harness.conversation.push_frame(harness.peer, picture())
    harness.say(speech()[64_000:])
    await harness.until(lambda: "end" in harness.engine.up)
    assert harness.engine.up[-1] == "end"
    assert "frame" in harness.engine.up[1:-1]
    await harness.leave()


async def test_a_fresh_engine_is_shown_the_current_frame_again() -> None:
    harness = await enter()
    harness.conversation.push_frame(harness.peer, picture())
    await harness.until(lambda: len(harness.engine.stills) == 1)
    harness.engine.emit(EngineUnavailable(EngineError(FaultCode.ENGINE_NETWORK, "gone", where="test")))
    assert harness.peer.states[-1] == "reconnecting"
    harness.engine.emit(EngineReady("fake"))
    await harness.until(lambda: len(harness.engine.stills) == 2)
    assert harness.peer.states[-1] == "idle"
    await harness.leave()


async def test_a_frame_that_cannot_be_encoded_is_reported_and_the_next_is_sent() -> None:
    harness = await enter()
    bad = picture()
    object.__setattr__(bad, "u", bad.u[:1, :1])
    harness.conversation.push_frame(harness.peer, bad)
    await harness.until(lambda: any(isinstance(event, Fault) for event in harness.peer.events))
    fault = next(event for event in harness.peer.events if isinstance(event, Fault))
    assert (fault.code, fault.fatal) == (FaultCode.FRAME_PROCESSING_ERROR, False)
    harness.conversation.push_frame(harness.peer, picture())
    await harness.until(lambda: bool(harness.engine.stills))
    await harness.leave()


async def test_a_share_that_ended_is_forgotten() -> None:
    harness = await enter()
    harness.conversation.push_frame(harness.peer, picture())
    await harness.until(lambda: bool(harness.engine.stills))
    harness.conversation.submit(harness.peer, ScreenShareEnd())
    await harness.settle()
    assert harness.conversation.latest_screenshot is None
    harness.engine.emit(ToolCall(1, "c1", "point_at", {"box_2d": [1, 2, 3, 4], "label": "x"}))
    await harness.settle()
    assert harness.engine.answers == [{"error": "No screen is shared, so there is nothing to point at."}]
    await harness.leave()


async def test_a_tool_call_becomes_an_event_and_is_always_answered() -> None:
    harness = await enter()
    harness.conversation.push_frame(harness.peer, picture())
    await harness.until(lambda: bool(harness.engine.stills))
    await ask(harness)
    harness.engine.emit(ToolCall(1, "c1", "point_at", {"box_2d": [120, 40, 160, 110], "label": "Save"}))
    await harness.settle()
    steps = [{"text": "Press Save", "state": "current"}]
    harness.engine.emit(ToolCall(1, "c2", "show_steps", {"title": "Saving", "steps": steps}))
    await harness.settle()
    harness.engine.emit(ToolCall(1, "c3", "no_such_thing", {}))
    await harness.settle()
    assert Pointer(1, (120, 40, 160, 110), "Save") in harness.peer.events
    assert any(isinstance(event, Guidance) for event in harness.peer.events)
    assert [list(answer) for answer in harness.engine.answers] == [["result"], ["result"], ["error"]]
    await harness.leave()


async def test_a_tool_call_of_an_interrupted_turn_shows_nothing() -> None:
    harness = await enter()
    harness.conversation.push_frame(harness.peer, picture())
    await harness.until(lambda: bool(harness.engine.stills))
    await ask(harness)
    harness.conversation.submit(harness.peer, Interrupt())
    await harness.settle()
    harness.engine.emit(ToolCall(1, "c1", "point_at", {"box_2d": [120, 40, 160, 110], "label": "Save"}))
    await harness.settle()
    assert not any(isinstance(event, Pointer) for event in harness.peer.events)
    assert list(harness.engine.answers[0]) == ["error"]
    await harness.leave()


async def test_ping_is_answered_to_whoever_asked() -> None:
    harness = await enter()
    harness.conversation.submit(harness.peer, Ping(7))
    harness.conversation.submit(harness.peer, NameTracks({"1": "screen"}))
    await harness.settle()
    assert harness.peer.events[-1] == Pong(7)
    await harness.leave()


async def test_end_session_ends_it() -> None:
    harness = await enter()
    harness.conversation.submit(harness.peer, EndSession())
    assert await harness.task is EndReason.CLIENT


async def test_a_conversation_without_anybody_waits_for_the_grace_period_and_ends() -> None:
    harness = await enter()
    harness.conversation.detach(harness.peer, grace=0.0)
    assert await harness.task is EndReason.CLIENT
    assert harness.conversation.peers == 0


async def test_a_client_that_comes_back_in_time_finds_its_conversation() -> None:
    harness = await enter()
    await ask(harness)
    harness.conversation.detach(harness.peer, grace=60.0)
    harness.conversation.attach(harness.peer)
    await harness.settle()
    assert not harness.task.done()
    await ask(harness, "still here?")
    assert harness.engine.up[-1] == "ask 2 still here?"
    await harness.leave()


@in_virtual_time
async def test_an_idle_conversation_ends_politely() -> None:
    harness = await enter(idle=60.0)
    assert await harness.task is EndReason.IDLE
    assert harness.peer.events[-1] == SessionEnded(EndReason.IDLE)


@in_virtual_time
async def test_a_client_that_only_pings_is_idle_sooner_than_one_that_talks() -> None:
    harness = await enter(idle=60.0, unused=20.0)
    started = asyncio.get_running_loop().time()
    while not harness.task.done():
        harness.conversation.submit(harness.peer, Ping(1))
        await asyncio.sleep(1.0)
    assert asyncio.get_running_loop().time() - started == pytest.approx(20.0, abs=1.0)
    assert not harness.conversation.is_used


@pytest.mark.parametrize("use", ["audio", "picture", "action"])
@in_virtual_time
async def test_a_client_that_has_sent_something_may_be_silent_for_longer(use: str) -> None:
    harness = await enter(idle=60.0, unused=20.0)
    match use:
        case "audio":
            harness.conversation.push_audio(harness.peer, AudioChunk(bytes(640), 16_000, 0.0))
        case "picture":
            harness.conversation.push_frame(harness.peer, picture())
        case _:
            harness.conversation.submit(harness.peer, Interrupt())
    await asyncio.sleep(50.0)
    assert harness.conversation.is_used
    assert not harness.task.done()
    assert await harness.task is EndReason.IDLE


@in_virtual_time
async def test_a_conversation_that_awaits_an_answer_is_not_idle() -> None:
    harness = await enter(idle=60.0)
    await ask(harness)
    await asyncio.sleep(200.0)
    assert not harness.task.done()
    harness.engine.emit(ReplyEnded(1, Usage(), None))
    assert await harness.task is EndReason.IDLE


@in_virtual_time
async def test_a_conversation_has_a_longest_time() -> None:
    harness = await enter(longest=60.0)
    assert await harness.task is EndReason.LIMIT


@in_virtual_time
async def test_the_last_words_may_be_finished_before_time_is_up() -> None:
    harness = await enter(longest=60.0)
    await ask(harness)
    harness.engine.reply(1)
    await asyncio.sleep(65.0)
    assert not harness.task.done()
    harness.frame_clock.tick(60)
    assert await harness.task is EndReason.LIMIT
    assert any(isinstance(event, TurnEnded) for event in harness.peer.events)


async def test_a_lost_engine_silences_tells_once_and_recovers() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1, seconds=3)
    harness.frame_clock.tick(10)
    harness.engine.emit(
        EngineUnavailable(EngineError(FaultCode.ENGINE_NETWORK, "The engine is gone.", where="test"), is_turn_lost=True)
    )
    played = len(harness.peer.frames)
    harness.frame_clock.tick(20)
    assert len(harness.peer.frames) == played
    faults = [event for event in harness.peer.events if isinstance(event, Fault)]
    assert [(fault.code, fault.fatal) for fault in faults] == [(FaultCode.ENGINE_NETWORK, False)]
    assert any(isinstance(event, Interrupted) and event.heard_ms == 200 for event in harness.peer.events)
    harness.engine.emit(EngineReady("fake"))
    await ask(harness, "again")
    harness.engine.reply(2)
    harness.frame_clock.tick(60)
    assert any(isinstance(event, TurnEnded) and event.turn == 2 for event in harness.peer.events)
    await harness.leave()


async def test_a_reply_that_has_come_whole_is_heard_whole_before_an_outage_is_told() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1, seconds=3)
    harness.frame_clock.tick(10)
    harness.engine.emit(EngineDisconnected())
    harness.engine.emit(EngineUnavailable(EngineError(FaultCode.ENGINE_NETWORK, "The engine is gone.", where="test")))
    harness.frame_clock.tick(20)
    assert not [event for event in harness.peer.events if isinstance(event, Fault)]
    harness.frame_clock.tick(200)
    assert len(harness.peer.frames) == 152
    kinds = [type(event) for event in harness.peer.events if isinstance(event, TurnEnded | Fault)]
    assert kinds == [TurnEnded, Fault]
    await harness.leave()


async def test_an_outage_that_is_over_before_the_reply_is_never_told() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1, seconds=3)
    harness.frame_clock.tick(10)
    harness.engine.emit(EngineUnavailable(EngineError(FaultCode.ENGINE_NETWORK, "The engine is gone.", where="test")))
    harness.engine.emit(EngineReady("fake"))
    harness.frame_clock.tick(200)
    assert not [event for event in harness.peer.events if isinstance(event, Fault)]
    await harness.leave()


async def test_the_end_of_a_reply_is_not_clipped_when_the_engine_closes_it_between_two_frames() -> None:
    played = []
    for closes_early in (True, False):
        harness = await enter()
        await ask(harness)
        harness.engine.reply(1, ended=closes_early)
        harness.frame_clock.tick(50)
        if not closes_early:
            harness.engine.emit(ReplyEnded(1, Usage(), None))
        harness.frame_clock.tick(10)
        played.append(len(harness.peer.frames))
        await harness.leave()
    assert played[0] == played[1]


async def test_a_remark_that_begins_before_the_answer_waits_for_it() -> None:
    harness = await enter()
    await ask(harness)
    remark = harness.engine.next_turn()
    harness.engine.emit(ReplyAudio(remark, AudioChunk(SECOND_OF_TONE, 24_000, 0.0)))
    harness.engine.reply(1)
    harness.frame_clock.tick(60)
    assert {frame.turn for frame in harness.peer.frames[:52]} == {1}
    assert any(isinstance(event, TurnEnded) and event.turn == 1 for event in harness.peer.events)
    await harness.leave()


async def test_blocked_content_is_a_turn_fault() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1, ended=False)
    blocked = EngineError(FaultCode.ENGINE_CONTENT_BLOCKED, "The engine will not answer that.", where="test")
    harness.engine.emit(ReplyEnded(1, Usage(), blocked))
    assert [event.code for event in harness.peer.events if isinstance(event, Fault)] == [
        FaultCode.ENGINE_CONTENT_BLOCKED
    ]
    assert harness.peer.states[-1] == "idle"
    await harness.leave()


async def test_what_a_blocked_turn_has_cost_is_counted() -> None:
    harness = await enter()
    seen: list[Event] = []
    harness.conversation.add_observer(seen.append)
    await ask(harness)
    blocked = EngineError(FaultCode.ENGINE_CONTENT_BLOCKED, "The engine will not answer that.", where="test")
    harness.engine.emit(ReplyEnded(1, Usage({"total": 7}), blocked))
    assert [event for event in seen if isinstance(event, TurnUsageReport)] == [TurnUsageReport(1, Usage({"total": 7}))]
    await harness.leave()


async def test_a_turn_tells_the_newest_count_of_what_it_has_cost() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1)
    harness.engine.emit(ReplyCancelled(1, Usage({"total": 12})))
    harness.frame_clock.tick(80)
    assert next(event for event in harness.peer.events if isinstance(event, TurnEnded)).usage == Usage({"total": 12})
    await harness.leave()


async def test_an_engine_that_gave_up_ends_the_session_with_its_error() -> None:
    harness = await enter()
    assert harness.engine.fails is not None
    harness.engine.fails.set_exception(EngineError(FaultCode.ENGINE_FAILED, "Gave up.", where="test"))
    assert await harness.task is EndReason.ERROR
    assert harness.peer.events[-2:] == [
        Fault(FaultCode.ENGINE_FAILED, "Gave up.", {}, fatal=True),
        SessionEnded(EndReason.ERROR),
    ]


async def test_a_bug_is_an_internal_error_without_detail() -> None:
    harness = await enter()
    assert harness.engine.fails is not None
    harness.engine.fails.set_exception(KeyError("secret"))
    assert await harness.task is EndReason.ERROR
    fault = harness.peer.events[-2]
    assert isinstance(fault, Fault)
    assert (fault.code, fault.fatal) == (FaultCode.INTERNAL_ERROR, True)
    assert "secret" not in fault.message


async def test_a_fault_on_the_frame_clock_reaches_the_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1)

    def broken(*_: object) -> bytes:
        raise RuntimeError("encoder")

    monkeypatch.setattr("pipeline.playout.opus_encoder.OpusEncoder.encode", broken)
    harness.frame_clock.tick()
    assert await harness.task is EndReason.ERROR


async def test_a_fault_blamed_by_a_transport_takes_its_class() -> None:
    harness = await enter()
    harness.conversation.report_error(MediaError(FaultCode.AUDIO_PROCESSING_ERROR, "decoder", where="test"))
    assert not harness.task.done()
    harness.conversation.report_error(MediaError(FaultCode.SLOW_CONSUMER, "too slow", where="test"))
    assert await harness.task is EndReason.ERROR


async def test_a_cut_is_a_ramp_of_at_most_5_ms_and_then_nothing() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1, seconds=2)
    harness.frame_clock.tick(3)
    harness.conversation.submit(harness.peer, Interrupt())
    await harness.settle()
    assert len(harness.peer.frames) <= 5
    assert not any(b"".join(frame.pcm for frame in harness.peer.frames[3:])[240:])
    await harness.leave()


async def test_state_is_told_only_when_it_changes() -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(1)
    harness.frame_clock.tick(60)
    states = [event for event in harness.peer.events if isinstance(event, StateChanged)]
    assert [state.state for state in states[1:]] == [State.IDLE, State.THINKING, State.SPEAKING, State.IDLE]
    await harness.leave()
