"""A language model as the brain of the local engine: faults and rules together, and the way over the wire."""

from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from google.genai import types

from mediaserver.localengine.responder.chat_model.chat_fault import ChatFault
from mediaserver.localengine.responder.chat_model.completion import ChatClient
from mediaserver.localengine.responder.chat_model.config import REPORT_FAULT, ChatModelConfig
from mediaserver.localengine.responder.chat_model.model import ChatModel
from mediaserver.localengine.responder.interface import Call, Memory, Question, Speech
from mediaserver.localengine.responder.local import LocalResponder
from mediaserver.localengine.server import LocalEngine
from pipeline.audio.vad import VadModel
from pipeline.errors import FaultCode
from pipeline.screen.layout import ScreenLayout
from pipeline.screen.read_text import ReadText
from tests.support.chat_server import Refusal, Wait, called, chat_server, said
from tests.support.live_client import open_session, turn, until

FUNCTIONS = [
    {
        "function_declarations": [
            {
                "name": "now",
                "description": "Tell the time.",
                "parameters": {"type": "OBJECT", "properties": {"place": {"type": "STRING"}}, "required": ["place"]},
            },
            {"name": REPORT_FAULT},
        ]
    }
]


class Page:
    """A reader with nothing to read."""

    async def read(self, jpeg: bytes, /) -> tuple[ReadText, ...]:
        return ()

    async def layout(self, jpeg: bytes, /) -> ScreenLayout:
        return ScreenLayout((), ())


class Chat:
    """Answers with these pieces, then fails."""

    def __init__(self, *pieces: str | Call, fault: ChatFault | None = None):
        self.pieces = pieces
        self.fault = fault

    async def answer(self, question: Question, text: str, memory: Memory) -> AsyncGenerator[str | Call, None]:
        for piece in self.pieces:
            yield piece
        if self.fault is not None:
            self.fault.is_answer_begun = bool(self.pieces)
            raise self.fault


@pytest.fixture
async def responder() -> AsyncIterator[LocalResponder]:
    responder = LocalResponder(Page())
    yield responder
    await responder.close()


async def answered(responder: LocalResponder, text: str, memory: Memory | None = None) -> list[str | Call]:
    pieces: list[str | Call] = []
    async for piece in responder.answer(Question(b"", text, None), memory or responder.new_memory()):
        assert isinstance(piece, Speech | Call)
        pieces.append("".join(word for _, word in piece.words) if isinstance(piece, Speech) else piece)
    return pieces


def fault(*, is_known: bool = False) -> ChatFault:
    return ChatFault(FaultCode.LLM_UNREACHABLE, is_known=is_known)


TOLD = "I cannot reach my language model."
REPORTED = Call(REPORT_FAULT, {"code": "LLM_UNREACHABLE", "message": TOLD})


async def test_the_model_answers_instead_of_the_rules_and_can_be_asked_to_repeat(responder: LocalResponder) -> None:
    responder._chat = Chat("One. ", Call("point_at", {}), "Two. ")
    memory = responder.new_memory()
    assert await answered(responder, "help", memory) == ["One. ", Call("point_at", {}), "Two. "]
    assert await answered(responder, "repeat", memory) == ["One. ", "Two. "]
    assert await answered(responder, "stop", memory) == []


async def test_when_the_model_fails_the_rules_answer_what_they_can(responder: LocalResponder) -> None:
    responder._chat = Chat(fault=fault())
    assert await answered(responder, "thanks") == [REPORTED, f"{TOLD} ", "You are welcome."]
    assert await answered(responder, "why is the sky blue") == [REPORTED, f"{TOLD} "]


async def test_a_failure_is_told_again_only_if_the_rules_have_no_answer(responder: LocalResponder) -> None:
    responder._chat = Chat(fault=fault(is_known=True))
    assert await answered(responder, "thanks") == ["You are welcome."]
    assert await answered(responder, "why is the sky blue") == [TOLD]


async def test_nothing_follows_an_answer_that_broke_off_but_what_happened(responder: LocalResponder) -> None:
    responder._chat = Chat("One. ", fault=ChatFault(FaultCode.LLM_CUT_OFF))
    one, report, *told = await answered(responder, "thanks")
    assert one == "One. "
    assert isinstance(report, Call)
    assert report.args["code"] == "LLM_CUT_OFF"
    assert "".join(map(str, told)).startswith("My language model broke off")


async def test_over_the_wire_results_go_back_and_speaking_over_it_cancels_the_request(vad: VadModel) -> None:
    calling = called("now", {"place": "here"})
    endless = [*said("It goes on. ", "And"), Wait(30)]
    async with chat_server(calling, said("It is noon."), endless, Refusal(503, "busy")) as server:
        config = ChatModelConfig(server.url, "scripted")
        model = ChatModel(config, Page(), client=ChatClient(config))
        responder = LocalResponder(Page(), chat=model)
        async with LocalEngine(responder, vad=vad) as engine, open_session(engine, tools=FUNCTIONS) as session:
            await session.send_realtime_input(text="what time is it")
            message = await until(session, "call")
            assert message.tool_call is not None
            (call,) = message.tool_call.function_calls or []
            assert (call.name, call.args) == ("now", {"place": "here"})
            response = types.FunctionResponse(id=call.id, name="now", response={"time": "12:00"})
            await session.send_tool_response(function_responses=response)
            heard = await turn(session)
            assert "".join(word.removeprefix("out:") for word in heard if word.startswith("out:")) == "It is noon. "
            assert heard[-1] == "turn_complete"
            declared = server.requests[0]["tools"][0]["function"]
            assert declared["parameters"] == {
                "type": "object",
                "properties": {"place": {"type": "string"}},
                "required": ["place"],
            }
            assert server.last_message() == '{"time": "12:00"}'

            await session.send_realtime_input(text="tell me more")
            await until(session, "audio")
            await session.send_realtime_input(activity_start=types.ActivityStart())
            await until(session, "interrupted")
            assert await server.is_left_within(0.1)
            await session.send_realtime_input(activity_end=types.ActivityEnd())
            await turn(session)

            await session.send_realtime_input(text="thanks")
            message = await until(session, "call")
            assert message.tool_call is not None
            (call,) = message.tool_call.function_calls or []
            assert (call.name, (call.args or {})["code"]) == (REPORT_FAULT, "LLM_INTERNAL")
            assert "out:welcome." in await turn(session)
        await responder.close()
        await model.close()
