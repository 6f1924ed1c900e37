"""What an investigator does, in a real browser: log in, upload, ask, vote, come back."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from server.demo_case import JOINED_QUESTION, documents
from tests.browser.conftest import PHONE, new_context

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PASSWORD = secrets.token_urlsafe(12)
FILES = (
    "inspection-report-pier-4.pdf",
    "statement-of-account.pdf",
    "payment-rules.md",
    "diver-complaint.eml",
)


async def register(page: Page, address: str, email: str) -> None:
    await page.goto(f"{address}/register")
    await page.get_by_label("Name").fill("Ada Investigator")
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Create account").click()
    await expect(page.get_by_role("button", name="New case").first).to_be_visible()


async def new_case(page: Page, title: str) -> None:
    await page.get_by_role("button", name="New case").first.click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Title").fill(title)
    await dialog.get_by_role("button", name=re.compile("create", re.I)).click()
    await page.wait_for_url(re.compile("/case/"))


async def upload(page: Page, folder: Path, names: tuple[str, ...]) -> None:
    content = {document.filename: document.content for document in documents()}
    paths = []
    for name in names:
        (folder / name).write_bytes(content[name])
        paths.append(folder / name)
    await page.locator("input[type=file]").first.set_input_files(paths)


async def order(page: Page) -> list[str]:
    return [(await hit.get_attribute("data-node")) or "" for hit in await page.get_by_test_id("hit").all()]


async def test_from_login_to_an_order_that_moved_and_stays(
    page: Page, browser: Browser, address: str, tmp_path: Path
) -> None:
    email = "ada@casewire.example"
    await register(page, address, email)
    await new_case(page, "The bridge")
    await upload(page, tmp_path, FILES)
    await expect(page.get_by_test_id("toast").first).to_be_visible(timeout=60_000)
    for name in FILES:
        row = page.get_by_test_id("upload").filter(has_text=name)
        await expect(row.first).to_have_attribute("data-state", "ready")

    await page.get_by_role("textbox", name="Ask a question").fill(JOINED_QUESTION)
    await page.keyboard.press("Enter")
    hits = page.get_by_test_id("hit")
    await expect(hits.nth(2)).to_be_visible(timeout=60_000)
    before = await order(page)

    second = await (await new_context(browser)).new_page()
    await second.goto(f"{address}/login")
    await second.get_by_label("Email").fill(email)
    await second.get_by_label("Password").fill(PASSWORD)
    await second.get_by_role("button", name="Log in").click()
    await expect(second.get_by_role("button", name="New case").first).to_be_visible()
    await second.goto(page.url)
    await expect(second.get_by_test_id("hit").nth(2)).to_be_visible(timeout=30_000)

    first = before[0]
    await hits.first.get_by_role("button", name="Not helpful", exact=True).click()
    await moved(page, before)
    after = await order(page)
    assert after.index(first) > before.index(first)
    await second.wait_for_function(
        "wanted => JSON.stringify([...document.querySelectorAll('[data-testid=hit]')]"
        ".map(h => h.dataset.node)) === JSON.stringify(wanted)",
        arg=after,
    )
    await second.context.close()

    await page.reload()
    await expect(page.get_by_test_id("hit").nth(2)).to_be_visible(timeout=30_000)
    assert await order(page) == after
    for name in FILES:
        row = page.get_by_test_id("upload").filter(has_text=name)
        await expect(row.first).to_have_attribute("data-state", "ready")

    await page.get_by_test_id("citation").first.click()
    await expect(page.get_by_test_id("place").first).to_be_visible(timeout=20_000)


async def moved(page: Page, before: list[str]) -> None:
    await page.wait_for_function(
        "before => JSON.stringify([...document.querySelectorAll('[data-testid=hit]')]"
        ".map(h => h.dataset.node)) !== JSON.stringify(before)",
        arg=before,
    )


async def test_a_hostile_name_stays_text(page: Page, address: str, tmp_path: Path) -> None:
    await register(page, address, "eve@casewire.example")
    await new_case(page, "<img src=x onerror=alert(1)>")
    await expect(page.get_by_text("<img src=x onerror=alert(1)>").first).to_be_visible()
    assert await page.locator("img[src=x]").count() == 0


async def test_every_chart_is_drawn_and_nothing_overflows_a_phone(browser: Browser, address: str) -> None:
    context = await new_context(browser, viewport=PHONE)
    page = await context.new_page()
    await register(page, address, "phone@casewire.example")
    await page.goto(f"{address}/machines")
    await expect(page.locator("svg").first).to_be_visible(timeout=20_000)
    for path in ("/", "/machines", "/status"):
        await page.goto(f"{address}{path}")
        await page.wait_for_load_state("networkidle")
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], path
    await context.close()
