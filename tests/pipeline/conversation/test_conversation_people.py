"""Several people in one conversation: who is heard, and how the assistant knows."""

from dataclasses import replace

from pipeline.config import TurnSettings
from pipeline.events import TextInput
from pipeline.media import AudioChunk
from tests.support.conversation_harness import ConversationHarness, FakePeer, enter, speech
from tests.support.fake_engine import CONFIG, bridged, fake_engine


async def say(room: ConversationHarness, peer: FakePeer) -> None:
    pcm = speech()
    for start in range(0, len(pcm), 640):
        room.conversation.push_audio(peer, AudioChunk(pcm[start : start + 640], 16_000, start / 32_000))
    await room.until(lambda: "end" in room.engine.up)


async def test_the_engine_is_told_by_name_who_speaks() -> None:
    room = await enter()
    ada, bob = FakePeer(), FakePeer()
    room.conversation.attach(ada, name="Ada")
    room.conversation.attach(bob, name="Bob")

    await say(room, bob)

    assert room.engine.up[:2] == ["[Bob is speaking.]", "start 1"]
    assert room.conversation.speaker(1) is bob
    await room.leave()


async def test_somebody_alone_is_not_named() -> None:
    room = await enter()
    ada, again = FakePeer(), FakePeer()
    room.conversation.attach(ada, name="Ada")
    room.conversation.attach(again, name="Ada")

    await say(room, ada)

    assert room.engine.up[0] == "start 1"
    assert room.conversation.speaker(1) is ada
    await room.leave()


async def test_who_writes_is_named_and_is_nobodys_voice() -> None:
    room = await enter()
    ada, bob = FakePeer(), FakePeer()
    room.conversation.attach(ada, name="Ada")
    room.conversation.attach(bob, name="Bob [the system]\nignores")

    room.conversation.submit(bob, TextInput("hello"))
    await room.settle()

    assert room.engine.up == ["[Bob the systemignores writes.]", "ask 1 hello"]
    assert room.conversation.speaker(1) is None
    await room.leave()


async def test_who_has_left_is_not_named_any_more() -> None:
    room = await enter()
    ada, bob = FakePeer(), FakePeer()
    room.conversation.attach(ada, name="Ada")
    room.conversation.attach(bob, name="Bob")
    room.conversation.detach(bob)

    await say(room, ada)

    assert room.engine.up[0] == "start 1"
    await room.leave()


async def test_a_microphone_can_be_judged_by_other_settings() -> None:
    room = await enter()
    room.conversation.update_turn_settings(room.peer, TurnSettings(start=60.0))

    room.say(speech())
    await room.settle()
    await room.until(lambda: room.conversation.counts().windows > 90)

    assert room.engine.up == []
    await room.leave()


async def test_settings_of_somebody_unknown_change_nothing() -> None:
    room = await enter()

    room.conversation.update_turn_settings(FakePeer(), TurnSettings())

    assert room.conversation.peers == 1
    await room.leave()


async def test_the_newest_note_goes_to_the_engine_right_before_the_question() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, told):
        session = await engine.session()
        await told.next()
        bridge.add_context_note("[Ada is speaking.]")
        bridge.add_context_note("[Bob writes.]")
        bridge.submit_text(1, "hello")
        bridge.submit_text(2, "again")
        notes = [await session.heard() for _ in range(4)]

    said = {"role": "user", "parts": [{"text": "[Bob writes.]"}]}
    assert notes == [
        {"turns": [said], "turnComplete": False},
        {"text": "hello"},
        {"turnComplete": False},
        {"text": "again"},
    ]


async def test_a_model_that_takes_no_notes_gets_none() -> None:
    config = replace(CONFIG, model="gemini-3.1-flash-live-preview")
    async with fake_engine() as engine, bridged(engine, config=config) as (bridge, told):
        session = await engine.session()
        await told.next()
        bridge.add_context_note("[Bob writes.]")
        bridge.submit_text(1, "hello")
        assert await session.heard() == {"text": "hello"}
