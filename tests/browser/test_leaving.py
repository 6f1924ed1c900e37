"""Evidence and a case leave in a real browser: removed, restored, deleted, with the custody report."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from handlers.parsing.mupdf import pymupdf
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.test_main_job import new_case, register

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

FILES = {
    "ledger.txt": b"The ledger of the harbour. On 2 June a sum of 95,000 kroner went to Marit Solheim.",
    "minutes.txt": b"Minutes of the harbour board. Marit Solheim approved the wall on 14 May 2033.",
}


async def shots(page: Page, name: str) -> None:
    """Keep pictures of both sizes where SHOTS names a folder."""
    if folder := os.environ.get("SHOTS"):
        for size, viewport in (("phone", PHONE), ("desktop", DESKTOP)):
            await page.set_viewport_size(viewport)
            await page.wait_for_timeout(300)
            await page.screenshot(path=Path(folder) / f"{name}-{size}.png", full_page=size == "phone")


async def test_evidence_is_removed_restored_deleted_and_custody_tells_of_it(
    page: Page, address: str, tmp_path: Path
) -> None:
    await register(page, address, "leaving@casewire.example")
    await new_case(page, "The harbour wall")
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    await page.get_by_test_id("file-input").set_input_files([tmp_path / name for name in FILES])
    rows = page.locator("[data-testid=upload][data-state=ready]")
    await expect(rows).to_have_count(2)
    ledger = rows.filter(has_text="ledger")
    await ledger.get_by_role("link").click()

    await page.get_by_test_id("custody").click()
    await expect(page.get_by_test_id("custody-verdict")).to_contain_text("none changed or dropped")
    await expect(page.get_by_role("region", name="Custody")).to_contain_text(
        re.compile("accepted as evidence", re.I)
    )
    await shots(page, "custody")
    await page.set_viewport_size(DESKTOP)
    async with page.expect_download() as download:
        await page.get_by_test_id("custody-pdf").click()
    with pymupdf.open(await (await download.value).path(), filetype="pdf") as document:
        assert "ledger.txt" in document[0].get_text()
        if folder := os.environ.get("SHOTS"):
            for number, paper in enumerate(document):
                paper.get_pixmap(dpi=80).save(Path(folder) / f"paper-{number}.png")

    await page.get_by_role("button", name="Remove from the case").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Reason").fill("privileged")
    await shots(page, "remove")
    await page.set_viewport_size(DESKTOP)
    await dialog.get_by_role("button", name="Remove").click()
    await expect(page.get_by_test_id("removed")).to_contain_text("7 days left")
    await shots(page, "removed")
    await page.set_viewport_size(DESKTOP)

    await page.get_by_role("link", name="The harbour wall").click()
    await expect(rows).to_have_count(1)
    fold = page.get_by_test_id("removed-fold")
    await expect(fold).to_contain_text("privileged")
    await shots(page, "removed-fold")
    await page.set_viewport_size(DESKTOP)
    await fold.get_by_role("button", name="Restore ledger.txt").click()
    await expect(rows).to_have_count(2)
    await expect(fold).to_have_count(0)

    await ledger.get_by_role("link").click()
    await page.get_by_role("button", name="Remove from the case").click()
    await dialog.get_by_role("button", name="Remove").click()
    await page.get_by_role("button", name="Delete now").click()
    await dialog.get_by_role("button", name="Delete now").click()
    await page.goto(page.url.partition("/evidence")[0])
    deleted = page.get_by_test_id("deleted-fold")
    await expect(deleted).to_contain_text("1 piece")
    await deleted.locator("summary").click()
    await expect(deleted).to_contain_text("ledger.txt")
    async with page.expect_download() as download:
        await deleted.get_by_role("link", name="Custody report").click()
    with pymupdf.open(await (await download.value).path(), filetype="pdf") as document:
        assert "was deleted" in document[0].get_text()


async def test_a_case_is_removed_by_typing_its_title_and_deleted_with_all_it_had(
    page: Page, address: str, tmp_path: Path
) -> None:
    await register(page, address, "ending@casewire.example")
    await new_case(page, "The old mole")
    (tmp_path / "minutes.txt").write_bytes(FILES["minutes.txt"])
    await page.get_by_test_id("file-input").set_input_files(tmp_path / "minutes.txt")
    rows = page.locator("[data-testid=upload][data-state=ready]")
    await expect(rows).to_have_count(1)

    await page.get_by_role("button", name="Remove case").click()
    dialog = page.get_by_role("dialog")
    confirm = dialog.get_by_role("button", name="Remove the case")
    await expect(confirm).to_be_disabled()
    await dialog.get_by_label("Type the title to go on").fill("The old mole")
    await shots(page, "case-remove")
    await page.set_viewport_size(DESKTOP)
    await confirm.click()
    await expect(page.get_by_test_id("case-leaving")).to_contain_text("7 days left")
    await shots(page, "case-leaving")
    await page.set_viewport_size(DESKTOP)
    there = page.url

    await page.get_by_role("link", name="Cases").first.click()
    await expect(page.get_by_test_id("case")).to_have_count(0)
    fold = page.get_by_test_id("removed-cases")
    await fold.locator("summary").click()
    await shots(page, "removed-cases")
    await page.set_viewport_size(DESKTOP)
    await fold.get_by_role("link", name="The old mole").click()

    await page.get_by_role("button", name="Delete now").click()
    await dialog.get_by_label("Type the title to go on").fill("The old mole")
    await dialog.get_by_role("button", name="Delete the case").click()
    await expect(page.get_by_text("This case is not open to you")).to_be_visible(timeout=60_000)
    await page.goto(address)
    await expect(page.get_by_test_id("removed-cases")).to_have_count(0)
    await page.goto(there)
    await expect(page.get_by_text("This case is not open to you")).to_be_visible()
