"""A folder in a real browser: chosen, sent, watched, mended and gone on with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import PHONE, new_context
from tests.browser.test_main_job import new_case, register
from tests.folders import make_folder

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

FILES = 40


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    folder = tmp_path / "Boxes"
    make_folder(folder, FILES - 1)
    (folder / "damaged.pdf").write_bytes(b"%PDF-1.7 and nothing that follows from it")
    return folder


async def begin(page: Page, address: str, email: str, folder: Path) -> None:
    await register(page, address, email)
    await new_case(page, "The harbour")
    await page.get_by_test_id("folder-input").set_input_files(folder)
    await page.wait_for_url(re.compile("/import/"))


async def test_a_chosen_folder_is_sent_worked_on_and_every_file_is_accounted_for(
    page: Page, browser: Browser, address: str, boxes: Path
) -> None:
    await begin(page, address, "folders@casewire.example", boxes)
    state = page.get_by_test_id("import-state")
    await expect(state).to_have_attribute("data-state", re.compile("done"), timeout=240_000)
    await expect(page.get_by_test_id("resting")).to_have_text(str(FILES))
    shown = await page.locator("[data-testid^=tally-] strong").all_inner_texts()
    assert sum(int(number) for number in shown) == FILES
    failed = page.get_by_test_id("import-file").first
    await expect(failed).to_have_attribute("data-state", "failed")
    await expect(failed.locator(".reason")).not_to_be_empty()

    await page.get_by_test_id("tally-ready").click()
    await page.get_by_test_id("import-file").first.get_by_role("link").click()
    await page.wait_for_url(re.compile("/evidence/"))
    await page.go_back()
    await page.get_by_role("link", name="The harbour").click()
    row = page.get_by_test_id("import")
    await expect(row).to_contain_text("Boxes")
    await expect(row).to_contain_text(f"{FILES} of {FILES} files")

    phone = await new_context(browser, viewport=PHONE, storage_state=await page.context.storage_state())
    small = await phone.new_page()
    await small.goto(page.url)
    await small.get_by_role("tab", name="Evidence").click()
    await small.get_by_test_id("import").get_by_role("link").click()
    await expect(small.get_by_test_id("resting")).to_have_text(str(FILES))
    assert await small.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await phone.close()


async def test_a_page_that_was_closed_goes_on_when_the_folder_is_chosen_again(
    page: Page, address: str, boxes: Path
) -> None:
    # The first batch never arrives: the page is gone before.
    await page.route("**/batch", lambda route: route.abort())
    await begin(page, address, "again@casewire.example", boxes)
    await expect(page.get_by_test_id("tally-waiting")).to_be_visible(timeout=30_000)
    page.on("dialog", lambda dialog: dialog.accept())
    await page.unroute("**/batch")
    await page.reload()
    await expect(page.get_by_test_id("import-state")).to_have_attribute("data-state", "transferring")
    await page.get_by_label("The folder, to go on").set_input_files(boxes)
    await expect(page.get_by_test_id("tally-waiting")).to_have_count(0)


async def test_pausing_resuming_and_cancelling_are_told_at_once(
    page: Page, address: str, boxes: Path
) -> None:
    await begin(page, address, "pause@casewire.example", boxes)
    state = page.get_by_test_id("import-state")
    await page.get_by_role("button", name="Pause").click()
    await expect(state).to_have_attribute("data-state", "paused")
    await page.get_by_role("button", name="Resume").click()
    await expect(state).to_have_attribute("data-state", re.compile("transferring|processing"))
    await page.get_by_role("button", name="Cancel").click()
    await expect(state).to_have_attribute("data-state", "cancelled")
