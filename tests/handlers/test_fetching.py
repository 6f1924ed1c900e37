"""Sources are read within limits: only those that are named, nothing private by accident, as robots may."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from handlers.addresses import is_public
from handlers.fetching import MOST_BYTES, Fetcher, NotRead, Page
from handlers.sources import sources_in
from tests.handlers.sites import Site, site
from tests.patience import PATIENCE_S


class Kept(dict[str, dict[str, bytes]]):
    """What was read, in memory."""

    async def get(self, url: str) -> dict[str, bytes]:  # type: ignore[override]
        return dict.get(self, url, {})

    async def put(self, url: str, fields: dict[str, bytes]) -> None:
        self[url] = fields


@pytest_asyncio.fixture
async def news() -> AsyncIterator[Site]:
    async with site() as made:
        yield made


async def fetched(*urls: str, question: str = "who?", kept: Kept | None = None) -> Page:
    sources = sources_in(" ".join(urls))
    cache = Kept() if kept is None else kept
    async with Fetcher(
        sources, agent="Casewire (+http://here)", cache=cache, timeout_s=PATIENCE_S
    ) as fetcher:
        return await fetcher.read(sources[0], question)


@pytest.mark.parametrize(
    "setting",
    [
        "ftp://news.example.org/",
        "news.example.org",
        "https://ann:secret@news.example.org/",
        "https://{query}.example.org/",
        "https://news.example.org/#part",
        " ".join(f"https://news.example.org/{i}" for i in range(21)),
    ],
)
def test_what_is_no_source_is_refused_when_the_settings_are_read(setting: str) -> None:
    with pytest.raises(ValueError, match=r"address|host|sources"):
        sources_in(setting)


def test_a_question_stands_in_an_address_as_text_alone() -> None:
    [source] = sources_in("https://law.example.org/?q={query}&n=1")
    assert source.address("Ann & Bob/../#?") == "https://law.example.org/?q=Ann%20%26%20Bob%2F..%2F%23%3F&n=1"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("100.64.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
    ],
)
def test_an_address_is_public_only_if_all_that_it_may_stand_for_is(address: str, public: bool) -> None:
    assert is_public(address) is public


async def test_a_page_is_read_under_a_name_that_tells_the_instance(news: Site) -> None:
    news.put("/a", b"<p>Hello</p>")
    page = await fetched(f"http://{news.host}/a")
    assert (page.content, page.media_type) == (b"<p>Hello</p>", "text/html")
    assert news.asked[-1][1]["user-agent"] == "Casewire (+http://here)"


async def test_a_private_address_is_not_connected_to_unless_its_port_is_written(news: Site) -> None:
    with pytest.raises(NotRead, match="private network; write its port"):
        await fetched("http://localhost/")
    with pytest.raises(NotRead, match="private network"):
        await fetched("https://127.0.0.1/")


async def test_a_source_leads_to_no_address_that_is_not_named(news: Site) -> None:
    async with site() as other:
        other.put("/secret", b"no")
        news.put("/a", b"", status=302, Location=f"http://{other.host}/secret")
        with pytest.raises(NotRead, match="CASEWIRE_SOURCES does not name"):
            await fetched(f"http://{news.host}/a")
        assert other.asked == []
        news.put("/b", b"", status=302, Location="file:///etc/passwd")
        with pytest.raises(NotRead, match="no address"):
            await fetched(f"http://{news.host}/b")


async def test_a_source_may_lead_elsewhere_on_its_own_site_but_not_for_ever(news: Site) -> None:
    news.put("/a", b"", status=301, Location="/b")
    news.put("/b", b"there")
    assert (await fetched(f"http://{news.host}/a")).url == f"http://{news.host}/b"
    news.put("/b", b"", status=301, Location="/a")
    with pytest.raises(NotRead, match="without end"):
        await fetched(f"http://{news.host}/a")


async def test_robots_are_respected_by_name_and_where_they_cannot_be_read(news: Site) -> None:
    news.put("/a", b"x")
    news.put("/robots.txt", b"User-agent: casewire\nDisallow: /a\n", "text/plain")
    with pytest.raises(NotRead, match=r"robots\.txt asks"):
        await fetched(f"http://{news.host}/a")
    assert "/a" not in news.paths()
    news.put("/robots.txt", b"User-agent: other\nDisallow: /\n", "text/plain")
    assert (await fetched(f"http://{news.host}/a")).content == b"x"
    news.put("/robots.txt", b"", status=503)
    with pytest.raises(NotRead, match="cannot be read"):
        await fetched(f"http://{news.host}/a")


async def test_what_is_too_large_is_left_alone_however_well_it_is_packed(news: Site) -> None:
    news.put("/a", b"x" * (MOST_BYTES + 1))
    with pytest.raises(NotRead, match="larger than 2 MiB"):
        await fetched(f"http://{news.host}/a")
    news.put("/b", gzip.compress(b"x" * (40 << 20)), Content_Encoding="gzip")
    with pytest.raises(NotRead, match="larger than 2 MiB"):
        await fetched(f"http://{news.host}/b")
    news.put("/c", gzip.compress(b"small"), Content_Encoding="gzip")
    assert (await fetched(f"http://{news.host}/c")).content == b"small"
    news.put("/d", b"?", Content_Encoding="br")
    with pytest.raises(NotRead, match="not asked for"):
        await fetched(f"http://{news.host}/d")


async def test_a_page_is_kept_for_an_hour_and_then_asked_for_only_if_it_changed(news: Site) -> None:
    kept = Kept()
    news.put("/a", b"old", ETag='"1"')
    first = await fetched(f"http://{news.host}/a", kept=kept)
    assert (await fetched(f"http://{news.host}/a", kept=kept)) == first
    assert news.paths().count("/a") == 1
    [fields] = kept.values()
    fields["fetched_at"] = b"1.0"
    again = await fetched(f"http://{news.host}/a", kept=kept)
    assert (again.content, again.fetched_at > first.fetched_at) == (b"old", True)
    assert news.asked[-1][1]["if-none-match"] == '"1"'


async def test_a_search_is_told_the_question_and_its_answer_is_not_kept(news: Site) -> None:
    kept = Kept()
    news.put("/?q=who%20paid%3F", b"found")
    page = await fetched(f"http://{news.host}/?q={{query}}", question="who paid?", kept=kept)
    assert (page.content, dict(kept)) == (b"found", {})


async def test_who_answers_with_an_error_or_not_at_all_is_named(news: Site) -> None:
    with pytest.raises(NotRead, match="status 404"):
        await fetched(f"http://{news.host}/nothing")
    with pytest.raises(NotRead):
        await fetched("http://127.0.0.1:9/")
