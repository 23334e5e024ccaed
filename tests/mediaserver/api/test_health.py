"""Health."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.test_utils import TestClient

from mediaserver.api.health import Health
from mediaserver.http_route import add_routes
from mediaserver.localengine.responder.chat_model.model import ChatModelStatus
from pipeline.errors import FaultCode

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]


async def well() -> bool:
    return True


async def ill() -> bool:
    return False


async def test_health_tells_the_engine_and_each_check_with_its_time(aiohttp_client: MakeClient) -> None:
    app = web.Application()
    add_routes(app, Health("local", {"engine": well}).routes())
    client = await aiohttp_client(app)
    for path in ("/health", "/api/v1/health"):
        response = await client.get(path)
        body = await response.json()
        assert response.status == 200
        assert (body["status"], body["engine"]) == ("ok", "local")
        assert body["checks"]["engine"]["ok"] is True
        assert body["checks"]["engine"]["ms"] >= 0


async def test_one_failing_check_makes_503_and_the_process_still_lives(aiohttp_client: MakeClient) -> None:
    app = web.Application()
    add_routes(app, Health("local", {"engine": ill, "vad": well}).routes())
    client = await aiohttp_client(app)
    response = await client.get("/health")
    assert response.status == 503
    assert (await response.json())["status"] == "failing"
    assert (await client.get("/health/live")).status == 200


async def test_a_failing_language_model_is_shown_and_leaves_the_server_well(aiohttp_client: MakeClient) -> None:
    status = ChatModelStatus("qwen", "box:11434", "failing", FaultCode.LLM_TIMEOUT)
    app = web.Application()
    add_routes(app, Health("local", {"engine": well}, lambda: status).routes())
    client = await aiohttp_client(app)
    response = await client.get("/health")
    body = await response.json()
    assert response.status == 200
    assert body["language_model"] == {
        "model": "qwen",
        "host": "box:11434",
        "state": "failing",
        "code": "LLM_TIMEOUT",
    }
