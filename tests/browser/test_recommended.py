"""What a case offers by itself, in a real browser: questions, a slip mended, evidence to read, sureness."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_knowledge import FILES
from tests.browser.test_main_job import new_case, register

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

Look = Callable[[Page, str], Awaitable[None]]


async def nothing(page: Page, name: str) -> None:
    """A test needs no picture."""


async def story(page: Page, address: str, folder: Path, look: Look) -> None:
    await register(page, address, "ada.reads@casewire.example")
    await new_case(page, "The copper")
    paths = []
    for name, words in FILES.items():
        (folder / name).write_text(words)
        paths.append(folder / name)
    await page.locator("input[type=file]").first.set_input_files(paths)
    for name in FILES:
        row = page.get_by_test_id("upload").filter(has_text=name.removesuffix(".txt"))
        await expect(row.first).to_have_attribute("data-state", "ready", timeout=90_000)

    chips = page.get_by_test_id("suggestions").get_by_role("button")
    await expect(chips.first).to_be_visible(timeout=60_000)
    await look(page, "chips")
    field = page.get_by_role("textbox", name="Ask a question")
    await field.fill("Where was Ellen Wha")
    await page.get_by_test_id("suggestions").get_by_role("button", name="Ellen Wharton", exact=True).click()
    await expect(field).to_have_value("Where was Ellen Wharton")

    await field.fill("What did Martha Qiulling sign?")
    await page.keyboard.press("Enter")
    meant = page.get_by_test_id("did-you-mean")
    await expect(meant).to_contain_text("What did Martha Quilling sign?", timeout=20_000)
    await look(page, "meant")
    await meant.get_by_role("button", name="What did Martha Quilling sign?").click()
    await expect(page.get_by_test_id("query")).to_have_count(2, timeout=20_000)
    await expect(meant).to_have_count(0)

    case = page.url
    await page.get_by_role("link", name="memo", exact=True).first.click()
    await expect(page.get_by_role("img", name="% sure").first).to_be_visible(timeout=20_000)
    await look(page, "tags")
    # Read to its end, as somebody would who stays on the page.
    evidence = int(page.url.rsplit("/", 1)[1].partition("?")[0])
    await page.evaluate(
        """async ([path, node]) => {
            const csrf = await (await fetch('/api/session')).json();
            await fetch(path, {method: 'POST', body: JSON.stringify({what: 'read', node}),
              headers: {'Content-Type': 'application/json', 'X-CSRF-Token': csrf.csrf}});
        }""",
        [f"/api/cases/{case.rsplit('/', 1)[1]}/attention", evidence],
    )
    await page.goto(case)
    panel = page.get_by_test_id("recommended")
    await expect(panel).to_contain_text("which you read", timeout=60_000)
    await look(page, "recommended")
    await panel.get_by_role("button", name="Do not suggest").first.click()
    await expect(panel).to_have_count(0)
    await page.reload()
    await expect(page.get_by_test_id("query").first).to_be_visible(timeout=20_000)
    await expect(panel).to_have_count(0)


async def test_a_case_offers_questions_mends_slips_and_recommends_evidence(
    page: Page, address: str, tmp_path: Path
) -> None:
    await story(page, address, tmp_path, nothing)
