"""Conversations in a real browser: a follow-up understood, a thread named, found, exported and deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.bench.serving import serving
from tests.browser.conftest import DESKTOP, PHONE, new_context
from tests.browser.test_main_job import new_case, register
from tests.handlers.sites import FEED, site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

MEMO = (
    "The blast of bench nine was approved by Barbara Okafor on 14 May 2033.\n\n"
    "On 2 June 2033 Vanter Holding Ltd paid 95,000 kroner to Barbara Okafor for the approval.\n"
)

Look = Callable[[Page, str], Awaitable[None]]


async def nothing(page: Page, name: str) -> None:
    """A test needs no picture."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def outside() -> AsyncIterator[str]:
    """A server that may read a feed of this machine."""
    async with site() as news:
        news.put("/feed", FEED, "application/rss+xml")
        async with serving(CASEWIRE_SOURCES=f"http://{news.host}/feed http://{news.host}/gone") as url:
            yield url


async def story(page: Page, address: str, folder: Path, look: Look) -> None:
    await register(page, address, "ada.talks@casewire.example")
    await new_case(page, "The quarry")
    (folder / "memo.txt").write_text(MEMO)
    await page.locator("input[type=file]").first.set_input_files([folder / "memo.txt"])
    await expect(page.get_by_test_id("upload").first).to_have_attribute("data-state", "ready")

    box = page.get_by_label("Ask a question")
    await box.fill("Who approved the blast of bench nine?")
    await page.get_by_label("Look outside, too").check()
    await look(page, "switch")
    await box.press("Enter")
    turn = page.get_by_test_id("query").first
    await expect(turn).to_have_attribute("data-state", "answered")
    await expect(turn.get_by_test_id("sources")).to_contain_text("1 of 2 sources answered")
    await expect(turn.get_by_test_id("sources")).to_contain_text("status 404")
    article = turn.locator("article[data-source=article]").first
    await expect(article).to_contain_text("no evidence")
    await expect(article.get_by_role("button")).to_have_count(0)
    await look(page, "outside")

    await page.get_by_role("button", name="Ask a follow-up").click()
    await box.fill("And who paid her?")
    await page.get_by_label("Look outside, too").uncheck()
    await box.press("Enter")
    second = page.get_by_test_id("query").nth(1)
    await expect(second).to_have_attribute("data-state", "answered")
    await expect(second.get_by_test_id("understood")).to_contain_text("Who paid Barbara Okafor?")
    await expect(second.get_by_test_id("answer")).to_contain_text("Vanter Holding")
    await look(page, "follow-up")

    thread = page.get_by_test_id("thread")
    await expect(thread).to_contain_text("2 questions · yours")
    await page.get_by_role("button", name="Rename this conversation").click()
    await page.get_by_label("Name", exact=False).last.fill("The payment")
    await page.get_by_role("button", name="Save the name").click()
    await expect(thread).to_contain_text("The payment")

    search = page.get_by_label("Search the conversations")
    await search.fill("nobody knows")
    await expect(page.get_by_test_id("conversation")).to_have_count(0)
    await search.fill("95,000 vanter")
    await expect(page.get_by_test_id("found")).to_contain_text("95,000")
    await look(page, "search")
    await search.fill("")

    await page.get_by_role("button", name="Export this conversation").click()
    async with page.expect_download() as started:
        await page.get_by_role("link", name="Markdown, to read").click()
    download = await started.value
    told = Path(await download.path()).read_text()
    assert "# The payment" in told
    assert "Understood as: Who paid Barbara Okafor?" in told

    await page.get_by_role("button", name="Delete this conversation").click()
    await look(page, "delete")
    await page.get_by_role("button", name="Delete the conversation").click()
    await expect(page.get_by_test_id("conversation")).to_have_count(0)
    await expect(page.get_by_text("Nothing asked yet")).to_be_visible()


async def test_a_conversation_is_had_named_found_exported_and_deleted(
    page: Page, outside: str, tmp_path: Path
) -> None:
    await story(page, outside, tmp_path, nothing)


async def test_looking_outside_is_not_offered_where_nothing_is_configured(page: Page, address: str) -> None:
    await register(page, address, "ada.inside@casewire.example")
    await new_case(page, "Inside")
    await expect(page.get_by_label("Ask a question")).to_be_visible()
    await expect(page.get_by_label("Look outside, too")).to_have_count(0)


async def pictures(browser: Browser, address: str, folder: Path) -> None:
    """Every step of the story at both widths, light and dark, for people to look at."""

    async def look(page: Page, name: str) -> None:
        for width, size in (("desktop", DESKTOP), ("phone", PHONE)):
            for scheme in ("light", "dark"):
                await page.set_viewport_size(size)
                await page.emulate_media(color_scheme=scheme)
                await page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")
        await page.set_viewport_size(DESKTOP)

    context = await new_context(browser, viewport=DESKTOP)
    await story(await context.new_page(), address, folder, look)
    await context.close()
