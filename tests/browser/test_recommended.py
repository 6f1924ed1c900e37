"""What a case offers by itself, in a real browser: questions, a slip mended, evidence to read, sureness."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.filling import fill, look
from tests.browser.test_knowledge import FILES
from tests.browser.test_main_job import new_case, register

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


async def test_a_case_offers_questions_mends_slips_and_recommends_evidence(
    page: Page, address: str, tmp_path: Path
) -> None:
    await register(page, address, "ada.reads@casewire.example")
    await new_case(page, "The copper")
    await fill(page, tmp_path, FILES)

    chips = page.get_by_test_id("suggestions").get_by_role("button")
    await expect(chips.first).to_be_visible(timeout=60_000)
    await expect(chips.filter(has_text=re.compile("Martha Quilling|Ellen Wharton")).first).to_be_visible()
    await look(page, "chips")
    offered = (await chips.first.inner_text()).strip()
    field = page.get_by_role("textbox", name="Ask a question")
    await chips.first.click()
    await expect(field).to_have_value(offered)
    await field.fill("Where was Ellen Wha")
    await page.get_by_test_id("suggestions").get_by_role("button", name="Ellen Wharton", exact=True).click()
    await expect(field).to_have_value("Where was Ellen Wharton")

    await field.fill("What did Martha Qiulling sign?")
    await page.keyboard.press("Enter")
    meant = page.get_by_test_id("did-you-mean")
    await expect(meant).to_contain_text("What did Martha Quilling sign?")
    await expect(page.get_by_test_id("hit").first).to_be_visible(timeout=60_000)
    await look(page, "meant")
    await meant.get_by_role("button", name="What did Martha Quilling sign?").click()
    await expect(page.get_by_test_id("query")).to_have_count(2)
    await expect(meant).to_have_count(0)

    case = page.url
    row = page.locator("#evidence-list > li").filter(has_text=re.compile(r"\bmemo\.txt"))
    await row.get_by_role("link").first.click()
    sure = page.get_by_role("img", name=re.compile(r"^\d+ % sure$"))
    await expect(sure.first).to_be_visible(timeout=30_000)
    await look(page, "tags")
    async with page.expect_response(
        lambda answer: answer.url.endswith("/attention") and "read" in (answer.request.post_data or "")
    ):
        pass  # whoever stays on it has read it
    await page.goto(case)
    panel = page.get_by_test_id("recommended")
    await expect(panel).to_contain_text("which you read")
    copy = panel.get_by_role("listitem").filter(has_text="which you read")
    title = (await copy.first.get_by_role("link").inner_text()).strip()
    await look(page, "recommended")
    await panel.get_by_role("button", name=f"Do not suggest {title} again").click()
    await expect(panel.get_by_role("link", name=title)).to_have_count(0)
    async with page.expect_response(re.compile("/recommended$")):
        await page.reload()
    await expect(page.get_by_test_id("query").first).to_be_visible(timeout=30_000)
    await expect(panel.get_by_role("link", name=title)).to_have_count(0)
