"""Evidence of every kind in a real browser, on a desk and on a phone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from redis.asyncio import Redis

from server.services import Services
from server.settings import Settings
from tests.browser.conftest import DESKTOP, PHONE, new_context
from tests.browser.evidence_case import SECRET, TRANSCRIPT, evidence_case
from tests.patience import PATIENCE_S
from tests.server.live import PASSWORD, Live, running

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


@dataclass
class Shown:
    live: Live
    email: str
    ids: dict[str, Any]

    def url(self, name: str, query: str = "") -> str:
        return f"{self.live.url}/case/{self.ids['case']}/evidence/{self.ids[name]}{query}"


@pytest_asyncio.fixture(loop_scope="session")
async def shown(
    settings: Settings, services: Services, redis_client: Redis, database: str
) -> AsyncIterator[Shown]:
    async with running(settings, services) as live, live.person() as ann:
        yield Shown(live, ann.email, await evidence_case(live, ann))


@pytest_asyncio.fixture(params=[DESKTOP, PHONE], ids=["desk", "phone"], loop_scope="session")
async def page(
    request: pytest.FixtureRequest, browser: Browser, chromium: str, shown: Shown
) -> AsyncIterator[Page]:
    """A page of somebody who has logged in; it fails on errors and on what its own policy forbids."""
    context = await new_context(browser, viewport=request.param, has_touch=request.param is PHONE)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda m: faults.append(m.text) if "Content Security Policy" in m.text else None)
    await log_in(page, shown)
    yield page
    overflow = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    await context.close()
    assert faults == []
    assert not overflow, "the page is wider than the screen"


async def until(page: Page, said: str) -> None:
    """Look from outside: the page's own policy forbids it to evaluate what it is waited for with."""
    async with asyncio.timeout(PATIENCE_S):
        while not await page.evaluate(said):
            await page.wait_for_timeout(50)


async def see_about(page: Page) -> None:
    """On a phone the panels take the place of the file."""
    if page.viewport_size == PHONE:
        await page.get_by_role("button", name="About this file").click()


async def log_in(page: Page, shown: Shown) -> None:
    await page.goto(f"{shown.live.url}/login")
    await page.get_by_label("Email").fill(shown.email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_test_id("case").first).to_be_visible()


async def test_a_document_shows_what_is_readable_under_its_redactions_and_what_was_recognised(
    page: Page, shown: Shown
) -> None:
    await page.goto(shown.url("pdf"))
    await expect(page.get_by_test_id("viewer")).to_have_attribute("data-kind", "pdf")
    await expect(page.get_by_test_id("redaction").first).to_be_visible(timeout=20_000)
    await see_about(page)
    await expect(page.get_by_test_id("redactions")).to_contain_text(SECRET)
    await expect(page.get_by_test_id("annotations")).to_contain_text("Ask her why.")
    await page.get_by_test_id("ocr").get_by_role("button", name="p. 2").click()
    await expect(page.get_by_test_id("page-note")).to_have_text("Recognised text, 71 % sure")
    await expect(page.locator("[data-page='2']")).to_be_in_viewport()
    await page.get_by_role("button", name="Text", exact=True).click()
    await expect(page.get_by_text("Page 2 · Recognised text, 71 % sure")).to_be_visible()


async def test_a_picture_shows_its_camera_and_place_and_the_words_in_it(page: Page, shown: Shown) -> None:
    await page.goto(shown.url("picture", "?start=0&end=6&page=1"))
    picture = page.get_by_role("img", name="bearing.jpg")
    await expect(picture).to_be_visible()
    whole, place = await picture.bounding_box(), await page.get_by_test_id("place").bounding_box()
    assert whole is not None
    assert place is not None
    assert abs((place["x"] - whole["x"]) / whole["width"] - 90 / 1200) < 0.01
    assert abs((place["y"] - whole["y"]) / whole["height"] - 90 / 800) < 0.01
    await see_about(page)
    await expect(page.get_by_test_id("fact-place")).to_have_text("53.54321° N, 9.98765° E")
    await expect(page.get_by_test_id("fact-camera")).to_have_text("Example A1")
    await expect(page.get_by_test_id("fact-taken")).to_contain_text("8:47")


async def test_a_recording_is_played_from_its_stills_and_from_what_is_said(page: Page, shown: Shown) -> None:
    said = TRANSCRIPT.index("[00:00:01]")
    await page.goto(shown.url("video", f"?start={said}&end={said + 20}"))
    await expect(page.get_by_test_id("place")).to_contain_text("The north pier is closed")
    await until(page, "document.querySelector('video')?.currentTime === 1")
    await expect(page.get_by_test_id("still")).to_have_count(3)
    await page.get_by_test_id("still").nth(2).click()
    await until(page, "document.querySelector('video')?.currentTime >= 2")
    await page.get_by_role("button", name="Good morning").click()
    await until(page, "document.querySelector('video')?.currentTime < 2")
    await until(page, "document.querySelector('video')?.videoWidth === 320")


async def test_a_sound_without_a_transcript_says_so(page: Page, shown: Shown) -> None:
    await page.goto(shown.url("sound"))
    await until(page, "document.querySelector('audio')?.duration > 1.9")
    await expect(page.get_by_text("There is no transcript")).to_be_visible()
    await see_about(page)
    await expect(page.get_by_test_id("notice")).to_contain_text("no speech model")


async def test_a_workbook_is_shown_by_sheets_with_the_row_that_was_found(page: Page, shown: Shown) -> None:
    await page.goto(shown.url("table"))
    await expect(page.get_by_role("row")).to_have_count(8)
    await page.get_by_role("tab", name="Notes").click()
    await expect(page.get_by_role("row")).to_have_text(["Paid in cash"])
    text = await shown.live.parts.evidence.text(shown.ids["table"])
    at = text.index("Bo Sample")
    await page.goto(shown.url("table", f"?start={at}&end={at + 5}"))
    await expect(page.get_by_test_id("place")).to_contain_text("1,250.00")


async def test_what_is_inside_a_mail_leads_there_and_back(page: Page, shown: Shown) -> None:
    await page.goto(shown.url("mail"))
    await see_about(page)
    await expect(page.get_by_test_id("child")).to_have_count(2)
    await page.get_by_test_id("child").get_by_role("link", name="scan.png").click()
    await expect(page.get_by_role("img", name="scan.png")).to_be_visible()
    await see_about(page)
    await page.get_by_test_id("family").get_by_role("link", name="Files.eml").click()
    await expect(page.get_by_text("See the attached files.")).to_be_visible()


async def test_the_list_shows_small_pictures_where_there_are_any(page: Page, shown: Shown) -> None:
    await page.goto(f"{shown.live.url}/case/{shown.ids['case']}")
    if page.viewport_size == PHONE:
        await page.get_by_role("tab", name="Evidence").click()
    rows = page.get_by_test_id("upload")
    await expect(rows).to_have_count(8)
    for name in ("inspection.pdf", "bearing.jpg", "harbour.webm"):
        await expect(rows.filter(has_text=name).get_by_role("presentation")).to_be_visible()
    await expect(rows.filter(has_text="call.wav").locator("svg")).to_be_visible()
