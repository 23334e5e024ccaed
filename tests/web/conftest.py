"""Fixtures: the page in a real browser, against a small server whose events the test sends."""

from collections.abc import AsyncIterator

import pytest_asyncio
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Request, async_playwright, expect

from tests.support.chromium import CHROMIUM, require_chromium
from tests.web.fake_page_server import FakeServer, Visit

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",
    "--auto-accept-camera-and-microphone-capture",
    "--host-resolver-rules=MAP elsewhere.test 127.0.0.1",
    "--auto-select-tab-capture-source-by-title=Ledger",
    # The fake server would look for a hidden address for a second. The rest is Playwright's, which this replaces.
    "--disable-features=WebRtcHideLocalIpsWithMdns,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,PaintHolding",
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    require_chromium()
    expect.set_options(timeout=15_000)  # a busy machine is no failure
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    yield fake
    await fake.close_peers()


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(15_000)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(context: BrowserContext, server: FakeServer) -> AsyncIterator[Visit]:
    listener = TestServer(server.app, host="127.0.0.1")
    await listener.start_server()
    page = await context.new_page()
    visit = Visit(page, server, str(listener.make_url("/")), [], [])

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            visit.console_errors.append(message.text)

    def on_request(request: Request) -> None:
        if not request.url.startswith(visit.address):
            visit.foreign_requests.append(request.url)

    page.on("console", on_console)
    page.on("pageerror", lambda error: visit.console_errors.append(str(error)))
    page.on("request", on_request)
    yield visit
    await page.close()
    await listener.close()
