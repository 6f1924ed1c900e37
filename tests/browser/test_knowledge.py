"""What people learn later, in a real browser: near copies, their own words, a person looked for."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_main_job import new_case, register

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

MEMO = (
    "The copper shipment left the harbour in the evening of June 4 and nobody on the quay saw it go.\n"
    "Martha Quilling had signed the papers for it in the morning, in the office of the harbour master.\n"
    "The harbour master kept a copy of the papers and gave the original back to the captain himself.\n"
    "Two weeks later the captain said that he had never been given any papers at all for the copper.\n"
    "Ellen Wharton asked the bank for the receipt, and the bank found that no money had ever arrived.\n"
)
FILES = {
    "memo.txt": MEMO,
    "memo-amended.txt": "Amended copy.\n"
    + MEMO.replace("June 4", "June 9").replace("never been", "not been"),
    "recipe.txt": "Peel the onions, cut them into fine rings and let them soften slowly in the butter. " * 5,
}

Look = Callable[[Page, str], Awaitable[None]]


async def nothing(page: Page, name: str) -> None:
    """A test needs no picture."""


async def story(page: Page, address: str, folder: Path, look: Look) -> None:
    await register(page, address, "ada.later@casewire.example")
    await new_case(page, "The copper")
    paths = []
    for name, words in FILES.items():
        (folder / name).write_text(words)
        paths.append(folder / name)
    await page.locator("input[type=file]").first.set_input_files(paths)
    for name in FILES:
        row = page.get_by_test_id("upload").filter(has_text=name.removesuffix(".txt"))
        await expect(row.first).to_have_attribute("data-state", "ready")
    await expect(page.get_by_test_id("near-count")).to_have_count(2)

    await page.get_by_role("button", name="Add a person of interest").click()
    await page.get_by_label("Name", exact=True).fill("Martha Quilling")
    await page.get_by_role("button", name="Save").click()
    search = page.get_by_test_id("poi-search")
    await expect(search).to_have_attribute("data-state", "found")
    await expect(search).to_contain_text("2 mentions in 2 files")
    await expect(search.locator(".pill")).to_have_text("new")
    await look(page, "poi-toast")
    await search.get_by_role("button").click()
    await expect(search.get_by_test_id("poi-place")).to_have_count(2)
    await expect(search.locator(".pill")).to_have_count(0)
    await look(page, "poi-found")

    await page.get_by_role("textbox", name="Ask a question").fill("Who signed the papers for the copper?")
    await page.keyboard.press("Enter")
    near = page.get_by_test_id("near-hits")
    await expect(near.first).to_contain_text("also in 1 near copy")
    await look(page, "hits")

    await search.get_by_test_id("poi-place").first.get_by_role("link").click()
    await expect(page.get_by_test_id("place").first).to_be_visible(timeout=20_000)

    title = page.get_by_test_id("edit-title")
    await title.get_by_role("button", name="Edit the title").click()
    await title.get_by_label("Title").fill("Memo on the copper")
    await title.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="Memo on the copper")).to_be_visible()
    await expect(title).to_contain_text("Edited by Ada Investigator")

    tags = page.get_by_test_id("edit-tags")
    await tags.get_by_role("button", name="Edit the tags").click()
    await tags.get_by_label("Another tag").fill("harbour papers")
    await page.keyboard.press("Enter")
    await tags.get_by_role("button", name=re.compile("^Remove ")).first.click()
    await look(page, "tags-editing")
    await tags.get_by_role("button", name="Save").click()
    await expect(tags.get_by_text("harbour papers")).to_be_visible()

    summary = page.get_by_test_id("edit-summary")
    await summary.get_by_role("button", name="Edit the summary").click()
    await summary.get_by_label("Summary").fill("The copper left without papers.\nNobody paid.")
    await summary.get_by_role("button", name="Save").click()
    await expect(summary).to_contain_text("Nobody paid.")
    await summary.get_by_role("button", name="History").click()
    await expect(summary.get_by_text("Found by Casewire")).to_be_visible()
    await look(page, "history")
    await summary.get_by_role("button", name="Take this one again").click()
    await expect(summary.get_by_test_id("summary-sentence").first).to_be_visible()

    copies = page.get_by_test_id("near-copies")
    await copies.get_by_role("button", name="What differs").click()
    differences = page.get_by_test_id("differences")
    await expect(differences).to_have_attribute("data-ready", "true")
    await expect(differences.locator("del, ins").first).to_be_visible()
    await look(page, "differences")

    other = await page.context.new_page()
    await other.goto(page.url)
    await other.get_by_test_id("edit-title").get_by_role("button", name="Edit the title").click()
    await title.get_by_role("button", name="Edit the title").click()
    await title.get_by_label("Title").fill("Mine")
    await title.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="Mine")).to_be_visible()
    theirs = other.get_by_test_id("edit-title")
    await theirs.get_by_label("Title").fill("Theirs")
    await theirs.get_by_role("button", name="Save").click()
    await expect(theirs.get_by_role("alert")).to_contain_text("Mine")
    await look(other, "clash")
    await theirs.get_by_role("button", name="Save mine over it").click()
    await expect(page.get_by_role("heading", name="Theirs")).to_be_visible()
    await other.close()


async def test_near_copies_edits_and_a_late_person(page: Page, address: str, tmp_path: Path) -> None:
    await story(page, address, tmp_path, nothing)
