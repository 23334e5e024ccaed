"""One conversation: turns, barge-in, screen, tools, time, and what it tells."""

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


async def ask(room: ConversationHarness, text: str = "where is save?") -> None:
    room.conversation.submit(room.peer, TextInput(text))
    await room.settle()


async def test_a_client_is_told_what_it_joined_and_what_it_does() -> None:
    room = await enter()
    assert isinstance(room.peer.events[0], SessionStarted)
    assert room.peer.states == ["connecting", "idle"]
    assert await room.leave() is EndReason.CLIENT
    assert room.peer.events[-1] == SessionEnded(EndReason.CLIENT)
    assert room.peer.dismissed is EndReason.CLIENT


async def test_nothing_outlives_a_conversation() -> None:
    before = asyncio.all_tasks()
    room = await enter()
    await ask(room)
    room.engine.reply(1)
    await room.leave()
    assert asyncio.all_tasks() == before
    assert not room.ticker.callbacks


async def test_spoken_words_go_up_as_one_utterance_and_open_a_turn() -> None:
    room = await enter()
    room.say(speech())
    await room.until(lambda: "end" in room.engine.up)
    assert room.engine.up == ["start 1", "audio", "end"]
    assert room.peer.states[-2:] == ["listening", "thinking"]
    assert sum(chunk.duration for chunk in room.engine.audio) > 1.5
    await room.leave()


async def test_a_reply_is_played_told_and_ended() -> None:
    room = await enter()
    await ask(room)
    assert room.engine.up == ["ask 1 where is save?"]
    room.engine.reply(1, "It is at the top.")
    assert room.peer.states[-1] == "speaking"
    room.ticker.tick(60)
    events = room.peer.events
    assert Transcript(1, Role.USER, "where is save?", final=True) in events
    assert TurnStarted(1) in events
    assert len(room.peer.frames) == 52, "a second of speech, 5 ms down to zero, and a frame of silence"
    assert {frame.turn for frame in room.peer.frames} == {1}
    assert Transcript(1, Role.ASSISTANT, "It is at the top.", final=True) in events
    assert TextResponse(1, "It is at the top.", None) in events
    ended = next(event for event in events if isinstance(event, TurnEnded))
    assert (ended.turn, ended.heard_ms, ended.usage) == (1, 1000, Usage({"total": 9}))
    assert ended.latency_ms["speech_end_to_first_audio"] >= 0
    assert room.peer.states[-1] == "idle"
    assert not room.ticker.callbacks, "silence costs nothing"
    await room.leave()


async def test_a_turn_ends_only_when_the_engine_says_so_too() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1, ended=False)
    room.ticker.tick(60)
    assert not any(isinstance(event, TurnEnded) for event in room.peer.events)
    room.engine.tell(ReplyEnded(1, Usage(), None))
    assert any(isinstance(event, TurnEnded) for event in room.peer.events)
    await room.leave()


async def test_a_reply_without_voice_ends_its_turn() -> None:
    room = await enter()
    await ask(room)
    room.engine.tell(ReplyEnded(1, Usage(), None))
    assert TurnEnded(1, 0, {}, Usage()) in room.peer.events
    assert room.peer.states[-1] == "idle"
    await room.leave()


async def test_speaking_over_an_answer_silences_it_at_once() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1, "I can see a page.", seconds=4)
    room.ticker.tick(25)
    room.say(speech())
    await room.until(lambda: any(isinstance(event, Interrupted) for event in room.peer.events))
    interrupted = next(event for event in room.peer.events if isinstance(event, Interrupted))
    assert (interrupted.turn, interrupted.heard_ms) == (1, 500)
    assert interrupted.latency_ms["speech_start_to_silence"] >= 192
    assert room.peer.flushed >= 1
    played = len(room.peer.frames)
    room.ticker.tick(10)
    assert len(room.peer.frames) == played
    assert "start 2" in room.engine.up
    await room.leave()


async def test_the_transcript_of_a_cut_reply_is_what_was_heard() -> None:
    room = await enter()
    await ask(room)
    for word in ("I ", "can ", "see "):
        room.engine.tell(ReplyText(1, word))
        room.engine.tell(ReplyAudio(1, AudioChunk(SECOND_OF_TONE, 24_000, 0.0)))
    room.ticker.tick(60)  # 1.2 of 3 seconds
    room.conversation.submit(room.peer, Interrupt())
    await room.settle()
    assert Interrupted(1, 1200, "I can") in room.peer.events
    assert Transcript(1, Role.ASSISTANT, "I can", final=True) in room.peer.events
    assert TextResponse(1, "I can", None) in room.peer.events
    assert "stop" in room.engine.up
    await room.leave()


async def test_words_of_a_cut_reply_that_nobody_heard_are_not_remembered() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1, "I can see a page.", seconds=2)
    room.conversation.submit(room.peer, Interrupt())
    await room.settle()
    assert Interrupted(1, 0, "") in room.peer.events
    assert room.engine.remembered[-1] == (1, "assistant", "")
    await room.leave()


async def test_what_the_client_has_played_is_reckoned_on_from_its_last_report() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1, seconds=4)
    room.ticker.tick(50)
    room.conversation.submit(room.peer, Playback(1, 700))
    await room.settle()
    room.ticker.tick(100)
    room.conversation.submit(room.peer, Interrupt())
    await room.settle()
    assert next(event for event in room.peer.events if isinstance(event, Interrupted)).heard_ms == 2700
    await room.leave()


async def test_a_reply_played_to_its_end_was_heard_whole_however_late_the_client_is() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1, seconds=1)
    room.ticker.tick(30)
    room.conversation.submit(room.peer, Playback(1, 300))
    await room.settle()
    room.ticker.tick(60)
    assert next(event for event in room.peer.events if isinstance(event, TurnEnded)).heard_ms == 1000
    await room.leave()


async def test_a_remark_that_waits_is_no_longer_than_a_reply_may_be() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1, seconds=2)
    room.ticker.tick(10)
    room.engine.reply(2, "endless", seconds=121)
    assert [event.code for event in room.peer.events if isinstance(event, Fault)] == [FaultCode.AUDIO_PROCESSING_ERROR]
    await room.leave()


@pytest.mark.parametrize(("played_ms", "heard_ms"), [(0, 0), (400, 400), (60_000, 1000)])
async def test_what_the_client_says_it_played_is_believed_but_not_more_than_it_got(
    played_ms: int, heard_ms: int
) -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1, seconds=2)
    room.ticker.tick(50)
    room.conversation.submit(room.peer, Playback(1, played_ms))
    room.conversation.submit(room.peer, Interrupt())
    await room.settle()
    assert next(event for event in room.peer.events if isinstance(event, Interrupted)).heard_ms == heard_ms
    await room.leave()


async def test_audio_of_an_interrupted_turn_is_never_played() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1)
    room.conversation.submit(room.peer, Interrupt())
    await room.settle()
    room.engine.reply(1)
    room.ticker.tick(20)
    assert not room.peer.frames
    await room.leave()


async def test_audio_of_a_turn_that_was_heard_to_its_end_is_never_played() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1)
    room.ticker.tick(80)
    assert isinstance(room.peer.events[-2], TurnEnded)
    played = len(room.peer.frames)
    room.engine.reply(1)
    room.ticker.tick(20)
    assert len(room.peer.frames) == played
    await room.leave()


async def test_a_question_asked_while_an_answer_is_awaited_replaces_it() -> None:
    room = await enter()
    await ask(room, "one")
    await ask(room, "two")
    assert Interrupted(1, 0, "") in room.peer.events
    room.engine.reply(1, "late answer to one")
    room.engine.reply(2, "answer to two")
    room.ticker.tick(60)
    assert {frame.turn for frame in room.peer.frames} == {2}
    assert list(turns_of(room.peer)) == sorted(turns_of(room.peer))
    await room.leave()


async def test_a_remark_nobody_asked_for_waits_until_the_reply_before_it_was_heard() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1, "answer")
    remark = room.engine.next_turn()
    room.engine.reply(remark, "and by the way")
    room.ticker.tick(200)
    assert [frame.turn for frame in room.peer.frames] == [1] * 52 + [2] * 52
    texts = [event.text for event in room.peer.events if isinstance(event, TextResponse)]
    assert texts == ["answer", "and by the way"]
    await room.leave()


async def test_what_the_engine_understood_becomes_the_users_transcript() -> None:
    room = await enter()
    room.say(speech())
    await room.until(lambda: "end" in room.engine.up)
    room.engine.tell(UserText(1, "go for"))
    room.engine.tell(UserText(1, "ward"))
    room.engine.reply(1)
    said = [event for event in room.peer.events if isinstance(event, Transcript) and event.role is Role.USER]
    assert said == [
        Transcript(1, Role.USER, "go for", final=False),
        Transcript(1, Role.USER, "go forward", final=False),
        Transcript(1, Role.USER, "go forward", final=True),
    ]
    await room.leave()


async def test_words_understood_after_the_answer_began_join_the_question() -> None:
    room = await enter()
    room.say(speech())
    await room.until(lambda: "end" in room.engine.up)
    room.engine.tell(UserText(1, "go"))
    room.engine.reply(1)
    room.engine.tell(UserText(1, " forward"))
    said = [event for event in room.peer.events if isinstance(event, Transcript) and event.role is Role.USER]
    assert said[-1] == Transcript(1, Role.USER, "go forward", final=True)
    await room.leave()


async def test_the_end_of_the_session_tells_what_was_heard_of_the_reply_it_cut() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1, seconds=3)
    room.ticker.tick(50)
    await room.leave()
    assert any(isinstance(event, Interrupted) and event.heard_ms == 1000 for event in room.peer.events)


async def test_audio_end_closes_the_utterance_now() -> None:
    room = await enter()
    room.say(speech()[: 32_000 * 2])
    room.conversation.submit(room.peer, AudioEnd())
    await room.until(lambda: "end" in room.engine.up)
    await room.leave()


async def test_a_microphone_that_ends_completes_its_utterance() -> None:
    room = await enter()
    room.say(speech()[: 32_000 * 2])
    room.conversation.end_audio(room.peer)
    await room.until(lambda: "end" in room.engine.up)
    await room.leave()


async def test_the_first_frame_goes_up_at_once_and_an_equal_one_does_not() -> None:
    room = await enter()
    room.conversation.push_frame(room.peer, picture())
    await room.until(lambda: bool(room.engine.stills))
    room.conversation.push_frame(room.peer, picture())
    await ask(room)
    await room.until(lambda: "ask 1 where is save?" in room.engine.up)
    assert room.engine.up == ["frame", "ask 1 where is save?"]
    seen = [event for event in room.peer.events if isinstance(event, ScreenFrameSent)]
    assert [(event.frame, event.reason) for event in seen] == [(1, SeenReason.FIRST)]
    assert room.conversation.latest_screenshot == room.engine.stills[0]
    await room.leave()


async def test_a_changed_frame_goes_up_before_the_question_about_it() -> None:
    room = await enter()
    room.conversation.push_frame(room.peer, picture(40))
    await room.until(lambda: bool(room.engine.stills))
    room.conversation.push_frame(room.peer, picture(200))
    await ask(room)
    await room.until(lambda: len(room.engine.up) == 3)
    assert room.engine.up == ["frame", "frame", "ask 1 where is save?"]
    assert (
        next(event.reason for event in reversed(room.peer.events) if isinstance(event, ScreenFrameSent))
        is SeenReason.TURN
    )
    await room.leave()


async def test_the_frame_goes_up_inside_the_utterance_it_belongs_to() -> None:
    room = await enter()
    room.say(speech()[:64_000])
    await room.until(lambda: "start 1" in room.engine.up)
    room.conversation.push_frame(room.peer, picture())
    room.say(speech()[64_000:])
    await room.until(lambda: "end" in room.engine.up)
    assert room.engine.up[-1] == "end"
    assert "frame" in room.engine.up[1:-1]
    await room.leave()


async def test_a_fresh_engine_is_shown_the_current_frame_again() -> None:
    room = await enter()
    room.conversation.push_frame(room.peer, picture())
    await room.until(lambda: len(room.engine.stills) == 1)
    room.engine.tell(EngineUnavailable(EngineError(FaultCode.ENGINE_NETWORK, "gone", where="test")))
    assert room.peer.states[-1] == "reconnecting"
    room.engine.tell(EngineReady("fake"))
    await room.until(lambda: len(room.engine.stills) == 2)
    assert room.peer.states[-1] == "idle"
    await room.leave()


async def test_a_frame_that_cannot_be_encoded_is_reported_and_the_next_is_sent() -> None:
    room = await enter()
    bad = picture()
    object.__setattr__(bad, "u", bad.u[:1, :1])
    room.conversation.push_frame(room.peer, bad)
    await room.until(lambda: any(isinstance(event, Fault) for event in room.peer.events))
    fault = next(event for event in room.peer.events if isinstance(event, Fault))
    assert (fault.code, fault.fatal) == (FaultCode.FRAME_PROCESSING_ERROR, False)
    room.conversation.push_frame(room.peer, picture())
    await room.until(lambda: bool(room.engine.stills))
    await room.leave()


async def test_a_share_that_ended_is_forgotten() -> None:
    room = await enter()
    room.conversation.push_frame(room.peer, picture())
    await room.until(lambda: bool(room.engine.stills))
    room.conversation.submit(room.peer, ScreenShareEnd())
    await room.settle()
    assert room.conversation.latest_screenshot is None
    room.engine.tell(ToolCall(1, "c1", "point_at", {"box_2d": [1, 2, 3, 4], "label": "x"}))
    await room.settle()
    assert room.engine.answers == [{"error": "No screen is shared, so there is nothing to point at."}]
    await room.leave()


async def test_a_tool_call_becomes_an_event_and_is_always_answered() -> None:
    room = await enter()
    room.conversation.push_frame(room.peer, picture())
    await room.until(lambda: bool(room.engine.stills))
    await ask(room)
    room.engine.tell(ToolCall(1, "c1", "point_at", {"box_2d": [120, 40, 160, 110], "label": "Save"}))
    await room.settle()
    steps = [{"text": "Press Save", "state": "current"}]
    room.engine.tell(ToolCall(1, "c2", "show_steps", {"title": "Saving", "steps": steps}))
    await room.settle()
    room.engine.tell(ToolCall(1, "c3", "no_such_thing", {}))
    await room.settle()
    assert Pointer(1, (120, 40, 160, 110), "Save") in room.peer.events
    assert any(isinstance(event, Guidance) for event in room.peer.events)
    assert [list(answer) for answer in room.engine.answers] == [["result"], ["result"], ["error"]]
    await room.leave()


async def test_a_tool_call_of_an_interrupted_turn_shows_nothing() -> None:
    room = await enter()
    room.conversation.push_frame(room.peer, picture())
    await room.until(lambda: bool(room.engine.stills))
    await ask(room)
    room.conversation.submit(room.peer, Interrupt())
    await room.settle()
    room.engine.tell(ToolCall(1, "c1", "point_at", {"box_2d": [120, 40, 160, 110], "label": "Save"}))
    await room.settle()
    assert not any(isinstance(event, Pointer) for event in room.peer.events)
    assert list(room.engine.answers[0]) == ["error"]
    await room.leave()


async def test_ping_is_answered_to_whoever_asked() -> None:
    room = await enter()
    room.conversation.submit(room.peer, Ping(7))
    room.conversation.submit(room.peer, NameTracks({"1": "screen"}))
    await room.settle()
    assert room.peer.events[-1] == Pong(7)
    await room.leave()


async def test_end_session_ends_it() -> None:
    room = await enter()
    room.conversation.submit(room.peer, EndSession())
    assert await room.task is EndReason.CLIENT


async def test_a_conversation_without_anybody_waits_for_the_grace_period_and_ends() -> None:
    room = await enter()
    room.conversation.detach(room.peer, grace=0.0)
    assert await room.task is EndReason.CLIENT
    assert room.conversation.peers == 0


async def test_a_client_that_comes_back_in_time_finds_its_conversation() -> None:
    room = await enter()
    await ask(room)
    room.conversation.detach(room.peer, grace=60.0)
    room.conversation.attach(room.peer)
    await room.settle()
    assert not room.task.done()
    await ask(room, "still here?")
    assert room.engine.up[-1] == "ask 2 still here?"
    await room.leave()


@in_virtual_time
async def test_an_idle_conversation_ends_politely() -> None:
    room = await enter(idle=60.0)
    assert await room.task is EndReason.IDLE
    assert room.peer.events[-1] == SessionEnded(EndReason.IDLE)


@in_virtual_time
async def test_a_conversation_that_awaits_an_answer_is_not_idle() -> None:
    room = await enter(idle=60.0)
    await ask(room)
    await asyncio.sleep(200.0)
    assert not room.task.done()
    room.engine.tell(ReplyEnded(1, Usage(), None))
    assert await room.task is EndReason.IDLE


@in_virtual_time
async def test_a_conversation_has_a_longest_time() -> None:
    room = await enter(longest=60.0)
    assert await room.task is EndReason.LIMIT


@in_virtual_time
async def test_the_last_words_may_be_finished_before_time_is_up() -> None:
    room = await enter(longest=60.0)
    await ask(room)
    room.engine.reply(1)
    await asyncio.sleep(65.0)
    assert not room.task.done()
    room.ticker.tick(60)
    assert await room.task is EndReason.LIMIT
    assert any(isinstance(event, TurnEnded) for event in room.peer.events)


async def test_a_lost_engine_silences_tells_once_and_recovers() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1, seconds=3)
    room.ticker.tick(10)
    room.engine.tell(
        EngineUnavailable(EngineError(FaultCode.ENGINE_NETWORK, "The engine is gone.", where="test"), is_turn_lost=True)
    )
    played = len(room.peer.frames)
    room.ticker.tick(20)
    assert len(room.peer.frames) == played
    faults = [event for event in room.peer.events if isinstance(event, Fault)]
    assert [(fault.code, fault.fatal) for fault in faults] == [(FaultCode.ENGINE_NETWORK, False)]
    assert any(isinstance(event, Interrupted) and event.heard_ms == 200 for event in room.peer.events)
    room.engine.tell(EngineReady("fake"))
    await ask(room, "again")
    room.engine.reply(2)
    room.ticker.tick(60)
    assert any(isinstance(event, TurnEnded) and event.turn == 2 for event in room.peer.events)
    await room.leave()


async def test_a_reply_that_has_come_whole_is_heard_whole_before_an_outage_is_told() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1, seconds=3)
    room.ticker.tick(10)
    room.engine.tell(EngineDisconnected())
    room.engine.tell(EngineUnavailable(EngineError(FaultCode.ENGINE_NETWORK, "The engine is gone.", where="test")))
    room.ticker.tick(20)
    assert not [event for event in room.peer.events if isinstance(event, Fault)]
    room.ticker.tick(200)
    assert len(room.peer.frames) == 152
    kinds = [type(event) for event in room.peer.events if isinstance(event, TurnEnded | Fault)]
    assert kinds == [TurnEnded, Fault]
    await room.leave()


async def test_an_outage_that_is_over_before_the_reply_is_never_told() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1, seconds=3)
    room.ticker.tick(10)
    room.engine.tell(EngineUnavailable(EngineError(FaultCode.ENGINE_NETWORK, "The engine is gone.", where="test")))
    room.engine.tell(EngineReady("fake"))
    room.ticker.tick(200)
    assert not [event for event in room.peer.events if isinstance(event, Fault)]
    await room.leave()


async def test_the_end_of_a_reply_is_not_clipped_when_the_engine_closes_it_between_two_frames() -> None:
    played = []
    for closes_early in (True, False):
        room = await enter()
        await ask(room)
        room.engine.reply(1, ended=closes_early)
        room.ticker.tick(50)
        if not closes_early:
            room.engine.tell(ReplyEnded(1, Usage(), None))
        room.ticker.tick(10)
        played.append(len(room.peer.frames))
        await room.leave()
    assert played[0] == played[1]


async def test_a_remark_that_begins_before_the_answer_waits_for_it() -> None:
    room = await enter()
    await ask(room)
    remark = room.engine.next_turn()
    room.engine.tell(ReplyAudio(remark, AudioChunk(SECOND_OF_TONE, 24_000, 0.0)))
    room.engine.reply(1)
    room.ticker.tick(60)
    assert {frame.turn for frame in room.peer.frames[:52]} == {1}
    assert any(isinstance(event, TurnEnded) and event.turn == 1 for event in room.peer.events)
    await room.leave()


async def test_blocked_content_is_a_turn_fault() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1, ended=False)
    blocked = EngineError(FaultCode.ENGINE_CONTENT_BLOCKED, "The engine will not answer that.", where="test")
    room.engine.tell(ReplyEnded(1, Usage(), blocked))
    assert [event.code for event in room.peer.events if isinstance(event, Fault)] == [FaultCode.ENGINE_CONTENT_BLOCKED]
    assert room.peer.states[-1] == "idle"
    await room.leave()


async def test_what_a_blocked_turn_has_cost_is_counted() -> None:
    room = await enter()
    seen: list[Event] = []
    room.conversation.add_observer(seen.append)
    await ask(room)
    blocked = EngineError(FaultCode.ENGINE_CONTENT_BLOCKED, "The engine will not answer that.", where="test")
    room.engine.tell(ReplyEnded(1, Usage({"total": 7}), blocked))
    assert [event for event in seen if isinstance(event, TurnUsageReport)] == [TurnUsageReport(1, Usage({"total": 7}))]
    await room.leave()


async def test_a_turn_tells_the_newest_count_of_what_it_has_cost() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1)
    room.engine.tell(ReplyCancelled(1, Usage({"total": 12})))
    room.ticker.tick(80)
    assert next(event for event in room.peer.events if isinstance(event, TurnEnded)).usage == Usage({"total": 12})
    await room.leave()


async def test_an_engine_that_gave_up_ends_the_session_with_its_error() -> None:
    room = await enter()
    assert room.engine.fails is not None
    room.engine.fails.set_exception(EngineError(FaultCode.ENGINE_FAILED, "Gave up.", where="test"))
    assert await room.task is EndReason.ERROR
    assert room.peer.events[-2:] == [
        Fault(FaultCode.ENGINE_FAILED, "Gave up.", {}, fatal=True),
        SessionEnded(EndReason.ERROR),
    ]


async def test_a_bug_is_an_internal_error_without_detail() -> None:
    room = await enter()
    assert room.engine.fails is not None
    room.engine.fails.set_exception(KeyError("secret"))
    assert await room.task is EndReason.ERROR
    fault = room.peer.events[-2]
    assert isinstance(fault, Fault)
    assert (fault.code, fault.fatal) == (FaultCode.INTERNAL_ERROR, True)
    assert "secret" not in fault.message


async def test_a_fault_on_the_ticker_reaches_the_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1)

    def broken(*_: object) -> bytes:
        raise RuntimeError("encoder")

    monkeypatch.setattr("pipeline.playout.opus_encoder.OpusEncoder.encode", broken)
    room.ticker.tick()
    assert await room.task is EndReason.ERROR


async def test_a_fault_blamed_by_a_transport_takes_its_class() -> None:
    room = await enter()
    room.conversation.report_error(MediaError(FaultCode.AUDIO_PROCESSING_ERROR, "decoder", where="test"))
    assert not room.task.done()
    room.conversation.report_error(MediaError(FaultCode.SLOW_CONSUMER, "too slow", where="test"))
    assert await room.task is EndReason.ERROR


async def test_a_cut_is_a_ramp_of_at_most_5_ms_and_then_nothing() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1, seconds=2)
    room.ticker.tick(3)
    room.conversation.submit(room.peer, Interrupt())
    await room.settle()
    assert len(room.peer.frames) <= 5
    assert not any(b"".join(frame.pcm for frame in room.peer.frames[3:])[240:])
    await room.leave()


async def test_state_is_told_only_when_it_changes() -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(1)
    room.ticker.tick(60)
    states = [event for event in room.peer.events if isinstance(event, StateChanged)]
    assert [state.state for state in states[1:]] == [State.IDLE, State.THINKING, State.SPEAKING, State.IDLE]
    await room.leave()
