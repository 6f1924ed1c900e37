"""Pictures of evidence over HTTP: to whom, in which headers, and written down."""

from __future__ import annotations

import io

import orjson
from PIL import Image
from sqlalchemy import text

from tests.handlers.test_page_pictures import pdf, picture
from tests.server.live import Live
from tests.server.test_contents import derived
from tests.server.test_evidence import evidence_of


async def test_pages_and_thumbnails_are_shown_to_members_and_noted(live: Live) -> None:
    async with live.person() as ann, live.person("eve") as eve:
        evidence = await evidence_of(live, ann, pdf((1, 0, 0), (0, 1, 0)))
        path = f"/api/evidence/{evidence}"
        page = await ann.http.get(f"{path}/pages/2.webp?width=480")
        assert (page.status_code, page.headers["content-type"]) == (200, "image/webp")
        assert Image.open(io.BytesIO(page.content)).size == (480, 320)
        assert page.headers["cache-control"].startswith("private")
        assert page.headers["x-content-type-options"] == "nosniff"
        again = await ann.http.get(
            f"{path}/pages/2.webp?width=480", headers={"If-None-Match": page.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")
        small = await ann.http.get(f"{path}/thumbnail")
        assert Image.open(io.BytesIO(small.content)).width == 320
        assert small.headers["etag"] != page.headers["etag"]
        for address in (f"{path}/thumbnail", f"{path}/pages/2.webp"):
            hidden = await eve.http.get(address, headers={"If-None-Match": page.headers["etag"]})
            assert hidden.status_code == 404
        async with live.parts.database.connect() as connection:
            rows = await connection.execute(text("SELECT content FROM journal WHERE what = 'access'"))
            found = [orjson.loads(bytes(row[0]))["data"] for row in rows]
        assert found == [{"who": ann.id, "what": "preview", "evidence": evidence}]


async def test_what_has_no_picture_is_told_with_a_reason(live: Live) -> None:
    async with live.person() as ann:
        path = f"/api/evidence/{await evidence_of(live, ann, pdf((1, 0, 0)))}/pages"
        for page in ("2", "0", "999999"):
            told = await ann.http.get(f"{path}/{page}.webp")
            assert (told.status_code, told.json()["code"]) == (404, "picture.none")
        for width in ("100", "161", "9600", "wide"):
            assert (await ann.http.get(f"{path}/1.webp?width={width}")).status_code == 422
        assert (await ann.http.get(f"{path}/one.webp")).status_code == 422


async def test_the_thumbnail_of_a_recording_is_its_first_still(live: Live) -> None:
    async with live.person() as ann:
        evidence = await evidence_of(live, ann, b"a video", "a.mp4", "video/mp4")
        path = f"/api/evidence/{evidence}/thumbnail"
        assert (await ann.http.get(path)).status_code == 404
        made = await derived(live, "still.png", "image/png", picture("PNG", (640, 360)))
        await live.parts.evidence.store_text(
            evidence, title="A", text="", pages=[], meta={"derived": [made]}, chunks=[]
        )
        small = await ann.http.get(path)
        assert Image.open(io.BytesIO(small.content)).size == (320, 180)
