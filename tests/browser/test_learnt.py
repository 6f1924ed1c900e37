"""What was learnt, in a real browser: a passage passed over, another one read, undone, turned off."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.test_main_job import new_case, register

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PAPERS = {
    f"blast-{i}.txt": f"The blast of bench {i} was approved by Barbara Okafor on {i} May 2033.\n"
    for i in range(1, 6)
}


async def shot(page: Page, name: str) -> None:
    """Keep pictures, light and dark, where SHOTS names a folder."""
    if folder := os.environ.get("SHOTS"):
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            await page.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)
        await page.emulate_media(color_scheme="light")


async def test_what_was_learnt_is_seen_undone_and_turned_off(
    page: Page, address: str, tmp_path: Path
) -> None:
    await register(page, address, "ada.learns@casewire.example")
    await new_case(page, "The quarry")
    for name, text in PAPERS.items():
        (tmp_path / name).write_text(text)
    await page.locator("input[type=file]").first.set_input_files([tmp_path / name for name in PAPERS])
    for name in PAPERS:
        row = page.get_by_test_id("upload").filter(has_text=name).first
        await expect(row).to_have_attribute("data-state", "ready")

    await page.get_by_role("textbox", name="Ask a question").fill("Who approved the blast of bench 2?")
    async with page.expect_response(re.compile("/shown$")) as told:
        await page.keyboard.press("Enter")
        hits = page.get_by_test_id("hit")
        await expect(hits.nth(3)).to_be_visible(timeout=60_000)
        await page.evaluate("document.querySelector('[data-testid=hit]').scrollIntoView()")
    assert (await told.value).status == 204
    await hits.nth(2).get_by_role("button", name="Helpful", exact=True).click()
    await expect(hits.get_by_test_id("votes").filter(has_text="+1")).to_have_count(1)
    async with page.expect_response(re.compile("/attention$")):
        await hits.last.get_by_role("link").first.click()
    async with page.expect_response(re.compile("/attention$")):
        pass  # after ten seconds it counts as read

    await page.get_by_role("button", name=re.compile("Account of")).click()
    await page.get_by_role("link", name="What was learnt from you").click()
    learnt = page.get_by_test_id("learnt")
    await expect(learnt.first).to_be_visible(timeout=30_000)
    whats = sorted([await one.get_attribute("data-what") or "" for one in await learnt.all()])
    assert "read" in whats
    assert "ignored" in whats
    assert whats.count("vote") == 1
    for name, size in (("phone", PHONE), ("desktop", DESKTOP)):
        await page.set_viewport_size(size)  # type: ignore[arg-type]
        wide = await page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, name
        await shot(page, f"learnt-{name}")

    await page.locator("[data-what=vote]").get_by_role("button", name=re.compile("^Undo")).click()
    await expect(page.locator("[data-what=vote]")).to_have_count(0)
    read = page.locator("[data-what=read]")
    await read.get_by_role("button", name=re.compile("^Undo")).click()
    await expect(read).to_have_count(0)

    switch = page.get_by_role("switch", name=re.compile("Learn from my attention"))
    await switch.click()
    await expect(page.get_by_test_id("learning")).to_have_attribute("data-on", "false")
    await page.reload()
    await expect(switch).not_to_be_checked()
    await shot(page, "learnt-off")
    page.on("dialog", lambda dialog: dialog.accept())
    if await page.get_by_role("button", name="Forget everything").is_enabled():
        await page.get_by_role("button", name="Forget everything").click()
    await expect(page.get_by_text("Nothing so far")).to_be_visible()
