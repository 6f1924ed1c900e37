"""Contents over HTTP: ranges as the standard says, and nothing that a browser could run."""

from __future__ import annotations

import asyncio
import contextlib
import email
import os

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.contents import disposition
from server.ranges import MOST_RANGES, Span, Unsatisfiable, spans_of
from storage.blobs import BLOCK_BYTES
from storage.blobs_disk import DiskBlobs
from tests.server.live import Live, Person
from tests.server.runtime_parts import until
from tests.server.test_evidence import evidence_of

ETAG = '"x"'


@given(st.binary(min_size=1, max_size=30), st.integers(0, 40), st.integers(0, 40))
def test_a_range_means_what_the_standard_says(content: bytes, a: int, b: int) -> None:
    size, first, last = len(content), min(a, b), max(a, b)
    wanted = content[first : last + 1]
    if wanted:
        (span,) = spans_of(f"bytes={first}-{last}", None, ETAG, size)
        assert content[span.start : span.end] == wanted
    else:
        with pytest.raises(Unsatisfiable):
            spans_of(f"bytes={first}-{last}", None, ETAG, size)
    if b:
        (tail,) = spans_of(f"bytes=-{b}", None, ETAG, size)
        assert content[tail.start : tail.end] == content[-b:]


@given(st.text(max_size=40))
def test_whatever_a_header_says_no_byte_outside_is_named(header: str) -> None:
    try:
        spans = spans_of(f"bytes={header}", None, ETAG, 100)
    except Unsatisfiable:
        return
    assert all(0 <= span.start < span.end <= 100 for span in spans)


@pytest.mark.parametrize(
    "header",
    [
        None, "", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "lines=0-5", "bytes=0-5-9",
        "bytes=0-5,3-9", "bytes=" + ",".join(f"{2 * i}-{2 * i}" for i in range(MOST_RANGES + 1)),
    ],
)  # fmt: skip
def test_what_is_no_range_or_not_worth_it_is_ignored(header: str | None) -> None:
    assert spans_of(header, None, ETAG, 100) == []


def test_a_range_of_another_content_is_ignored() -> None:
    assert spans_of("bytes=0-4", ETAG, ETAG, 100) == [Span(0, 5)]
    for other in ('"y"', f"W/{ETAG}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        assert spans_of("bytes=0-4", other, ETAG, 100) == []


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200,300-", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_met(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        spans_of(header, None, ETAG, 100)


@given(st.text(max_size=60))
def test_no_name_ends_a_header_or_names_a_folder(name: str) -> None:
    header = disposition("attachment", name)
    assert header.isascii()
    assert not any(ord(letter) < 32 for letter in header)
    message = email.message_from_string(f"Content-Disposition: {header}\n\n")
    given = message.get_filename()
    assert given
    assert "/" not in given


async def test_ranges_come_singly_and_several_at_once(live: Live) -> None:
    content = os.urandom(2 * BLOCK_BYTES + 5)
    async with live.person() as ann:
        path = f"/api/evidence/{await evidence_of(live, ann, content)}/content"

        async def get(**headers: str) -> httpx.Response:
            return await ann.http.get(path, headers=headers)

        whole = await get()
        etag = whole.headers["etag"]
        assert (whole.status_code, whole.content) == (200, content)
        assert whole.headers["content-length"] == str(len(content))
        part = await get(Range="bytes=7-1048600", **{"If-Range": etag})
        assert (part.status_code, part.content) == (206, content[7:1048601])
        assert (await get(Range="bytes=0-3", **{"If-Range": '"other"'})).content == content
        beyond = await get(Range=f"bytes={len(content)}-")
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
        assert (await get(**{"If-None-Match": etag})).status_code == 304
        several = await get(Range="bytes=-5, 0-3")
        assert several.headers["content-length"] == str(len(several.content))
        head = f"Content-Type: {several.headers['content-type']}\r\n\r\n".encode()
        parts = email.message_from_bytes(head + several.content).get_payload()
        assert [part.get_payload(decode=True) for part in parts] == [content[-5:], content[:4]]  # type: ignore[union-attr]
        assert parts[1]["Content-Range"] == f"bytes 0-3/{len(content)}"  # type: ignore[index,call-overload]
        for headers in ({}, {"Range": "bytes=3-9"}):
            asked = await ann.http.head(path, headers=headers)
            answered = await ann.http.get(path, headers=headers)
            assert (asked.status_code, asked.content) == (answered.status_code, b"")
            assert asked.headers["content-length"] == answered.headers["content-length"]


@pytest.mark.parametrize(
    "media_type",
    ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/javascript"],
)
async def test_what_a_browser_could_run_is_only_downloaded(live: Live, media_type: str) -> None:
    async with live.person() as ann:
        evidence = await evidence_of(live, ann, b"<script>alert(1)</script>", "a.html", media_type)
        told = (await ann.http.get(f"/api/evidence/{evidence}/content")).headers
        assert told["content-disposition"].startswith("attachment")
        assert told["content-type"] == "application/octet-stream"
        assert told["x-content-type-options"] == "nosniff"
        assert told["content-security-policy"].startswith("sandbox;")


async def test_recordings_and_pictures_are_shown_in_ranges(live: Live) -> None:
    async with live.person() as ann:
        for media_type in ("video/mp4", "audio/mpeg", "image/jpeg"):
            evidence = await evidence_of(live, ann, media_type.encode(), "a.bin", media_type)
            path = f"/api/evidence/{evidence}/content"
            told = await ann.http.get(path, headers={"Range": "bytes=0-1"})
            assert (told.status_code, told.headers["content-type"]) == (206, media_type)
            assert told.headers["content-disposition"].startswith("inline")


async def test_a_damaged_content_is_refused_and_one_that_turns_out_so_ends_short(live: Live) -> None:
    blobs = live.parts.blobs
    assert isinstance(blobs, DiskBlobs)
    content = os.urandom(3 * BLOCK_BYTES)
    async with live.person() as ann:
        evidence = await evidence_of(live, ann, content)
        row = await live.parts.evidence.get(evidence)
        blobs.address(row.sha256).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        path = f"/api/evidence/{evidence}/content"
        with pytest.raises(httpx.RemoteProtocolError):
            await ann.http.get(path)
        refused = await ann.http.get(path)
        assert (refused.status_code, refused.json()["code"]) == (410, "content.damaged")
        assert "upload the file again" in refused.json()["detail"]


async def test_pictures_made_from_a_file_are_shown_by_name_and_nothing_else_is(live: Live) -> None:
    async with live.person() as ann:
        evidence = await evidence_of(live, ann, b"a video", "a.mp4", "video/mp4")
        made = [
            await derived(live, "still-1.webp", "image/webp", b"a still"),
            await derived(live, "page.html", "text/html", b"<script>"),
        ]
        await live.parts.evidence.store_text(
            evidence, title="A", text="", pages=[], meta={"derived": made}, chunks=[]
        )
        path = f"/api/evidence/{evidence}/derived"
        still = await ann.http.get(f"{path}/still-1.webp")
        assert (still.content, still.headers["content-type"]) == (b"a still", "image/webp")
        for name in ("page.html", "still-2.webp", "..%2F..%2Fetc%2Fpasswd"):
            assert (await ann.http.get(f"{path}/{name}")).status_code == 404
        async with live.person("eve") as eve:
            assert (await eve.http.get(f"{path}/still-1.webp")).status_code == 404


async def derived(live: Live, name: str, media_type: str, content: bytes) -> dict[str, object]:
    writer = live.parts.blobs.open_writer()
    writer.write(content)
    sha256, size = await asyncio.to_thread(writer.commit)
    return {"name": name, "media_type": media_type, "sha256": sha256, "bytes": size}


async def test_who_leaves_in_the_middle_leaves_no_file_open(live: Live) -> None:
    content = os.urandom(20 * BLOCK_BYTES)
    async with live.person() as ann:
        path = f"/api/evidence/{await evidence_of(live, ann, content)}/content"
        for _ in range(3):
            await _leave_early(ann, path)
        blobs = str(live.parts.settings.data_dir / "blobs")

        async def all_closed() -> bool:
            return not any(blobs in name for name in _open_files())

        await until(all_closed)


def _open_files() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found


async def _leave_early(ann: Person, path: str) -> None:
    async with ann.http.stream("GET", path) as response:
        async for _ in response.aiter_bytes():
            break
