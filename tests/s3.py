"""An S3 store for tests: moto's, over real HTTP on the loopback, or the one that TEST_S3_ENDPOINT names."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from secrets import token_hex

from moto.server import ThreadedMotoServer

from storage.s3_bucket import S3Bucket
from storage.s3_place import S3Place


@contextmanager
def s3_store() -> Iterator[S3Place]:
    """A store in which buckets can be made; `bucket` of the place is empty."""
    endpoint = os.environ.get("TEST_S3_ENDPOINT")
    if endpoint:
        key, secret = os.environ["TEST_S3_ACCESS_KEY"], os.environ["TEST_S3_SECRET_KEY"]
        yield S3Place(endpoint, "", key, secret, os.environ.get("TEST_S3_REGION", "us-east-1"))
        return
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3Place(f"http://{host}:{port}", "", "a-key", "a-secret", "us-east-1")
    finally:
        server.stop()


def s3_version() -> str:
    """What the store is; S3 has no way to ask it."""
    if os.environ.get("TEST_S3_ENDPOINT"):
        return os.environ.get("TEST_S3_VERSION", "the store of TEST_S3_ENDPOINT")
    return f"moto {version('moto')}"


@contextmanager
def s3_bucket(store: S3Place) -> Iterator[S3Place]:
    """A bucket of its own, removed afterwards with all it holds."""
    place = replace(store, bucket=f"casewire-test-{token_hex(8)}")
    bucket = S3Bucket(place)
    client = bucket._client
    client.create_bucket(Bucket=place.bucket)
    try:
        yield place
    finally:
        for key in list(bucket.keys("")):
            bucket.delete(key)
        for upload in client.list_multipart_uploads(Bucket=place.bucket).get("Uploads", ()):
            bucket.abort(upload["Key"], upload["UploadId"])
        client.delete_bucket(Bucket=place.bucket)
