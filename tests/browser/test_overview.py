"""What tells of a case as a whole, in a real browser: topics, similar documents, same names, the timeline."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.filling import add_poi, fill, look
from tests.browser.test_main_job import new_case, register

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

COPPER = {
    f"copper-{day}.txt": f"On {day} June 2033 copper left the harbour on the ship of Captain Ole Falk. The "
    f"copper was loaded at the quay, and the ship of copper was weighed {words} before it left.\n"
    for day, words in ((3, "twice"), (4, "once"), (5, "by Tobias Brandt"), (6, "at night"))
}
RECIPES = {
    "Onions": "Cut onions into rings and let them soften in butter. Pour on broth, and let the soup simmer.",
    "Carrots": "Carrots and ginger make a warm soup: boil both in broth, then blend it with cream.",
    "Leeks": "For a soup of leeks and potatoes, fry the leeks gently, add broth, season with salt.",
    "Turnips": "Roast turnips in the oven first. Their soup wants pepper and a bay leaf in the broth.",
}
SOUP = {f"soup-{name.lower()}.txt": f"{name} for the pot\n\n{words}\n" for name, words in RECIPES.items()}


def mail(day: int, sender: str, reader: str, words: str) -> str:
    addresses = {"Martha Quilling": "m.quilling@harbour.example", "Ole Falk": "ole.falk@vellum.example"}
    return (
        f"From: {sender} <{addresses[sender]}>\nTo: {reader} <{addresses[reader]}>\n"
        f"Date: {day} Aug 2033 10:12:00 +0000\nSubject: Papers of the ship\n\n{words}\n"
    )


MAILS = {
    "first.eml": mail(8, "Ole Falk", "Martha Quilling", "Martha, I have had no papers since 4 June 2033."),
    "second.eml": mail(9, "Martha Quilling", "Ole Falk", "Ole, M. Quilling signed them all."),
}


async def test_a_topic_lists_its_evidence_and_a_document_those_that_are_like_it(
    page: Page, address: str, tmp_path: Path
) -> None:
    await register(page, address, "ada.topics@casewire.example")
    await new_case(page, "Copper and soup")
    await fill(page, tmp_path, COPPER | SOUP)
    topics = page.get_by_test_id("topics").get_by_role("button")
    about_copper = re.compile("copper|ship|quay|loaded|weighed|Falk|Captain|harbour", re.I)
    copper, soup = topics.filter(has_text=about_copper), topics.filter(has_not_text=about_copper)
    await expect(copper).to_have_count(1, timeout=180_000)  # made once a minute
    await expect(soup).to_have_count(1)
    rows = page.locator("#evidence-list > li")
    await expect(rows).to_have_count(len(COPPER | SOUP))

    await copper.focus()
    await page.keyboard.press("Enter")
    await expect(copper).to_have_attribute("aria-pressed", "true")
    await expect(rows).to_have_count(len(COPPER))
    assert all("copper" in text for text in await rows.all_inner_texts())
    await expect(page.get_by_test_id("filter-count")).to_have_text("4 pieces of evidence found")
    await look(page, "topic")
    await soup.click()
    await expect(rows.filter(has_text="soup-")).to_have_count(len(SOUP))
    await expect(rows).to_have_count(len(SOUP))
    await soup.click()
    await expect(rows).to_have_count(len(COPPER | SOUP))

    await rows.filter(has_text="soup-leeks").get_by_role("link").first.click()
    similar = page.get_by_test_id("similar-documents")
    await expect(similar.get_by_role("listitem").first).to_contain_text("% alike in meaning")
    names = await similar.get_by_role("link").all_inner_texts()
    assert set(names[:3]) == {f"{name} for the pot" for name in RECIPES if name != "Leeks"}
    await look(page, "similar")
    await similar.get_by_role("link").first.click()
    await expect(page.get_by_role("heading", name=names[0])).to_be_visible(timeout=30_000)


async def test_names_are_judged_in_two_columns_by_key_and_a_verdict_is_undone(
    page: Page, address: str, tmp_path: Path
) -> None:
    await register(page, address, "ada.names@casewire.example")
    await new_case(page, "The ship")
    await fill(page, tmp_path, MAILS)
    await add_poi(page, "Martha Quilling")
    case = page.url
    await page.get_by_role("link", name="Same names").click()
    sides = page.get_by_test_id("name-side")
    await expect(sides).to_have_count(2)
    await expect(sides.locator("mark").first).to_be_visible()
    await look(page, "names")
    pair = sorted(await sides.get_by_role("heading").all_inner_texts())
    waiting = page.get_by_text(re.compile(r"^\d+ pairs? waits?"))
    before = int((await waiting.inner_text()).split()[0])

    await page.keyboard.press("s")
    judged = page.get_by_test_id("name-verdict")
    await expect(judged).to_have_count(1)
    await expect(judged).to_contain_text(": the same")
    await page.keyboard.press("z")
    await expect(judged).to_have_count(0)
    await expect(waiting).to_contain_text(re.compile(f"^{before} "))
    assert sorted(await sides.get_by_role("heading").all_inner_texts()) == pair
    await page.get_by_role("button", name="Different").click()
    await expect(judged).to_contain_text(": different")
    await page.reload()
    await expect(judged).to_have_count(1)
    for name in pair:
        await expect(judged).to_contain_text(name)

    await page.goto(case)
    await expect(page.get_by_role("link", name="Same names")).to_be_visible()


async def test_the_timeline_is_chosen_by_month_with_the_keyboard_by_person_and_leads_to_its_source(
    page: Page, address: str, tmp_path: Path
) -> None:
    await register(page, address, "ada.timeline@casewire.example")
    await new_case(page, "The ship by day")
    await fill(page, tmp_path, COPPER | MAILS)
    await page.get_by_role("link", name="Timeline").click()
    entries = page.get_by_test_id("timeline-entry")
    await expect(entries).to_have_count(7)
    assert [await one.get_attribute("data-kind") for one in await entries.all()] == [
        *["told"] * 5,
        *["mail"] * 2,
    ]
    await look(page, "timeline")

    months = page.get_by_test_id("month")
    await expect(months).to_have_count(2)
    await page.get_by_label("Until").focus()
    await page.keyboard.press("Tab")
    await expect(months.first).to_be_focused()
    await page.keyboard.press("ArrowRight")
    await expect(months.last).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(months.last).to_have_attribute("aria-pressed", "true")
    await expect(entries).to_have_count(2)
    await expect(entries.first).to_contain_text("Mail: Ole Falk to Martha Quilling")
    await expect(months).to_have_count(2)
    await look(page, "timeline-month")
    await page.get_by_role("button", name="Show all times").click()
    await expect(entries).to_have_count(7)

    await page.get_by_label("About").select_option(label="Martha Quilling")
    await expect(entries).to_have_count(3)
    await expect(entries.first).to_contain_text("no papers since 4 June 2033")
    await entries.first.get_by_role("link").click()
    await expect(page.get_by_test_id("place").first).to_contain_text("4 June 2033")
