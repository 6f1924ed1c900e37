"""A file that the browser sends straight to the S3 store, from another origin, in parts."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from storage.blobs_s3 import key_of
from storage.s3_bucket import S3Bucket
from storage.s3_place import S3Place
from tests.bench.serving import serving
from tests.browser.test_main_job import new_case, register

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

CONTENT = b"\x00\x01" + os.urandom(20 << 20)
"""Two parts, of no kind that can be read: what counts here is the way."""


async def test_a_file_goes_to_the_store_in_parts_and_is_verified_there(
    page: Page, s3_place: S3Place, tmp_path: Path
) -> None:
    path = tmp_path / "recording.bin"
    path.write_bytes(CONTENT)
    put: list[int] = []
    page.on("request", lambda asked: put.append(1) if asked.url.startswith(s3_place.endpoint) else None)
    async with serving(
        S3_ENDPOINT=s3_place.endpoint,
        S3_PUBLIC_ENDPOINT=s3_place.endpoint,
        S3_BUCKET=s3_place.bucket,
        S3_ACCESS_KEY=s3_place.access_key,
        S3_SECRET_KEY=s3_place.secret_key,
    ) as address:
        await register(page, address, "ada@direct.example")
        await new_case(page, "Sent straight")
        await page.locator("input[type=file]").first.set_input_files(path)
        upload = page.get_by_test_id("upload")
        await expect(upload).to_have_attribute("data-state", "failed")
        await expect(upload).to_contain_text("binary data")
        await page.goto("about:blank")
    assert len(put) >= 2
    bucket = S3Bucket(s3_place)
    assert list(bucket.keys("uploads/")) == []
    assert bucket.size(key_of(hashlib.sha256(CONTENT).hexdigest())) == len(CONTENT)
