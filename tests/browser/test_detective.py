"""Detective mode in a real browser: a search across two cases, its findings judged, their places opened."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import PHONE
from tests.browser.test_main_job import new_case, register

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

CASES = {
    "The harbour": {
        "rent.txt": "Martha Quilling pays the rent of the warehouse at the quay. Questions about it go to "
        "ledger@vellum.example and are answered within a week.\n",
        "weather.txt": "Barrels of copper sulphate leaked slowly behind the northern silo in the rain.\n",
    },
    "The quarry": {
        "contract.txt": "Lene Dahl drew up the contract for the quarry. A copy of the contract went to "
        "ledger@vellum.example by post.\n",
        "visitors.txt": "The book of visitors shows Martha Quilling in the second week of the month.\n",
    },
}
PERSONS = {"The harbour": "Martha Quilling", "The quarry": "Lene Dahl"}

Look = Callable[[Page, str], Awaitable[None]]


async def nothing(page: Page, name: str) -> None:
    """A test needs no picture."""


async def story(page: Page, address: str, folder: Path, look: Look) -> None:
    await register(page, address, "ada.detective@casewire.example")
    await page.goto(f"{address}/detective")
    await expect(page.get_by_role("heading", name="No search yet")).to_be_visible()
    for title, files in CASES.items():
        await page.goto(address)
        await new_case(page, title)
        paths = []
        for name, words in files.items():
            (folder / name).write_text(words)
            paths.append(folder / name)
        await page.locator("input[type=file]").first.set_input_files(paths)
        for name in files:
            row = page.get_by_test_id("upload").filter(has_text=name.removesuffix(".txt"))
            await expect(row.first).to_have_attribute("data-state", "ready")
        await page.get_by_role("button", name="Add a person of interest").click()
        await page.get_by_label("Name", exact=True).fill(PERSONS[title])
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_test_id("poi-search")).to_have_attribute("data-state", "found")

    await page.get_by_role("link", name="Detective").click()
    await page.get_by_role("button", name="Search", exact=True).click()
    search = page.get_by_test_id("search")
    await expect(search).to_have_attribute("data-state", "presented")
    named = page.get_by_test_id("finding").filter(has_text="is named in “The book of visitors")
    await expect(named).to_contain_text("Martha Quilling, a person of interest of “The harbour”")
    connected = page.get_by_test_id("finding").filter(has_text="are connected through")
    await expect(connected.get_by_test_id("path")).to_contain_text("ledger@vellum.example")
    await look(page, "findings")

    await connected.get_by_role("button", name="Accept").click()
    await expect(connected).to_have_attribute("data-verdict", "1")
    await named.get_by_role("button", name="Dismiss").click()
    dismissed = page.get_by_test_id("finding").filter(has_text="Dismissed:")
    await expect(dismissed).to_have_count(1)
    await look(page, "judged")
    await page.get_by_role("button", name="Search again").click()
    await expect(dismissed).to_have_count(0)
    await expect(named).to_have_count(0)
    await expect(connected).to_have_attribute("data-verdict", "1")

    choice = page.get_by_role("group", name="Show").get_by_role("button", name=re.compile("^Connected"))
    await choice.click()
    await expect(page.get_by_test_id("finding")).to_have_count(1)

    await page.get_by_role("combobox", name=re.compile("^About")).fill("quilling")
    await page.get_by_role("option", name=re.compile("person of interest")).first.click()
    await page.get_by_role("combobox", name=re.compile("^Connected with")).fill("lene")
    await look(page, "choosing")
    await page.get_by_role("option", name=re.compile("person of interest")).first.click()
    await page.get_by_role("button", name="Search", exact=True).click()
    await expect(page.get_by_role("link", name=re.compile("two ends"))).to_be_visible()
    way = page.get_by_test_id("finding")
    await expect(way).to_have_count(1)
    await page.set_viewport_size(PHONE)
    await expect(way).to_be_visible()
    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    await look(page, "phone")

    await way.get_by_role("list", name="Sources").get_by_role("link", name="rent").click()
    await expect(page.get_by_role("heading", name="rent")).to_be_visible(timeout=20_000)


async def test_what_joins_two_cases_is_found_judged_and_opened(
    page: Page, address: str, tmp_path: Path
) -> None:
    await story(page, address, tmp_path, nothing)


async def test_a_search_that_finds_nothing_says_what_it_looked_through(
    page: Page, address: str, tmp_path: Path
) -> None:
    await register(page, address, "ada.nothing@casewire.example")
    await new_case(page, "The mill")
    await page.goto(f"{address}/detective")
    await page.get_by_role("button", name="Search", exact=True).click()
    search = page.get_by_test_id("search")
    await expect(search).to_contain_text("Enter persons of interest in your cases", timeout=60_000)

    await page.get_by_role("link", name="Cases", exact=True).click()
    await page.get_by_role("link", name="The mill").click()
    (tmp_path / "wheel.txt").write_text("Martha Quilling repaired the wheel of the mill in the autumn.\n")
    await page.locator("input[type=file]").first.set_input_files([tmp_path / "wheel.txt"])
    row = page.get_by_test_id("upload").filter(has_text="wheel")
    await expect(row.first).to_have_attribute("data-state", "ready", timeout=90_000)
    await page.get_by_role("link", name="Detective").click()
    await page.get_by_role("button", name="Search", exact=True).click()
    await expect(search).to_contain_text(
        re.compile(r"Of \d+ names and files none joins persons of interest or cases"), timeout=60_000
    )
