"""What a developer does: find a machine among others, and go through what has happened to it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.browser.conftest import PHONE, new_context
from tests.browser.test_main_job import new_case, register, upload
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

FILE = "payment-rules.md"


async def ids(page: Page, selector: str, prefix: str) -> set[str]:
    """What all that fits is called, behind a prefix."""
    found = await page.locator(selector).evaluate_all("nodes => nodes.map(node => node.id)")
    return {name.removeprefix(prefix) for name in found}


async def shows(page: Page, lit: set[str], taken: set[str] | None = None) -> None:
    """Wait until the drawing shows these simple states as active, and these arrows as those just taken."""
    async with asyncio.timeout(PATIENCE_S):
        while await ids(page, ".node.active", "state-") != lit:
            await page.wait_for_timeout(50)
        while taken is not None and await ids(page, ".edge.taken", "arrow-") != taken:
            await page.wait_for_timeout(50)


async def at_event(page: Page, event: str) -> None:
    await expect(page.get_by_test_id("step")).to_have_attribute("data-event", event)


async def no_wider_than_the_screen(page: Page, width: int) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_an_upload_is_found_and_stepped_through_with_the_drawing_lit(
    page: Page, browser: Browser, address: str, tmp_path: Path
) -> None:
    await register(page, address, "dev@casewire.example")
    await new_case(page, "The inspected bridge")
    await upload(page, tmp_path, (FILE,))
    row = page.get_by_test_id("upload").filter(has_text=FILE)
    await expect(row.first).to_have_attribute("data-state", "ready")

    await page.get_by_role("link", name="Machines").click()
    machines = page.get_by_test_id("machine")
    await expect(machines.filter(has_text="The inspected bridge").first).to_be_visible(timeout=20_000)
    everything = await machines.count()
    await page.get_by_label("Kind", exact=True).select_option("upload")
    await expect(machines).to_have_count(1)
    assert everything > 1
    await page.get_by_label("State", exact=True).select_option("ready")
    await expect(page).to_have_url(re.compile("kind=upload&state=ready"))
    await page.get_by_label("Name or id").fill("no such file")
    await expect(page.get_by_text("No machine fits.")).to_be_visible()
    await page.get_by_label("Name or id").fill("payment")
    await expect(machines).to_have_count(1)

    await machines.first.get_by_role("link").click()
    await at_event(page, "indexed")
    await expect(page.locator("#state-ready.active")).to_be_visible(timeout=20_000)
    await shows(page, {"ready"})
    await expect(page.locator("#arrow-analysing-ready.taken")).to_have_count(1)

    await page.keyboard.press("Home")
    await at_event(page, "spawn")
    await shows(page, {"receiving"})
    await page.get_by_role("button", name="Step forward").click()
    await at_event(page, "received")
    await shows(page, {"verifying"}, {"receiving-verifying"})
    await expect(page.locator("[data-path=sha256]")).to_contain_text("“”")
    await page.keyboard.press("ArrowLeft")
    await at_event(page, "spawn")
    await shows(page, {"receiving"}, set())
    context = page.get_by_test_id("context")
    await expect(context.locator("[data-key=sha256]")).to_contain_text("“”")

    await page.get_by_test_id("entry").filter(has_text="extracted").click()
    await at_event(page, "extracted")
    await shows(page, {"embedding", "linking", "tagging", "summarising"})
    await expect(page.locator("[data-testid=stage][data-stage=linking]")).to_have_attribute(
        "data-status", "queued"
    )
    await page.get_by_label("Step", exact=True).fill("1")
    await at_event(page, "spawn")
    await no_wider_than_the_screen(page, 1440)

    state = await page.context.storage_state()
    phone = await new_context(browser, viewport=PHONE, storage_state=state)
    small = await phone.new_page()
    for path in (page.url, f"{address}/machines"):
        await small.goto(path)
        await small.wait_for_load_state("networkidle")
        await expect(small.locator(".chart svg").first).to_be_visible(timeout=20_000)
        await no_wider_than_the_screen(small, PHONE["width"])
    await phone.close()


async def test_what_happens_while_one_looks_is_followed_until_one_steps_back(
    page: Page, address: str
) -> None:
    await register(page, address, "live@casewire.example")
    await new_case(page, "A renamed case")
    case = page.url.rpartition("/")[2]
    await page.goto(f"{address}/machines?kind=case")
    await page.get_by_test_id("machine").first.get_by_role("link").click()
    step = page.get_by_test_id("step")
    await expect(step).to_have_attribute("data-event", "spawn")

    csrf = (await (await page.request.get(f"{address}/api/session")).json())["csrf"]

    async def add_person(name: str) -> None:
        answer = await page.request.post(
            f"{address}/api/cases/{case}/pois",
            data=json.dumps({"name": name}),
            headers={"X-CSRF-Token": csrf, "Content-Type": "application/json", "Origin": address},
        )
        assert answer.status == 201, await answer.text()

    # Each is one change: they are looked for, but a case without evidence names nobody.
    await add_person("Ada Example")
    await expect(step).to_have_attribute("data-revision", "2")
    await page.keyboard.press("ArrowLeft")
    await add_person("Bob Example")
    await expect(page.get_by_test_id("entry")).to_have_count(3)
    await expect(step).to_have_attribute("data-revision", "1")
    await page.get_by_role("button", name="Newest step").click()
    await expect(step).to_have_attribute("data-revision", "3")


async def test_what_is_stuck_stands_out_with_the_reason(page: Page, address: str) -> None:
    """The server's sentence, put into its answer, since nothing gets stuck here in a test's time."""
    await register(page, address, "stuck@casewire.example")
    await new_case(page, "A stuck case")
    why = "Linking has been running for 2 min, but no worker holds it any more."

    async def troubled(route: Route) -> None:
        answer = await route.fetch()
        body: dict[str, Any] = await answer.json()
        for machine in body["machines"]:
            machine["troubles"] = [{"level": "stuck", "stage": "linking", "since": 1.0, "why": why}]
        await route.fulfill(response=answer, json=body)

    await page.route("**/api/machines?*", troubled)
    await page.goto(f"{address}/machines")
    trouble = page.get_by_test_id("trouble").first
    await expect(trouble).to_have_attribute("data-level", "stuck")
    await expect(trouble).to_contain_text(why)
    alarm = page.locator("[data-testid=alarm][data-level=stuck]")
    await alarm.click()
    await expect(alarm).to_have_attribute("aria-pressed", "true")
    await expect(page).to_have_url(re.compile("trouble=stuck"))
    await page.unroute_all(behavior="ignoreErrors")
