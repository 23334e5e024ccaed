"""The documentation page in a real browser, with the network cut."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, expect

from tests.support.running_api import published

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@dataclass
class Reading:
    """The documentation page, its console errors, and its requests to other hosts."""

    page: Page
    address: str
    console_errors: list[str] = field(default_factory=list)
    foreign_requests: list[str] = field(default_factory=list)


@pytest_asyncio.fixture(loop_scope="session")
async def reading(context: BrowserContext) -> AsyncIterator[Reading]:
    app, _ = published()
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    page = await context.new_page()
    reading = Reading(page, str(server.make_url("/")))

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            reading.console_errors.append(message.text)

    def on_request(request: Request) -> None:
        if not request.url.startswith((reading.address, "data:", "blob:")):
            reading.foreign_requests.append(request.url)

    page.on("console", on_console)
    page.on("pageerror", lambda error: reading.console_errors.append(str(error)))
    page.on("request", on_request)
    yield reading
    await page.close()
    await server.close()


async def test_the_page_shows_every_operation_without_help_from_outside(reading: Reading) -> None:
    _, made = published()
    await reading.page.goto(f"{reading.address}docs")
    shown = reading.page.locator(".opblock")
    await expect(shown).to_have_count(sum(len(methods) for methods in made["paths"].values()))
    await expect(reading.page.locator(".opblock-summary-path", has_text="/history")).to_be_visible()
    await expect(reading.page.locator(".info")).to_contain_text("OAS 3.1")
    assert reading.console_errors == []
    assert reading.foreign_requests == []


async def test_an_operation_can_be_opened_and_tried(reading: Reading) -> None:
    await reading.page.goto(f"{reading.address}docs")
    live = reading.page.locator("#operations-server-get_health_live")
    await live.locator(".opblock-summary").click()
    await live.get_by_role("button", name="Try it out").click()
    await live.get_by_role("button", name="Execute").click()
    await expect(live.locator(".live-responses-table")).to_contain_text('"status": "ok"')
    assert reading.console_errors == []
    assert reading.foreign_requests == []


async def test_a_field_that_may_be_null_is_shown_so(reading: Reading) -> None:
    await reading.page.goto(f"{reading.address}docs")
    change = reading.page.locator("[id*=patch_api_v1_users_me]").first
    await change.locator(".opblock-summary").click()
    await change.locator(".opblock-section-request-body").get_by_text("Schema", exact=True).click()
    await expect(change.locator(".opblock-section-request-body")).to_contain_text("(string | null)")
    assert reading.console_errors == []
