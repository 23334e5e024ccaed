"""LiveKit's Python SDK at length, with figures: how fast it connects, is answered, is silenced, and comes back."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
from livekit.rtc import SimulateScenarioKind

from tests.support.livekit_loss import losing
from tests.support.livekit_sdk import Caller, caller, picture
from tests.support.server_process import Server, serving, synthetic
from tests.support.tcp_proxy import proxied

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), RATE_LIMIT_OFFER="1000/minute") as running:
        yield running


@pytest.fixture(params=[False, True], ids=["one connection", "two connections"])
def is_dual(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def figures(what: str, seconds: list[float]) -> None:
    """Tell the median and the worst."""
    ordered = sorted(seconds)
    middle, worst = ordered[len(ordered) // 2] * 1000, ordered[-1] * 1000
    print(f"\n{what}: median {middle:.0f} ms, worst {worst:.0f} ms of {len(ordered)}")


async def test_twenty_clients_connect_one_after_another(server: Server, is_dual: bool) -> None:
    took = []
    for number in range(20):
        async with caller(server.address, room=f"connect {number}", is_dual=is_dual) as ada:
            took.append(ada.connected_in)
    figures("connect", took)
    assert max(took) < 5


async def test_ten_spoken_questions_are_answered(server: Server, is_dual: bool) -> None:
    took = []
    async with caller(server.address, room=f"questions {is_dual}", is_dual=is_dual) as ada:
        await ada.publish_microphone()
        for turn in range(1, 11):
            asked = await ada.say(synthetic("what time is it"))
            took.append(await ada.sound(asked) - asked)
            assert "It is" in await ada.answered(turn)
        assert ada.notes.final("ada") == ["What time is it?"] * 10
    figures("end of a question to the first sound of its answer, of which 500 ms are the silence that ends it", took)
    assert max(took) < 5


async def test_questions_about_ever_new_screens_are_answered(server: Server, is_dual: bool) -> None:
    async with caller(server.address, room=f"screens {is_dual}", is_dual=is_dual) as ada:
        screen = await ada.share(picture("Begin"), simulcast=not is_dual)
        for turn, name in enumerate(("Save", "Open", "Print", "Close", "Copy", "Paste", "Export", "Search"), 1):
            seen = ada.times("screen_seen")
            screen.image = picture("Begin", name)
            await ada.more_than(seen, "screen_seen")
            await ada.ask(f"where is {name.lower()}")
            assert f"{name} is at the top left." in await ada.answered(turn)


async def test_ten_calls_interrupt_ten_answers(singing: Server, is_dual: bool) -> None:
    took = []
    async with caller(singing.address, room=f"interrupt {is_dual}", is_dual=is_dual) as ada:
        for turn in range(10):
            await ada.ask("sing")
            await ada.sound(monotonic(), frames=50)
            called = monotonic()
            await ada.call("interrupt")
            await ada.more_than(turn, "interrupted")
            await ada.listen(called + 1)
            took.append(max(ada.notes.loud_since(called), default=called) - called)
    figures("call to the last sound", took)
    assert max(took) < 0.6


async def test_ten_lost_sockets_are_resumed_and_the_voice_never_stops(singing: Server, is_dual: bool) -> None:
    took, silences = [], []
    with proxied(singing.address) as proxy:
        async with caller(proxy.address, room=f"resume {is_dual}", is_dual=is_dual) as ada:
            await ada.publish_microphone()
            sid = ada.me.sid
            for number in range(10):
                if number % 5 == 0:
                    await ada.ask("sing")
                    await ada.sound(monotonic(), frames=50)
                cut = monotonic()
                assert proxy.cut()
                await ada.more_than(number, "reconnected")
                took.append(monotonic() - cut)
                await ada.listen(cut + 2.5)
                silences.append(ada.longest_silence(cut))
            assert ada.me.sid == sid
            await ada.call("interrupt")
            # Consent to send is asked for every 5 s and lasts 30 s: a connection that was only half kept ends by then.
            later = monotonic() + 40
            await ada.listen(later)
            await ada.say(synthetic("what time is it"))
            await ada.sound(later)
            assert not ada.times("session_ended")
    figures("cut to resumed", took)
    figures("longest silence meanwhile", silences)
    assert max(silences) < 0.5


async def test_who_joins_anew_finds_the_conversation(server: Server, is_dual: bool) -> None:
    async with caller(server.address, room=f"anew {is_dual}", is_dual=is_dual) as ada:
        await ada.publish_microphone()
        await ada.ask("what time is it")
        answer = await ada.answered(1)
        before, ready = ada.me.sid, ada.times("local_track_subscribed")
        await ada.room.simulate_scenario(SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
        await ada.more_than(ready, "local_track_subscribed")
        assert ada.me.sid != before
        texts = [entry["text"] for entry in json.loads(await ada.call("get_history"))["entries"]]
        assert texts == ["What time is it?", answer]
        await ada.say(synthetic("what time is it"))
        assert "It is" in await ada.answered(2)


async def test_a_server_that_is_killed_three_times_is_rejoined(tmp_path: Path, is_dual: bool) -> None:
    took = []
    with ExitStack() as stack:
        server = stack.enter_context(serving(tmp_path))
        proxy = stack.enter_context(proxied(server.address))
        async with caller(proxy.address, is_dual=is_dual) as ada:
            await ada.publish_microphone()
            await ada.share(picture("Save"))
            for _ in range(3):
                await _is_well(ada)
                ada.notes.events.clear()
                ada.notes.happened.clear()
                server.process.kill()
                server.process.wait(10)
                server = stack.enter_context(serving(tmp_path))
                proxy.upstream, up = server.address, monotonic()
                await ada.more_than(1, "local_track_subscribed", 60)
                took.append(monotonic() - up)
            await _is_well(ada)
    figures("server up to heard and seen again", took)


async def _is_well(ada: Caller) -> None:
    """The screen is seen, and a spoken question about it is understood and answered."""
    await ada.more_than(0, "screen_seen")
    await ada.say(synthetic("what is on my screen"))
    assert "Save" in await ada.answered(1)


async def test_a_minute_of_4_percent_loss_is_survived(tmp_path: Path, is_dual: bool) -> None:
    with losing(tmp_path, 0.04) as server:
        async with caller(server.address, is_dual=is_dual) as ada:
            await ada.publish_microphone()
            screen = await ada.share(picture("Save"))
            await ada.more_than(0, "screen_seen")
            await ada.ask("sing")
            singing, delays = await ada.sound(monotonic(), frames=50), []
            for number in range(30):
                seen, changed = ada.times("screen_seen"), monotonic()
                screen.image = picture("Save", shade=(80, 180)[number % 2])
                await ada.more_than(seen, "screen_seen")
                delays.append(monotonic() - changed)
                await ada.listen(changed + 2)
            silence, lost = ada.longest_silence(singing), await ada.lost()
            await ada.say(synthetic("what time is it"))
            await ada.until(lambda notes: notes.final("ada"))
    figures("change of the screen to seen, at most one picture a second", delays)
    figures("longest silence in the voice", [silence])
    print(f"{lost} lost on the way down")
    assert lost
    assert max(delays) < 3
    assert silence < 0.5
