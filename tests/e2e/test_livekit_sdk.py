"""LiveKit's own Python SDK, unmodified, as the client of a server as it is started by users."""

import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
from livekit import rtc

from tests.support.livekit_sdk import Caller, caller, picture
from tests.support.server_process import Server, person, serving, synthetic
from tests.support.tcp_proxy import proxied

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def ada(server: Server, request: pytest.FixtureRequest) -> AsyncIterator[Caller]:
    async with caller(server.address, "ada", room=request.node.name) as ada:
        yield ada


async def test_a_spoken_question_is_answered_by_voice_and_in_writing(ada: Caller) -> None:
    microphone = await ada.publish_microphone()
    await ada.say(synthetic("what time is it"))
    assert "It is" in await ada.answered(1)
    await ada.until(lambda notes: notes.final("assistant"))

    (question,) = ada.notes.final("ada")
    (answer,) = ada.notes.final("assistant")
    assert question == "What time is it?"
    assert answer.startswith("It is")
    voice = next(iter(ada.room.remote_participants["assistant"].track_publications))
    spoken = {stream.who: stream for stream in ada.notes.texts}
    assert (spoken["ada"].track, spoken["assistant"].track) == (microphone.sid, voice)
    assert spoken["assistant"].pieces > 1, "as it is spoken, not at the end"
    assert {(who, segment.text) for who, segment in ada.notes.legacy if segment.final} >= {
        ("ada", question),
        ("assistant", answer),
    }
    await ada.until(lambda notes: notes.states[-3:] == ["thinking", "speaking", "listening"])
    assert len(ada.notes.loud_since(0.0)) > 50, "10 ms each"


async def test_a_recorded_person_who_says_no_command_is_honestly_not_understood(ada: Caller) -> None:
    await ada.publish_microphone()
    await ada.say(person())
    await ada.until(lambda notes: "did not understand" in notes.so_far("assistant"))
    await ada.sound(0.0)


async def test_a_chat_message_is_answered_about_the_shared_screen(ada: Caller) -> None:
    await ada.share(picture("Open", "Save", "Print"))
    await ada.more_than(0, "screen_seen")
    await ada.ask("where is save")
    assert "Save is at the top left." in await ada.answered(1)
    (pointer,) = [event for event in ada.notes.events if event["action"] == "pointer"]
    top, left, bottom, right = pointer["box"]
    assert 200 <= (left + right) / 2 / 1000 * 1280 <= 330
    assert 20 <= (top + bottom) / 2 / 1000 * 720 <= 70


async def test_a_call_interrupts_the_voice(droning: Server) -> None:
    async with caller(droning.address) as ada:
        await ada.ask("sing")
        await ada.sound(0.0, frames=100)
        assert await ada.call("interrupt") == "{}"
        called = monotonic()
        await ada.more_than(0, "interrupted")
        await ada.listen(called + 1.5)
        assert not ada.notes.loud_since(called + 0.5), "silent for a second at least, of an answer of ten"


async def test_history_and_settings_can_be_called_for_and_nothing_else(ada: Caller) -> None:
    await ada.ask("what time is it")
    answer = await ada.answered(1)
    history = json.loads(await ada.call("get_history"))
    assert [(entry["role"], entry["text"]) for entry in history["entries"]] == [
        ("user", "what time is it"),
        ("assistant", answer),
    ]
    assert json.loads(await ada.call("set_config", '{"vad": {"silence_ms": 300}}'))["vad"]["silence_ms"] == 300
    with pytest.raises(rtc.RpcError) as refused:
        await ada.call("open_the_door")
    assert refused.value.code == 1400
    assert "get_history, interrupt, set_config" in refused.value.message


async def test_a_muted_microphone_is_not_heard_until_it_is_unmuted(ada: Caller) -> None:
    microphone = await ada.publish_microphone()
    track = microphone.track
    assert isinstance(track, rtc.LocalAudioTrack)
    track.mute()
    await ada.say(synthetic("hello"))
    assert not [event for event in ada.notes.events if event.get("state") == "listening"]
    track.unmute()
    await ada.say(synthetic("what time is it"))
    await ada.until(lambda notes: notes.final("ada"))
    assert ada.notes.final("ada") == ["What time is it?"]


async def publish_and_take_back(ada: Caller) -> None:
    """Publish microphone and screen, be seen and heard by them, and take them back."""
    seen, heard = ada.times("screen_seen"), len(ada.notes.final("ada"))
    microphone = await ada.publish_microphone()
    screen = await ada.share(picture("Save"))
    await ada.more_than(seen, "screen_seen")
    await ada.say(synthetic("what time is it"))
    await ada.until(lambda notes: len(notes.final("ada")) > heard)
    await ada.me.unpublish_track(microphone.sid)
    await ada.me.unpublish_track(screen.sid)


async def test_microphone_and_screen_can_be_published_again_and_again(droning: Server) -> None:
    async with caller(droning.address) as ada:
        for _ in range(3):
            await publish_and_take_back(ada)


async def test_the_voice_goes_on_while_a_lost_socket_is_resumed(droning: Server) -> None:
    with proxied(droning.address) as proxy:
        async with caller(proxy.address) as ada:
            sid = ada.me.sid
            await ada.ask("sing")
            await ada.sound(0.0, frames=50)
            cut = monotonic()
            assert proxy.cut()
            await ada.more_than(0, "reconnected")
            await ada.listen(cut + 3)
            assert ada.longest_silence(cut) < 0.5
            assert ada.me.sid == sid
            assert await ada.call("interrupt") == "{}"
            await ada.more_than(0, "interrupted")
            assert not ada.times("session_ended")


async def test_a_client_whose_server_is_killed_joins_another(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text("rules: [{when: anything, heard: what time is it, answer: [{say: noon, tone: 440, seconds: 1}]}]")
    with ExitStack() as stack:
        server, other = (stack.enter_context(serving(tmp_path, LOCAL_ENGINE_SCRIPT=str(script))) for _ in range(2))
        proxy = stack.enter_context(proxied(server.address))
        async with caller(proxy.address) as ada:
            await ada.publish_microphone()
            before = ada.me.sid
            ada.notes.events.clear()
            ada.notes.happened.clear()
            proxy.upstream = other.address
            server.process.kill()
            for what in ("reconnected", "local_track_subscribed", "session_started"):
                await ada.more_than(0, what, 40)
            assert ada.me.sid != before
            await ada.say(synthetic("what time is it"))
            await ada.until(lambda notes: notes.final("ada") == ["what time is it"])
