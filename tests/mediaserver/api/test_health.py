"""Health."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from mediaserver.api.health import MAX_AGE, Health
from mediaserver.app import _is_vad_healthy
from mediaserver.http_route import add_routes
from mediaserver.localengine.responder.chat_model.model import ChatModelStatus
from pipeline.audio.vad import STATE_SHAPE, Floats, VadModel
from pipeline.errors import AudioError, FaultCode

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


async def test_results_are_reused_for_a_second_however_often_they_are_asked_for(aiohttp_client: MakeClient) -> None:
    now, runs = 100.0, 0

    async def count() -> bool:
        nonlocal runs
        runs += 1
        return runs == 1

    app = web.Application()
    add_routes(app, Health("local", {"database": count}, clock=lambda: now).routes())
    client = await aiohttp_client(app)
    assert {(await client.get("/health")).status for _ in range(20)} == {200}
    now += MAX_AGE - 0.01
    assert (await client.get("/health")).status == 200
    assert runs == 1
    now += 0.01
    assert (await client.get("/health")).status == 503
    assert runs == 2


async def test_a_check_that_hangs_counts_as_failed_and_runs_once_for_all_who_ask(
    aiohttp_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = 0

    async def hang() -> bool:
        nonlocal runs
        runs += 1
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr("mediaserver.api.health.CHECK_DEADLINE", 0.05)
    app = web.Application()
    add_routes(app, Health("local", {"database": hang, "vad": well}, clock=lambda: 100.0).routes())
    client = await aiohttp_client(app)
    responses = await asyncio.gather(*(client.get("/health") for _ in range(10)))
    checks = (await responses[0].json())["checks"]
    assert [response.status for response in responses] == [503] * 10
    assert (checks["database"]["ok"], checks["vad"]["ok"]) == (False, True)
    assert runs == 1


async def test_voice_detection_is_asked_for_its_state_and_runs_only_to_see_whether_it_recovered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = VadModel()
    windows = 0
    infer = model.infer

    def count(samples: Floats, state: Floats) -> tuple[float, Floats]:
        nonlocal windows
        windows += 1
        return infer(samples, state)

    monkeypatch.setattr(model, "infer", count)
    assert await _is_vad_healthy(model)
    assert windows == 0
    with pytest.raises(AudioError):
        model.infer(np.zeros((1, 3), np.float32), np.zeros(STATE_SHAPE, np.float32))
    assert model.is_failing
    assert await _is_vad_healthy(model)  # by one window, which it can judge
    assert (windows, model.is_failing) == (2, False)


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
