"""API tokens in a real browser: made, copied, used by a program, revoked."""

from __future__ import annotations

import os
import re
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.test_main_job import new_case, register

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


async def shot(page: Page, name: str) -> None:
    """Keep a picture where SHOTS names a folder."""
    if folder := os.environ.get("SHOTS"):
        await page.screenshot(path=Path(folder) / f"{name}.png")


async def test_a_token_is_made_shown_once_used_and_revoked(
    page: Page, browser: Browser, address: str
) -> None:
    await register(page, address, "token@casewire.example")
    await new_case(page, "The harbour wall")
    await page.get_by_role("button", name=re.compile("Account of")).click()
    await page.get_by_role("link", name="API tokens").click()
    await expect(page.get_by_role("heading", name="API tokens")).to_be_visible()
    await expect(page.get_by_text("No tokens yet")).to_be_visible()
    await shot(page, "tokens-empty")

    await page.get_by_role("button", name="New token").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Nightly export")
    await dialog.get_by_label("only some cases").check()
    await expect(dialog.get_by_role("button", name="Make the token")).to_be_disabled()
    await dialog.get_by_label("The harbour wall").check()
    await shot(page, "tokens-new")
    await dialog.get_by_role("button", name="Make the token").click()
    secret = await dialog.get_by_label("Secret").input_value()
    assert re.fullmatch(r"cw_[0-9a-f]{16}_[\w-]{43}", secret)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await dialog.get_by_role("button", name="Copy").click()
    assert await page.evaluate("navigator.clipboard.readText()") == secret
    await shot(page, "tokens-secret")
    await dialog.get_by_role("button", name="Done").click()
    assert secret not in await page.content()

    row = page.get_by_test_id("token")
    await expect(row).to_contain_text("The harbour wall")
    await expect(row).to_contain_text("never used")
    async with httpx.AsyncClient(base_url=address, headers={"Authorization": f"Bearer {secret}"}) as http:
        assert [case["title"] for case in (await http.get("/api/cases")).json()] == ["The harbour wall"]
        await page.reload()
        await expect(row).to_contain_text("last used")
        for name, size in (("phone", PHONE), ("desktop", DESKTOP)):
            await page.set_viewport_size(size)  # type: ignore[arg-type]
            await shot(page, f"tokens-{name}")
            wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
            assert not wide, name
        page.once("dialog", lambda asked: asked.accept())
        await page.get_by_role("button", name="Revoke Nightly export").click()
        await expect(page.get_by_text("No tokens yet")).to_be_visible()
        assert (await http.get("/api/cases")).status_code == 401


async def test_the_dialog_fits_a_phone(page: Page, address: str) -> None:
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await register(page, address, "token-phone@casewire.example")
    await page.goto(f"{address}/tokens")
    await page.get_by_role("button", name="New token").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("only some cases")).to_be_disabled()
    await shot(page, "tokens-new-phone")
    await dialog.get_by_label("Name").fill("A watcher")
    await dialog.get_by_role("button", name="Make the token").click()
    await expect(dialog.get_by_label("Secret")).to_be_visible()
    await shot(page, "tokens-secret-phone")
    assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth")
