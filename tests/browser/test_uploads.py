"""Uploads from a real browser: paused, gone on with after a reload, sent in parts side by side."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Request, expect

from tests.browser.conftest import DESKTOP, new_context
from tests.browser.test_main_job import new_case, register

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

MIB = 1 << 20


async def slow_line(page: Page, bytes_per_second: int) -> None:
    session = await page.context.new_cdp_session(page)
    line = {"offline": False, "latency": 5, "downloadThroughput": -1, "uploadThroughput": bytes_per_second}
    await session.send("Network.emulateNetworkConditions", line)


async def machine_of(page: Page) -> dict[str, Any]:
    """The one upload of the page's case, as the server has it."""
    name = await page.get_by_test_id("upload").first.get_attribute("data-machine")
    answer = await page.request.get(f"/api/machines/{name}")
    whole: dict[str, Any] = await answer.json()
    return whole


def noted(page: Page, method: str) -> list[Request]:
    """Every request of a method from now on."""
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request) if request.method == method else None)
    return requests


async def test_an_upload_is_paused_and_gone_on_with_after_a_reload(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    content = bytes(range(256)) * (24 * MIB // 256)
    (tmp_path / "disk.img").write_bytes(content)
    context = await new_context(browser, viewport=DESKTOP, base_url=address)
    page = await context.new_page()
    await register(page, address, "pausing@casewire.example")
    await new_case(page, "A long line")
    await slow_line(page, MIB // 2)  # it lasts until the page is loaded anew, however slowly all else goes
    await page.get_by_test_id("file-input").set_input_files(tmp_path / "disk.img")
    row = page.get_by_test_id("upload").first
    await expect(row).to_contain_text("/s")
    await row.get_by_role("button", name="Pause").click()
    await expect(row).to_have_attribute("data-state", "paused")
    machine = await machine_of(page)
    there = machine["context"]["received"]
    assert 0 < there < len(content)
    await row.get_by_role("button", name="Resume").click()
    await expect(row).to_have_attribute("data-state", "receiving")

    await page.reload()
    await expect(row).to_have_attribute("data-state", "paused")
    await slow_line(page, -1)
    patches = noted(page, "PATCH")
    (tmp_path / "other.img").write_bytes(content[:-1])
    picker = row.get_by_label("disk.img, to send again")
    await picker.set_input_files(tmp_path / "other.img")
    await expect(row).to_contain_text("Choose the same file again")
    await picker.set_input_files(tmp_path / "disk.img")
    await expect(row).to_have_attribute("data-state", "failed")  # nobody can read it
    machine = await machine_of(page)
    assert machine["context"]["sha256"] == sha256(content).hexdigest()
    offsets = [int((await request.all_headers())["upload-offset"]) for request in patches]
    assert len(offsets) == 1
    assert offsets[0] >= there
    await context.close()


async def test_a_big_file_goes_in_parts_side_by_side(browser: Browser, address: str, tmp_path: Path) -> None:
    big = tmp_path / "big.img"
    with big.open("wb") as file:
        file.write(b"\x00\x01begin")
        file.truncate(256 * MIB)
    context = await new_context(browser, viewport=DESKTOP, base_url=address)
    page = await context.new_page()
    await register(page, address, "parallel@casewire.example")
    await new_case(page, "A big disk")
    posts, patches = noted(page, "POST"), noted(page, "PATCH")
    await page.get_by_test_id("file-input").set_input_files(big)
    row = page.get_by_test_id("upload").first
    await expect(row).to_have_attribute("data-state", "failed", timeout=120_000)  # nobody can read it
    machine = await machine_of(page)
    expected = await asyncio.to_thread(lambda: sha256(big.read_bytes()).hexdigest())
    assert machine["context"]["sha256"] == expected
    told = [(await request.all_headers()).get("upload-concat", "") for request in posts]
    assert told.count("partial") == 3
    assert sum(one.startswith("final;") for one in told) == 1
    assert len(patches) <= 3
    await context.close()
