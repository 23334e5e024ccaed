import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography import x509
from google import genai
from google.genai import errors
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from mediaserver.localengine.certificate import make_certificate
from mediaserver.localengine.responder.scripted import parse_script
from mediaserver.localengine.server import LARGEST_MESSAGE, LocalEngine
from pipeline.audio.vad import VadModel

METHOD = "google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
PATH = f"/ws/{METHOD}"
KEY = {"x-goog-api-key": "any"}
SCRIPT = "rules: [{when: anything, answer: [{say: Hello., seconds: 0.2}]}]"


@pytest.fixture
async def engine(vad: VadModel) -> AsyncIterator[LocalEngine]:
    async with LocalEngine(parse_script(SCRIPT), vad=vad) as engine:
        yield engine


def dial(engine: LocalEngine, path: str = PATH, headers: dict[str, str] = KEY) -> connect:
    url = engine.base_url.replace("https", "wss") + path
    return connect(url, ssl=engine.client_ssl, additional_headers=headers, proxy=None, compression=None)


def setup(model: str = "models/local", **fields: object) -> str:
    return json.dumps({"setup": {"model": model, **fields}})


async def reply(peer: ClientConnection) -> dict[str, Any]:
    frame = await peer.recv()
    assert isinstance(frame, bytes)  # Google's server sends binary frames only
    message: dict[str, Any] = json.loads(frame.decode())
    return message


async def closing(peer: ClientConnection) -> tuple[int, str]:
    """The code and the reason of a close before any message."""
    with pytest.raises(ConnectionClosed) as caught:
        await peer.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def refusal(engine: LocalEngine, frame: str | bytes, path: str = PATH) -> tuple[int, str]:
    async with dial(engine, path) as peer:
        await peer.send(frame)
        return await closing(peer)


def test_the_certificate_is_for_the_loopback_address_alone() -> None:
    certificate = x509.load_pem_x509_certificate(make_certificate().pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name) for name in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert len(list(names)) == 1


async def test_only_the_pinned_context_trusts_the_engine(engine: LocalEngine) -> None:
    url = engine.base_url.replace("https", "wss") + PATH
    for stranger in (ssl.create_default_context(), make_certificate().client):
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(url, ssl=stranger, proxy=None)


async def test_the_engine_listens_on_loopback_only(engine: LocalEngine) -> None:
    assert engine.base_url.startswith("https://127.0.0.1:")
    port = int(engine.base_url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), timeout=1):
        pass


async def test_an_engine_knows_whether_it_serves(vad: VadModel) -> None:
    engine = LocalEngine(parse_script(SCRIPT), vad=vad)
    assert not engine.is_serving()
    with pytest.raises(RuntimeError):
        _ = engine.base_url
    async with engine:
        assert engine.is_serving()
    assert not engine.is_serving()
    await engine.close()


async def test_a_vad_model_is_loaded_when_none_is_given() -> None:
    async with LocalEngine(parse_script(SCRIPT)) as engine, dial(engine) as peer:
        await peer.send(setup())
        assert "setupComplete" in await reply(peer)


@pytest.mark.parametrize("slashes", ["/", "//"])
@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
async def test_every_version_and_a_doubled_slash_are_served(engine: LocalEngine, slashes: str, version: str) -> None:
    async with dial(engine, slashes + f"ws/{METHOD}".replace("v1beta", version)) as peer:
        await peer.send(setup())
        assert "setupComplete" in await reply(peer)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?key=any", {}),
        ("?access_token=any", {}),
        ("", KEY),
        ("", {"Authorization": "Token any"}),
    ],
)
async def test_a_key_may_come_in_a_header_or_in_the_address(
    engine: LocalEngine, query: str, headers: dict[str, str]
) -> None:
    async with dial(engine, PATH + query, headers) as peer:
        await peer.send(setup())
        assert "setupComplete" in await reply(peer)


@pytest.mark.parametrize("path", ["/", "/health", "/ws/x", PATH + "x", PATH.replace("v1beta", "v2"), "/x" + PATH])
async def test_other_paths_are_not_found(engine: LocalEngine, path: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await dial(engine, path)
    assert caught.value.response.status_code == 404


@pytest.mark.parametrize(("query", "headers"), [("", {}), ("", {"x-goog-api-key": " "}), ("?key=", {})])
async def test_without_a_key_the_session_closes_before_it_is_ready(
    engine: LocalEngine, query: str, headers: dict[str, str]
) -> None:
    async with dial(engine, PATH + query, headers) as peer:
        await peer.send(setup())
        assert await closing(peer) == (1007, "API key not valid. Please pass a valid API key.")


async def test_an_engine_with_a_key_takes_no_other(vad: VadModel) -> None:
    async with LocalEngine(parse_script(SCRIPT), key="right", vad=vad) as engine:
        async with dial(engine, headers={"x-goog-api-key": "right"}) as peer:
            await peer.send(setup())
            assert "setupComplete" in await reply(peer)
        assert (await refusal(engine, setup()))[0] == 1007


async def test_the_sdk_is_told_why_its_key_is_refused(vad: VadModel) -> None:
    async with LocalEngine(parse_script(SCRIPT), key="right", vad=vad) as engine:
        options = {"base_url": engine.base_url, "async_client_args": {"ssl": engine.client_ssl, "proxy": None}}
        client = genai.Client(api_key="wrong", http_options=options)  # type: ignore[arg-type]
        with pytest.raises(errors.APIError, match="API key not valid") as caught:
            async with client.aio.live.connect(model="local"):
                pass
        assert caught.value.code == 1007


async def test_the_first_message_must_be_setup(engine: LocalEngine) -> None:
    assert (await refusal(engine, '{"realtimeInput": {"text": "hi"}}'))[0] == 1007
    assert (await refusal(engine, "not JSON"))[0] == 1007


async def test_a_second_setup_closes_the_session(engine: LocalEngine) -> None:
    async with dial(engine) as peer:
        await peer.send(setup())
        assert "setupComplete" in await reply(peer)
        await peer.send(setup())
        assert (await closing(peer))[0] == 1007


@pytest.mark.parametrize("model", ["gemini-1.5-flash", "models/gemini-3.5-transcribe-live", "", "x" * 300])
async def test_a_model_that_is_unknown_or_not_live_is_not_found(engine: LocalEngine, model: str) -> None:
    code, reason = await refusal(engine, setup(model), PATH.replace("v1beta", "v1alpha"))
    assert code == 1008
    assert " is not found for API version v1alpha, or is not supported for bidiGenerateContent" in reason


@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("local", {}),
        ("models/local", {}),
        ("models/gemini-3.8-live", {}),
        ("models/gemini-3.8-live-extended-thinking", {"thinkingConfig": {"thinkingLevel": "LOW"}}),
        ("models/gemini-3.1-flash-live-preview", {"thinkingConfig": {"thinkingLevel": "MINIMAL"}}),
        ("models/gemini-2.5-flash-native-audio-preview-12-2025", {"enableAffectiveDialog": True}),
    ],
)
async def test_every_live_model_is_answered_under_the_engines_own_name(
    engine: LocalEngine, model: str, config: dict[str, object]
) -> None:
    async with dial(engine) as peer:
        await peer.send(setup(model, generationConfig=config))
        complete = await reply(peer)
        assert complete["setupComplete"]["sessionId"].startswith("local-")
        assert peer.response is not None
        assert peer.response.headers["Server"] == "mediaserver-local-engine"
        assert "gemini" not in json.dumps(complete).lower()


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("gemini-3.8-live", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}),
        ("gemini-3.8-live", {"generationConfig": {"enableAffectiveDialog": True}}),
        ("gemini-3.8-live", {"proactivity": {"proactiveAudio": False}}),
        ("gemini-3.8-live-extended-thinking", {}),
        ("local", {"generationConfig": {"responseModalities": ["TEXT"]}}),
        ("local", {"unheardOf": {}}),
    ],
)
async def test_what_a_model_refuses_closes_its_setup(
    engine: LocalEngine, model: str, fields: dict[str, object]
) -> None:
    assert (await refusal(engine, setup(model, **fields)))[0] == 1007


async def test_setup_may_come_in_a_binary_frame(engine: LocalEngine) -> None:
    async with dial(engine) as peer:
        await peer.send(setup().encode())
        assert "setupComplete" in await reply(peer)


async def test_ready_is_said_first_and_once(engine: LocalEngine) -> None:
    async with dial(engine) as peer:
        await peer.send(setup())
        await peer.send('{"realtimeInput": {"text": "hi"}}')
        messages = [await reply(peer)]
        while "turnComplete" not in messages[-1].get("serverContent", {}):
            messages.append(await reply(peer))
        assert ["setupComplete" in message for message in messages] == [True] + [False] * (len(messages) - 1)


async def test_a_message_that_is_too_long_closes_its_session(engine: LocalEngine) -> None:
    async with dial(engine) as peer:
        await peer.send(b" " * (LARGEST_MESSAGE + 1))
        assert (await closing(peer))[0] == 1009


async def test_a_client_that_says_nothing_is_not_waited_for(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediaserver.localengine.server._SETUP_DEADLINE", 0.01)
    async with dial(engine) as peer:
        assert await closing(peer) == (1011, "Deadline expired before operation could complete.")


async def test_closing_the_engine_says_going_away_and_leaves_no_task(engine: LocalEngine) -> None:
    before = asyncio.all_tasks()
    async with dial(engine) as peer:
        await peer.send(setup())
        await reply(peer)
        await peer.send('{"realtimeInput": {"text": "hi"}}')
        await reply(peer)
        await engine.close()
        async for _ in peer:
            pass  # what was on its way still arrives
        assert peer.close_code == 1001
    assert asyncio.all_tasks() <= before
