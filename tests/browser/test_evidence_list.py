"""The list of a case's evidence in a real browser: filtered where it is long, and with its room."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, Route, expect
from redis.asyncio import Redis

from server.services import Services
from server.settings import Settings
from storage.evidence import NewEvidence
from tests.browser.conftest import DESKTOP, PHONE, new_context
from tests.server.live import PASSWORD, Live, running

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

FILES = 230
"""More than a page lists at once."""
LIMIT = 1_000_000


@dataclass
class Case:
    live: Live
    email: str
    id: str
    url: str


@pytest_asyncio.fixture(loop_scope="session")
async def case(
    settings: Settings, services: Services, redis_client: Redis, database: str
) -> AsyncIterator[Case]:
    limited = settings.model_copy(update={"quota_case_bytes": LIMIT})
    async with running(limited, services) as live, live.person() as ann:
        made = (await ann.case("The archive"))["id"]
        for number in range(FILES):
            name = f"{'ledger' if number % 100 == 99 else 'letter'} {number:03}.txt"
            new = NewEvidence(
                made, f"{number:064x}", f"upload-0-{number}", name, name, 1000, "text/plain", ann.id
            )
            await live.parts.evidence.register(new)
        yield Case(live, ann.email, made, f"{live.url}/case/{made}")


@pytest_asyncio.fixture(params=[DESKTOP, PHONE], ids=["desk", "phone"], loop_scope="session")
async def page(
    request: pytest.FixtureRequest, browser: Browser, chromium: str, case: Case
) -> AsyncIterator[Page]:
    """The open case; its list is in sight."""
    context = await new_context(browser, viewport=request.param, has_touch=request.param is PHONE)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    await page.goto(f"{case.live.url}/login")
    await page.get_by_label("Email").fill(case.email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("button", name="New case").first).to_be_visible()
    await page.goto(case.url)
    if request.param is PHONE:
        await page.get_by_role("tab", name="Evidence").click()
    await expect(page.get_by_test_id("upload")).to_have_count(200)
    yield page
    overflow = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    await context.close()
    assert faults == []
    assert not overflow, "the page is wider than the screen"


async def test_the_filter_finds_what_is_not_listed_yet(page: Page) -> None:
    await expect(page.get_by_role("heading", name=f"Evidence {FILES}")).to_be_visible()
    rows, told = page.get_by_test_id("upload"), page.get_by_test_id("filter-count")
    box = page.get_by_role("searchbox", name="Filter evidence")
    await box.fill("LEDGER")
    await expect(told).to_have_text("2 pieces of evidence found")
    await expect(rows).to_have_count(2)
    await box.fill("letter 229")
    await expect(told).to_have_text("1 piece of evidence found")
    await box.press("ArrowDown")
    await expect(rows.get_by_role("link")).to_be_focused()
    await box.fill("no such file")
    await expect(page.get_by_text("Nothing matches “no such file”.")).to_be_visible()
    await box.fill("letter")
    await expect(told).to_have_text("More than 200 pieces of evidence found")
    await page.get_by_role("button", name="Show more that match").click()
    await expect(told).to_have_text("228 pieces of evidence found")
    await box.press("Escape")
    await expect(box).to_have_value("")
    await expect(rows).to_have_count(200)
    await page.get_by_role("button", name="Show more evidence").click()
    await expect(rows).to_have_count(FILES)


async def test_a_late_answer_does_not_replace_a_newer_one(page: Page) -> None:
    held: list[Route] = []
    ended: list[Request] = []
    page.on("requestfailed", lambda request: ended.append(request))

    async def hold(route: Route) -> None:
        held.append(route)

    await page.route(re.compile("words=letter"), hold)
    box = page.get_by_role("searchbox", name="Filter evidence")
    async with page.expect_request(re.compile("words=letter")) as asked:
        await box.fill("letter")
    await box.fill("ledger")
    await expect(page.get_by_test_id("filter-count")).to_have_text("2 pieces of evidence found")
    while not ended:
        await page.wait_for_timeout(50)
    assert [await asked.value] == ended
    assert len(held) == 1
    await expect(page.get_by_test_id("upload")).to_have_count(2)


async def test_what_does_not_fit_is_told_before_it_is_sent(page: Page, tmp_path: Path) -> None:
    room = page.get_by_test_id("quota-case")
    await expect(room).to_have_text("230 kB of 1.0 MB in this case")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    (tmp_path / "whole.img").write_bytes(b"x" * 900_000)
    await page.get_by_test_id("file-input").set_input_files(tmp_path / "whole.img")
    row = page.locator("[data-state=local-failed]")
    await expect(row).to_contain_text("This case may hold 1.0 MB at most, and 770 kB of it are left")
    assert [url for url in sent if "upload" in url or "tus" in url] == []
    await row.get_by_role("button", name="Dismiss").click()
    await expect(row).to_have_count(0)

    folder = tmp_path / "Boxes"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.img").write_bytes(b"%d" % number * 500_000)
    await page.get_by_test_id("folder-input").set_input_files(folder)
    dialog = page.get_by_role("dialog", name="The folder may not fit")
    await expect(dialog).to_contain_text("“Boxes” holds 2 files of 1.0 MB together, and 770 kB more fit.")
    await dialog.get_by_role("button", name="Cancel").click()
    assert [url for url in sent if "imports" in url] == []
    await page.get_by_test_id("folder-input").set_input_files(folder)
    await dialog.get_by_role("button", name="Import what fits").click()
    await page.wait_for_url(re.compile("/import/"))
