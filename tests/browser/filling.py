"""What walks through a case begin with, and what every page is held to, on a phone and a desk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from playwright.async_api import Page, expect

from tests.browser.conftest import DESKTOP, PHONE

_FAINT = Path(__file__).with_name("faint.js").read_text()


async def fill(page: Page, folder: Path, files: Mapping[str, str]) -> None:
    """Put text files into the case on the page, and wait until each is read."""
    for name, words in files.items():
        (folder / name).write_text(words)
    await page.locator("input[type=file]").first.set_input_files([folder / name for name in files])
    for name in files:
        row = page.get_by_test_id("upload").filter(has_text=name)
        await expect(row.first).to_have_attribute("data-state", "ready")


async def add_poi(page: Page, name: str) -> None:
    """Add a person of interest, and wait until the evidence was searched for them."""
    await page.get_by_role("button", name="Add a person of interest").click()
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_test_id("poi-search").last).to_have_attribute("data-state", "found")


async def look(page: Page, name: str) -> None:
    """Hold the page to what every page must be, on a phone and a desk, light and dark.

    Nothing is wider than the screen, no text is faint (contrast below 4.5, or 3 where it is large), and
    every control has a name. Where SHOTS names a folder, pictures are kept there.
    """
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        for kind, size in (("phone", PHONE), ("desk", DESKTOP)):
            await page.set_viewport_size(size)  # type: ignore[arg-type]
            faults = [""]
            for _ in range(30):  # colours may still be on their way
                if not (faults := await page.evaluate(_FAINT)):
                    break
                await page.wait_for_timeout(100)
            assert faults == [], (name, scheme, kind)
            if folder := os.environ.get("SHOTS"):
                await page.screenshot(path=Path(folder) / f"{name}-{kind}-{scheme}.png", full_page=True)
    await page.emulate_media(color_scheme="light", reduced_motion="no-preference")
