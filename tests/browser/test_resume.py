"""An open page outlives its server: `kill -9`, started again, and everything goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from server.demo_case import JOINED_QUESTION
from tests.bench.serving import server
from tests.browser.conftest import DESKTOP, new_context
from tests.browser.test_main_job import new_case, order, register, upload

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


async def test_a_page_goes_on_after_its_server_was_killed_and_started_again(
    browser: Browser, tmp_path: Path
) -> None:
    async with server() as running:
        context = await new_context(browser, viewport=DESKTOP)
        page = await context.new_page()
        await register(page, running.url, "stay@casewire.example")
        await new_case(page, "A long night")
        await upload(page, tmp_path, ("inspection-report-pier-4.pdf", "statement-of-account.pdf"))
        ready = page.locator("[data-testid=upload][data-state=ready]")
        await expect(ready).to_have_count(2)
        await page.get_by_role("textbox", name="Ask a question").fill(JOINED_QUESTION)
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("answer").first).to_have_attribute("data-supported", "true")
        before = await order(page)

        await running.kill()
        await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "reconnecting")
        await running.start()
        await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open")
        assert await order(page) == before
        await upload(page, tmp_path, ("payment-rules.md",))
        await expect(ready).to_have_count(3)
        await context.close()
