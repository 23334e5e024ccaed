"""Answers by a language model, asked over HTTP at a scripted endpoint."""

import asyncio
from contextlib import aclosing
from datetime import datetime

import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk

from mediaserver.localengine.protocol.messages import FunctionDeclaration
from mediaserver.localengine.responder.chat_model.availability import BACKOFF
from mediaserver.localengine.responder.chat_model.chat_fault import ChatFault
from mediaserver.localengine.responder.chat_model.completion import ChatClient
from mediaserver.localengine.responder.chat_model.config import REPORT_FAULT, ChatModelConfig, Images
from mediaserver.localengine.responder.chat_model.model import MAX_ANSWER, MAX_ROUNDS, ChatModel
from mediaserver.localengine.responder.interface import Call, CallResult, HistoryEntry, Memory, Question
from pipeline.errors import FaultCode
from pipeline.screen.read_text import ReadText
from tests.support.chat_server import ChatServer, CutOff, Delta, Raw, Refusal, Script, Wait, called, chat_server, said

JPEG = b"\xff\xd8jpeg"
FUNCTIONS = {
    "point_at": FunctionDeclaration(description="Point.", parameters={"type": "object", "properties": {}}),
    "now": FunctionDeclaration(description="Tell the time."),
    REPORT_FAULT: FunctionDeclaration(),
}
NEVER = 30.0


class Page:
    """A reader with one line."""

    async def read(self, jpeg: bytes, /) -> tuple[ReadText, ...]:
        return (ReadText("Save", (1, 2, 3, 4), 0.9),)


class Clock:
    """A clock that stands still."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def model_of(
    server: ChatServer,
    *,
    images: Images = "auto",
    key: str = "",
    clock: Clock | None = None,
    first: float = 5.0,
    following: float = 5.0,
) -> ChatModel:
    config = ChatModelConfig(server.url, "scripted", key, images)
    client = ChatClient(config, first_token=first, next_token=following)
    return ChatModel(config, Page(), client=client, clock=clock or Clock(), now=lambda: datetime(2026, 1, 2, 14, 30))


def question(text: str = "where is save", *, screen: bytes | None = JPEG) -> Question:
    return Question(b"", text, screen, FUNCTIONS, "Be kind.")


async def ask(
    model: ChatModel,
    text: str = "where is save",
    *,
    screen: bytes | None = JPEG,
    memory: Memory | None = None,
    result: CallResult | None = None,
) -> list[str | Call]:
    """Everything that is answered; each call gets `result`."""
    pieces: list[str | Call] = []
    async with aclosing(model.answer(question(text, screen=screen), text, memory or Memory())) as answer:
        async for piece in answer:
            pieces.append(piece)
            if isinstance(piece, Call) and piece.result is not None:
                piece.result.set_result(result or CallResult({"result": "shown"}, is_silent=True))
    return pieces


async def fault_of(model: ChatModel) -> tuple[list[str | Call], ChatFault]:
    """What was answered before the fault, and the fault; every call gets an empty result."""
    pieces: list[str | Call] = []
    try:
        async for piece in model.answer(question(), "where is save", Memory()):
            pieces.append(piece)
            if isinstance(piece, Call) and piece.result is not None:
                piece.result.set_result(CallResult({}))
    except ChatFault as fault:
        return pieces, fault
    raise AssertionError(f"no fault, but {pieces}")


async def test_the_official_client_reads_what_the_scripted_server_sends() -> None:
    async with chat_server(said("One ", "two.")) as server:
        client = AsyncOpenAI(base_url=server.url, api_key="k", max_retries=0)
        assert [model.id async for model in client.models.list()] == ["scripted"]
        stream = await client.chat.completions.create(
            model="scripted", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        chunks = [ChatCompletionChunk.model_validate(chunk.model_dump()) async for chunk in stream]
        await client.close()
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "One two."
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_an_answer_comes_sentence_by_sentence_without_markdown() -> None:
    async with chat_server(said("**Sa", "ve** is at the to", "p left. It", " is blue")) as server:
        model = model_of(server, key="secret")
        assert await ask(model) == ["Save is at the top left. ", "It is blue. "]
        await model.close()
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert model.status.state == "ok"


async def test_the_first_sentence_does_not_wait_for_the_second() -> None:
    async with chat_server([*said("It is blue. ", "And"), Wait(NEVER)]) as server:
        model = model_of(server)
        async with aclosing(model.answer(question(), "hi", Memory())) as answer:
            async with asyncio.timeout(2):
                assert await anext(answer) == "It is blue. "
        await model.close()


async def test_cancelling_the_answer_cancels_the_request_within_100_ms() -> None:
    async with chat_server([*said("It is blue. ", "And"), Wait(NEVER)]) as server:
        model = model_of(server)
        answer = model.answer(question(), "hi", Memory())
        await anext(answer)
        waiting = asyncio.create_task(anext(answer))
        await asyncio.sleep(0.02)
        waiting.cancel()
        assert await server.is_left_within(0.1)
        await asyncio.wait([waiting])
        await model.close()


async def test_a_model_that_sees_is_given_the_frame_the_instructions_and_the_time() -> None:
    async with chat_server(said("Yes.")) as server:
        model = model_of(server)
        await ask(model)
        await model.close()
    (request,) = server.requests
    assert request["model"] == "scripted"
    assert request["stream"] is True
    system = request["messages"][0]
    assert system["role"] == "system"
    assert system["content"].startswith("Be kind.")
    assert "Friday, 2 January 2026, 14:30" in system["content"]
    text, picture = server.last_message()
    assert text["text"].endswith("where is save")
    assert picture["image_url"]["url"] == "data:image/jpeg;base64,/9hqcGVn"
    assert [tool["function"]["name"] for tool in request["tools"]] == ["point_at", "now"]


async def test_a_model_without_pictures_is_given_the_words_with_their_boxes() -> None:
    async with chat_server(said("Yes.")) as server:
        model = model_of(server, images="off")
        await ask(model)
        await ask(model, screen=None)
        await model.close()
    assert "[1, 2, 3, 4] Save" in server.requests[0]["messages"][-1]["content"]
    assert "No screen is shared" in server.last_message()


async def test_the_history_is_bounded_and_its_roles_alternate() -> None:
    memory = Memory()
    memory.append("model", "Hello.")
    for number in range(60):
        memory.append("user", f"{number} " + "x" * 300)
        if number % 2:
            memory.append("model", f"answer {number}")
    memory.append("user", "where is save")
    async with chat_server(said("Yes.")) as server:
        model = model_of(server)
        await ask(model, memory=memory, screen=None)
        await model.close()
    _, *history, last = server.requests[0]["messages"]
    assert [message["role"] for message in history] == ["user", "assistant"] * (len(history) // 2)
    assert history[-1]["content"] == "answer 59"
    assert 4_000 < sum(len(message["content"]) for message in history) < 6_200
    assert last["content"].count("where is save") == 1
    assert HistoryEntry("user", "where is save") == memory.history[-1]


async def test_a_call_is_made_and_its_result_continues_the_answer() -> None:
    async with chat_server([*said("Let me see."), *called("now", {"place": "here"})], said("It is noon.")) as server:
        model = model_of(server)
        pieces = await ask(model, result=CallResult({"time": "12:00"}))
        await model.close()
    assert pieces == ["Let me see. ", Call("now", {"place": "here"}), "It is noon. "]
    assistant, tool = server.requests[1]["messages"][-2:]
    assert assistant["content"] == "Let me see."
    assert assistant["tool_calls"][0]["function"] == {"name": "now", "arguments": '{"place": "here"}'}
    assert tool == {"role": "tool", "tool_call_id": "c1", "content": '{"time": "12:00"}'}


async def test_what_is_only_shown_needs_no_second_request_once_it_was_spoken_of() -> None:
    async with chat_server([*said("It is here."), *called("point_at", {"label": "Save"})]) as server:
        model = model_of(server)
        assert await ask(model) == ["It is here. ", Call("point_at", {"label": "Save"})]
        await model.close()
    assert len(server.requests) == 1


async def test_two_calls_at_once_are_both_made() -> None:
    both = [*called("now", {}, call_id="a"), *called("point_at", {"label": "x"}, call_id="b", index=1)]
    async with chat_server(both, said("Done.")) as server:
        model = model_of(server)
        pieces = await ask(model)
        await model.close()
    assert pieces == [Call("now", {}), Call("point_at", {"label": "x"}), "Done. "]


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (called("launch", {}), "There is no function 'launch'"),
        (called(REPORT_FAULT, {}), "There is no function"),
        ([Delta(call=(0, "c", "now", "{broken"))], "not a JSON object"),
        ([Delta(call=(0, "c", "now", "[1]"))], "not a JSON object"),
    ],
)
async def test_a_wrong_call_is_answered_with_what_is_wrong(step: Script, error: str) -> None:
    async with chat_server(step, said("Sorry.")) as server:
        model = model_of(server)
        assert await ask(model) == ["Sorry. "]
        await model.close()
    assert error in server.last_message()


async def test_a_model_that_only_calls_is_given_up_after_some_rounds() -> None:
    async with chat_server(called("now", {})) as server:
        model = model_of(server)
        pieces, fault = await fault_of(model)
        await model.close()
    assert fault.code is FaultCode.LLM_PROTOCOL
    assert len(pieces) == len(server.requests) == MAX_ROUNDS


async def test_an_endless_answer_is_ended() -> None:
    async with chat_server([*said(*["This is a sentence of some length. "] * 500), Wait(NEVER)]) as server:
        model = model_of(server)
        pieces = await ask(model)
        await model.close()
    assert MAX_ANSWER <= sum(len(piece) for piece in pieces if isinstance(piece, str)) < MAX_ANSWER + 300


REFUSED = "registry/x does not support tools"


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Refusal(400, REFUSED), FaultCode.LLM_TOOLS_REFUSED),
        (Refusal(500, "image input is not supported"), FaultCode.LLM_IMAGES_REFUSED),
        (Refusal(400, "scripted is not a multimodal model"), FaultCode.LLM_IMAGES_REFUSED),
    ],
)
async def test_what_a_model_refuses_is_told_once_and_left_out_from_then_on(refusal: Refusal, code: FaultCode) -> None:
    async with chat_server(refusal, said("Fine.")) as server:
        model = model_of(server)
        report, *answer = await ask(model)
        assert isinstance(report, Call)
        assert (report.name, report.args["code"]) == (REPORT_FAULT, code.value)
        assert answer == ["Fine. "]
        assert await ask(model) == ["Fine. "]
        await model.close()
    first, *others = server.requests
    without = {"tools": False} if code is FaultCode.LLM_TOOLS_REFUSED else {"tools": True}
    assert "tools" in first
    assert all(("tools" in other) is without["tools"] for other in others)
    has_picture = [isinstance(request["messages"][-1]["content"], list) for request in server.requests]
    assert has_picture == [True, *[code is FaultCode.LLM_TOOLS_REFUSED] * 2]


async def test_pictures_that_are_wanted_and_refused_are_a_fault() -> None:
    async with chat_server(Refusal(400, "no image input")) as server:
        model = model_of(server, images="on")
        _, fault = await fault_of(model)
        await model.close()
    assert fault.code is FaultCode.LLM_REFUSED


HTML = b"<html>It works!</html>"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (Refusal(401, "bad key"), FaultCode.LLM_AUTH_INVALID),
        (Refusal(404, "model 'scripted' not found"), FaultCode.LLM_MODEL_UNAVAILABLE),
        (Refusal(429, "slow down"), FaultCode.LLM_RATE_LIMITED),
        (Refusal(400, "the prompt is too long"), FaultCode.LLM_REFUSED),
        (Refusal(503, "busy"), FaultCode.LLM_INTERNAL),
        ([Raw(b'data: {"error": {"message": "out of memory"}}\n\n')], FaultCode.LLM_INTERNAL),
        ([Raw(b"data: {broken\n\n")], FaultCode.LLM_PROTOCOL),
        ([Raw(b"data: [1, 2]\n\n")], FaultCode.LLM_PROTOCOL),
        ([Raw(b"data: 5\n\n")], FaultCode.LLM_PROTOCOL),
        ([Raw(b"data: null\n\n")], FaultCode.LLM_PROTOCOL),
        ([Raw(b"data: {}\n\n")], FaultCode.LLM_PROTOCOL),
        ([Raw(b"data: \xff\xfe\n\n")], FaultCode.LLM_PROTOCOL),
        ([Raw(b'data: {"choices": [5]}\n\n')], FaultCode.LLM_PROTOCOL),
        ([Raw(b'data: {"choices": [{"delta": {"content": {}}, "finish_reason": []}]}\n\n')], FaultCode.LLM_PROTOCOL),
        ([Raw(b'data: {"choices": [{"delta": {"content": 5}}]}\n\n')], FaultCode.LLM_PROTOCOL),
        ([Raw(b'data: {"choices": 7}\n\n')], FaultCode.LLM_PROTOCOL),
        ([Raw(b'data: {"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}\n\n')], FaultCode.LLM_PROTOCOL),
        ([Raw(b'data: {"choices": [{"delta": {"tool_calls": 3}}]}\n\n')], FaultCode.LLM_PROTOCOL),
        ([], FaultCode.LLM_PROTOCOL),
        (said("<think>hm"), FaultCode.LLM_PROTOCOL),
        ([CutOff()], FaultCode.LLM_UNREACHABLE),
        ([Wait(NEVER)], FaultCode.LLM_TIMEOUT),
    ],
)
async def test_every_failure_has_its_code_and_sentence(script: Script, code: FaultCode) -> None:
    async with chat_server(script) as server:
        model = model_of(server, first=0.2 if code is FaultCode.LLM_TIMEOUT else 5.0)
        pieces, fault = await fault_of(model)
        await model.close()
    assert (pieces, fault.code, fault.is_answer_begun) == ([], code, False)
    assert fault.message.endswith(".")
    assert (model.status.state, model.status.code) == ("failing", code)


async def test_a_page_instead_of_an_api_is_not_understood() -> None:
    async with chat_server([Raw(HTML)]) as server:
        model = model_of(server)
        config = ChatModelConfig(server.url + "/elsewhere", "scripted")
        lost = ChatModel(config, Page())
        _, fault = await fault_of(lost)
        assert fault.code is FaultCode.LLM_MODEL_UNAVAILABLE
        await lost.close()
        await model.close()


async def test_nobody_there_is_unreachable_at_the_start_and_later() -> None:
    async with chat_server(said("Yes.")) as server:
        pass
    clock = Clock()
    model = model_of(server, clock=clock)
    await model.start()
    assert (model.status.state, model.status.code) == ("failing", FaultCode.LLM_UNREACHABLE)
    clock.now = BACKOFF[0]
    _, fault = await fault_of(model)
    assert fault.code is FaultCode.LLM_UNREACHABLE
    await model.close()


@pytest.mark.parametrize("ending", [CutOff(), Wait(NEVER)])
async def test_of_an_answer_that_breaks_off_only_whole_sentences_are_said(ending: CutOff | Wait) -> None:
    async with chat_server([*said("It is blue. ", "And its na"), Wait(0.01), ending]) as server:
        model = model_of(server, following=0.1)
        pieces, fault = await fault_of(model)
        assert pieces == ["It is blue. "]
        assert (fault.code, fault.is_answer_begun) == (FaultCode.LLM_CUT_OFF, True)
        assert (await fault_of(model))[0] == ["It is blue. "]  # asked again at once
        await model.close()


async def test_after_a_failure_it_is_asked_again_later_and_later() -> None:
    clock = Clock()
    async with chat_server(Refusal(503, "busy"), Refusal(503, "busy"), said("Yes.")) as server:
        model = model_of(server, clock=clock)
        assert not (await fault_of(model))[1].is_known
        assert (await fault_of(model))[1].is_known
        assert len(server.requests) == 1
        clock.now = BACKOFF[0]
        assert not (await fault_of(model))[1].is_known
        clock.now += BACKOFF[1] - 0.1
        assert (await fault_of(model))[1].is_known
        clock.now += 0.1
        assert await ask(model) == ["Yes. "]
        assert model.status.code is None
        await model.close()


async def test_a_server_that_says_when_to_come_back_is_left_alone_until_then() -> None:
    clock = Clock()
    async with chat_server(Refusal(429, "slow down", (("Retry-After", "100"),)), said("Yes.")) as server:
        model = model_of(server, clock=clock)
        await fault_of(model)
        clock.now = 99.0
        assert (await fault_of(model))[1].is_known
        clock.now = 100.0
        assert await ask(model) == ["Yes. "]
        await model.close()


async def test_thoughts_are_not_said() -> None:
    async with chat_server(said("<thi", "nk>It may. Or not.</th", "ink>\n\nIt is. ")) as server:
        model = model_of(server)
        assert await ask(model) == ["It is. "]
        await model.close()
