"""A session outlives its connection for who holds its handle (statements 24 and 25)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from google.genai import errors, types
from google.genai.live import AsyncSession

from mediaserver.localengine.protocol.codec import WireError
from mediaserver.localengine.responder.interface import Memory
from mediaserver.localengine.responder.local import LocalMemory
from mediaserver.localengine.responder.scripted import parse_script
from mediaserver.localengine.server import LocalEngine
from mediaserver.localengine.session.context import Context
from mediaserver.localengine.session.resumption import Handles, Resumption
from pipeline.audio.vad import VadModel
from tests.support.live_client import closing, dial, open_session, said_by, setup, speak, turn, until

SCRIPT = parse_script("""
rules:
  - {when: {text: what colour, remembers: blue}, answer: [{say: You said blue., seconds: 0.2}]}
  - {when: {text: what colour, remembers: duly noted}, answer: [{say: I noted something., seconds: 0.2}]}
  - {when: {text: what colour}, answer: [{say: I do not know., seconds: 0.2}]}
  - {when: {text: which turn, turn: 2}, answer: [{say: The second., seconds: 0.2}]}
  - {when: spoken, heard: My colour is blue., answer: [{say: Duly noted., seconds: 0.2}]}
  - {when: {text: point}, answer: [{call: {name: point_at}}, {say: There., seconds: 0.2}]}
  - {when: {text: endless}, answer: [{say: on and on, seconds: 600}]}
  - {when: {screen: true}, answer: [{say: I see it., seconds: 0.2}]}
  - {when: anything, answer: [{say: Duly noted., seconds: 0.2}]}
""")
POINT = {"function_declarations": [{"name": "point_at", "behavior": "NON_BLOCKING"}]}
NOT_FOUND = "BidiGenerateContent session not found"


@pytest.fixture
async def engine(vad: VadModel) -> AsyncIterator[LocalEngine]:
    async with LocalEngine(SCRIPT, vad=vad) as engine:
        yield engine


@asynccontextmanager
async def resumable(
    engine: LocalEngine, handle: str | None = None, key: str = "any", tools: object = None
) -> AsyncIterator[AsyncSession]:
    resumption = types.SessionResumptionConfig(handle=handle)
    async with open_session(engine, key=key, session_resumption=resumption, tools=tools) as session:
        yield session


async def handle_of(session: AsyncSession) -> str:
    """The next handle that is offered."""
    update = (await until(session, "resumable")).session_resumption_update
    assert update is not None
    assert update.new_handle
    return update.new_handle


async def ask(session: AsyncSession, text: str) -> str:
    await session.send_realtime_input(text=text)
    return await said_by(session)


async def refusal(engine: LocalEngine, handle: str, key: str = "any") -> tuple[int, str]:
    with pytest.raises(errors.APIError) as caught:
        async with resumable(engine, handle, key):
            pass
    return caught.value.code, str(caught.value)


async def test_a_fresh_handle_comes_after_setup_and_after_each_turn_and_none_is_good_in_between(
    engine: LocalEngine,
) -> None:
    async with resumable(engine) as session:
        handles = [await handle_of(session)]
        for _ in range(2):
            await session.send_realtime_input(text="hi")
            withdrawn = (await until(session, "not resumable")).session_resumption_update
            assert withdrawn == types.LiveServerSessionResumptionUpdate(new_handle="", resumable=False)
            assert (await turn(session))[-1] == "turn_complete"
            handles.append(await handle_of(session))
    assert len(set(handles)) == 3
    assert min(map(len, handles)) >= 40  # of 64 signs: nobody guesses one


async def test_who_does_not_ask_for_handles_is_told_none(engine: LocalEngine) -> None:
    async with open_session(engine) as session:
        for _ in range(2):
            await session.send_realtime_input(text="hi")
            assert not {"resumable", "not resumable"} & set(await turn(session))


async def test_an_interrupted_turn_is_resumable_again(engine: LocalEngine) -> None:
    async with resumable(engine) as session:
        await session.send_realtime_input(text="endless")
        await until(session, "audio")
        await session.send_realtime_input(activity_start=types.ActivityStart())
        await turn(session)
        assert await handle_of(session)


async def test_no_handle_is_good_while_a_call_is_open(engine: LocalEngine) -> None:
    async with resumable(engine, tools=[POINT]) as session:
        await session.send_realtime_input(text="point")
        message = await until(session, "call")
        assert message.tool_call is not None
        (call,) = message.tool_call.function_calls or []
        assert (await turn(session))[-1] == "turn_complete"
        answer = types.FunctionResponse(id=call.id, name="point_at", response={})
        await session.send_tool_response(function_responses=answer)
        await session.send_realtime_input(text="hi")
        # One offer since the end of the turn, and that after the answer.
        assert (await turn(session))[:2] == ["resumable", "not resumable"]


async def test_a_handle_restores_the_conversation_and_the_screen(engine: LocalEngine) -> None:
    async with resumable(engine) as session:
        await session.send_realtime_input(video=types.Blob(data=b"\xff\xd8", mime_type="image/jpeg"))
        await ask(session, "My colour is blue.")
        handle = await handle_of(session)
    async with resumable(engine, handle) as session:
        assert await ask(session, "Which turn is this?") == "The second. "
        assert await ask(session, "What colour?") == "You said blue. "
        assert await ask(session, "What is this?") == "I see it. "
        again = await handle_of(session)
    async with resumable(engine, again) as session:
        assert await ask(session, "What colour?") == "You said blue. "


async def test_what_the_assistant_said_is_part_of_the_conversation(engine: LocalEngine) -> None:
    async with resumable(engine) as session:
        await ask(session, "Remember something.")
        handle = await handle_of(session)
    async with resumable(engine, handle) as session:
        assert await ask(session, "What colour?") == "I noted something. "


async def test_what_was_understood_of_speech_is_part_of_the_conversation(engine: LocalEngine) -> None:
    async with resumable(engine) as session:
        await speak(session)
        await turn(session)
        handle = await handle_of(session)
    async with resumable(engine, handle) as session:
        assert await ask(session, "What colour?") == "You said blue. "


async def test_a_new_session_knows_nothing_of_another(engine: LocalEngine) -> None:
    async with resumable(engine) as session:
        await ask(session, "My colour is blue.")
    async with resumable(engine) as session:
        assert await ask(session, "What colour?") == "I do not know. "


async def test_a_handle_restores_what_was_known_when_it_was_given(engine: LocalEngine) -> None:
    async with resumable(engine) as session:
        early = await handle_of(session)
        await ask(session, "My colour is blue.")
        late = await handle_of(session)
    async with resumable(engine, early) as session:
        assert await ask(session, "What colour?") == "I do not know. "
    async with resumable(engine, late) as session:
        assert await ask(session, "What colour?") == "You said blue. "


async def test_a_session_survives_that_its_connection_is_torn(engine: LocalEngine) -> None:
    async with resumable(engine) as session:
        await ask(session, "My colour is blue.")
        handle = await handle_of(session)
        await session.send_realtime_input(text="endless")
        await until(session, "audio")
        session._ws.transport.abort()
        async with resumable(engine, handle) as resumed:
            assert await ask(resumed, "What colour?") == "You said blue. "


@pytest.mark.parametrize("handle", ["nonsense", "x" * 43, "é"])
async def test_a_handle_that_was_never_given_is_not_found(engine: LocalEngine, handle: str) -> None:
    code, reason = await refusal(engine, handle)
    assert code == 1008
    assert NOT_FOUND in reason


async def test_a_handle_is_good_for_the_key_it_was_given_to(engine: LocalEngine) -> None:
    async with resumable(engine, key="mine") as session:
        handle = await handle_of(session)
    assert (await refusal(engine, handle, key="yours"))[0] == 1008
    async with resumable(engine, handle, key="mine"):
        pass


async def test_a_handle_that_is_too_old_is_not_found(vad: VadModel) -> None:
    async with LocalEngine(SCRIPT, vad=vad, resumption=Resumption(valid=0)) as engine:
        async with resumable(engine) as session:
            handle = await handle_of(session)
        code, reason = await refusal(engine, handle)
        assert code == 1008
        assert NOT_FOUND in reason


async def test_a_session_that_is_still_connected_is_not_resumed(engine: LocalEngine) -> None:
    async with resumable(engine) as session:
        handle = await handle_of(session)
        assert (await refusal(engine, handle))[0] == 1011
    async with resumable(engine, handle):
        pass


async def test_a_setting_lets_a_connected_session_be_resumed(vad: VadModel) -> None:
    rules = Resumption(while_open=True)
    async with LocalEngine(SCRIPT, vad=vad, resumption=rules) as engine, resumable(engine) as session:
        await ask(session, "My colour is blue.")
        async with resumable(engine, await handle_of(session)) as resumed:
            assert await ask(resumed, "What colour?") == "You said blue. "
        assert await ask(session, "What colour?") == "You said blue. "


async def test_the_transparent_kind_of_resumption_is_refused_as_on_the_developer_api(engine: LocalEngine) -> None:
    async with dial(engine) as peer:
        await peer.send(setup(sessionResumption={"transparent": True}))
        code, reason = await closing(peer)
    assert code == 1007
    assert "not supported" in reason


async def test_two_who_resume_at_once_do_not_both_get_the_session(engine: LocalEngine) -> None:
    async with resumable(engine) as session:
        handle = await handle_of(session)
    is_tried = asyncio.Event()

    async def resume() -> int:
        try:
            async with resumable(engine, handle):
                await is_tried.wait()
        except errors.APIError as error:
            is_tried.set()
            return error.code
        return 0

    assert sorted(await asyncio.gather(resume(), resume())) == [0, 1011]


# The store of handles, with a clock of its own.


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_handle_is_good_for_two_hours_after_the_last_connection_ended() -> None:
    clock = Clock()
    handles = Handles(clock=clock)
    first = handles.begin("key")
    handle = first.save(Context(Memory()))
    clock.now = 100_000
    first.close()
    clock.now += 7_199
    second, _ = handles.resume(handle, "key")
    clock.now += 100_000
    second.close()
    second.close()
    clock.now += 7_199
    third, _ = handles.resume(handle, "key")
    third.close()
    clock.now += 7_200
    with pytest.raises(WireError, match=NOT_FOUND):
        handles.resume(handle, "key")
    assert len(handles) == 0


def test_of_too_many_handles_the_oldest_are_forgotten() -> None:
    handles = Handles(Resumption(max_handles=3))
    given = []
    for _ in range(5):
        connection = handles.begin("key")
        given.append(connection.save(Context(Memory())))
        connection.close()
    assert len(handles) == 3
    for handle in given[:2]:
        with pytest.raises(WireError):
            handles.resume(handle, "key")
    for handle in given[2:]:
        handles.resume(handle, "key")


def test_of_one_session_the_newest_handles_are_kept() -> None:
    handles = Handles(Resumption(max_per_session=2))
    connection = handles.begin("key")
    given = [connection.save(Context(Memory())) for _ in range(3)]
    connection.close()
    assert len(handles) == 2
    with pytest.raises(WireError):
        handles.resume(given[0], "key")
    handles.resume(given[2], "key")


def test_what_handles_hold_is_bounded_in_bytes() -> None:
    handles = Handles(Resumption(max_bytes=1_000))
    for _ in range(5):
        handles.begin("key").save(Context(Memory(), screen=bytes(400)))
    assert len(handles) == 2
    handles.begin("key").save(Context(Memory(), screen=bytes(2_000)))
    assert len(handles) == 0


def test_what_a_responder_keeps_is_restored_apart_from_what_goes_on() -> None:
    handles = Handles(Resumption(while_open=True))
    connection = handles.begin("key")
    memory = LocalMemory(last_answer="Hello.", pieces=("Hello.",))
    memory.append("user", "hi")
    handle = connection.save(Context(memory))
    memory.append("user", "later")
    for _ in range(2):
        _, context = handles.resume(handle, "key")
        assert isinstance(context.memory, LocalMemory)
        assert context.memory.pieces == ("Hello.",)
        assert [remark.text for remark in context.memory.history] == ["hi"]
        context.memory.append("user", "elsewhere")
