"""A server that answers the healthy client as the product does, and does nothing else: what it is late, the machine is.

`python -m tests.acceptance.abuse.control` prints its address.
"""

import asyncio

from aiohttp import web


async def _guest(_: web.Request) -> web.Response:
    return web.json_response({"access_token": "x"}, status=201)


async def _echo(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(request)
    async for message in ws:
        await ws.send_str(message.data)
    return ws


async def _main() -> None:
    app = web.Application()
    app.router.add_post("/api/v1/guests", _guest)
    app.router.add_get("/ws/livekit", _echo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
