"""One bucket of an S3 store, as far as contents and uploads need it, with its errors in our words.

Every method blocks. A client of botocore may be used from many threads.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from urllib3.exceptions import HTTPError

from storage.blobs import BLOCK_BYTES, BlobsUnavailable
from storage.s3_place import KeyMissing, Part, S3Place

CONNECT_S, READ_S = 5.0, 60.0
TRIES = 3

_CREATING = threading.Lock()
"""Sessions, unlike clients, may not be used from several threads at a time."""

COPY_BYTES = 5 << 30
"""Most that a store copies in one request; what is larger is copied in parts."""
COPY_PART_BYTES = 1 << 30


class S3Bucket:
    """The objects of one bucket."""

    def __init__(self, place: S3Place, *, copy_bytes: int = COPY_BYTES, part_bytes: int = COPY_PART_BYTES):
        self.place = place
        self.name = place.bucket
        self._copy_bytes, self._copy_part_bytes = copy_bytes, part_bytes
        self._client = _client(place, place.endpoint)
        self._presigner = _client(place, place.public_endpoint) if place.public_endpoint else None

    def where(self) -> str:
        """Endpoint and bucket, for people."""
        return f"the bucket {self.name} at {self.place.endpoint}"

    def size(self, key: str) -> int:
        """Bytes of an object.

        Raises:
            KeyMissing: There is none.
        """
        return int(self._ask("head_object", Key=key)["ContentLength"])

    def has(self, key: str) -> bool:
        """Whether there is an object of that name."""
        try:
            self.size(key)
            return True
        except KeyMissing:
            # The answer to HEAD is the same where there is no bucket, in which nothing could be missing.
            self._ask("list_objects_v2", MaxKeys=1)
            return False

    def put(self, key: str, content: bytes) -> None:
        """Store an object."""
        self._ask("put_object", Key=key, Body=content, ContentType="application/octet-stream")

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Bytes `start`..`end` of an object; a connection that breaks is taken up where it broke.

        Raises:
            KeyMissing: There is none, or it was replaced meanwhile.
        """
        head = self._ask("head_object", Key=key)
        size, at, failures = int(head["ContentLength"]), start, 0
        end = size if end is None else min(end, size)
        while at < end:
            try:
                with self._asking():
                    answer = self._client.get_object(
                        Bucket=self.name, Key=key, Range=f"bytes={at}-{end - 1}", IfMatch=head["ETag"]
                    )
                    with answer["Body"] as body:
                        while block := body.read(BLOCK_BYTES):
                            at, failures = at + len(block), 0
                            yield block
                if at < end:
                    raise BlobsUnavailable(f"{self.where()} ended an answer too early")
            except BlobsUnavailable:
                failures += 1
                if failures == TRIES:
                    raise

    def copy(self, source: str, target: str) -> None:
        """Have the store copy an object; the target holds the whole of it or what it held before.

        Raises:
            KeyMissing: There is no such source.
        """
        size = self.size(source)
        origin = {"Bucket": self.name, "Key": source}
        if size <= self._copy_bytes:
            self._ask("copy_object", Key=target, CopySource=origin)
            return
        upload = self.begin(target)
        try:
            parts = []
            for number, at in enumerate(range(0, size, self._copy_part_bytes), 1):
                last = min(at + self._copy_part_bytes, size) - 1
                answer = self._ask(
                    "upload_part_copy", Key=target, UploadId=upload, PartNumber=number,
                    CopySource=origin, CopySourceRange=f"bytes={at}-{last}",
                )  # fmt: skip
                parts.append(Part(number, answer["CopyPartResult"]["ETag"], last + 1 - at))
            self.complete(target, upload, parts)
        except BaseException:
            self.abort(target, upload)
            raise

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        self._ask("delete_object", Key=key)

    def keys(self, prefix: str, *, before: float = math.inf) -> Iterator[str]:
        """The keys that begin so, sorted; only of objects written before a Unix time."""
        after = ""
        while True:
            options = {"StartAfter": after} if after else {}
            answer = self._ask("list_objects_v2", Prefix=prefix, **options)
            for one in answer.get("Contents", ()):
                after = one["Key"]
                if one["LastModified"].timestamp() < before:
                    yield after
            if not answer.get("IsTruncated"):
                return

    def uploads(self, prefix: str, *, before: float) -> list[tuple[str, str]]:
        """Key and id of uploads that were begun before a Unix time; a store may know only the newest 1,000.

        MinIO lists none by a prefix, and ends such uploads itself after a day.
        """
        answer = self._ask("list_multipart_uploads", Prefix=prefix)
        found = answer.get("Uploads", ())
        return [(one["Key"], one["UploadId"]) for one in found if one["Initiated"].timestamp() < before]

    def begin(self, key: str) -> str:
        """Begin an object that comes in parts, and return the id of its upload."""
        answer = self._ask("create_multipart_upload", Key=key, ContentType="application/octet-stream")
        return str(answer["UploadId"])

    def put_part(self, key: str, upload: str, number: int, content: bytes) -> Part:
        """Store part `number` (from 1) of an upload.

        Raises:
            KeyMissing: There is no such upload.
        """
        answer = self._ask("upload_part", Key=key, UploadId=upload, PartNumber=number, Body=content)
        return Part(number, answer["ETag"], len(content))

    def parts(self, key: str, upload: str) -> list[Part]:
        """The parts that are there, in order.

        Raises:
            KeyMissing: There is no such upload.
        """
        found: list[Part] = []
        while True:
            after = {"PartNumberMarker": found[-1].number} if found else {}
            answer = self._ask("list_parts", Key=key, UploadId=upload, **after)
            found += [Part(p["PartNumber"], p["ETag"], p["Size"]) for p in answer.get("Parts", ())]
            if not answer.get("IsTruncated"):
                return found

    def complete(self, key: str, upload: str, parts: list[Part]) -> None:
        """Make an object of its parts.

        Raises:
            KeyMissing: There is no such upload.
        """
        listed = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        self._ask("complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": listed})

    def abort(self, key: str, upload: str) -> None:
        """Forget an upload and its parts, if it is there."""
        try:
            self._ask("abort_multipart_upload", Key=key, UploadId=upload)
        except KeyMissing:
            return

    def presigned_part(self, key: str, upload: str, number: int, *, expires_s: int) -> str:
        """An address to which whoever has it may put one part, for so long."""
        assert self._presigner is not None, "the store is not reachable for clients"
        return str(
            self._presigner.generate_presigned_url(
                "upload_part",
                Params={"Bucket": self.name, "Key": key, "UploadId": upload, "PartNumber": number},
                ExpiresIn=expires_s,
            )
        )

    def _ask(self, operation: str, **parameters: Any) -> Any:
        with self._asking():
            return getattr(self._client, operation)(Bucket=self.name, **parameters)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            told = error.response.get("Error", {})
            code = str(told.get("Code", ""))
            if code in ("404", "NoSuchKey", "NotFound", "NoSuchUpload", "412", "PreconditionFailed"):
                raise KeyMissing(code) from error
            raise BlobsUnavailable(f"{self.where()} refused a request ({_hint(code, told)})") from error
        except (BotoCoreError, HTTPClientError, HTTPError) as error:
            raise BlobsUnavailable(f"{self.where()} does not answer ({type(error).__name__})") from error


def _hint(code: str, told: dict[str, Any]) -> str:
    hints = {
        "NoSuchBucket": "there is no such bucket; create it, or correct S3_BUCKET",
        "InvalidAccessKeyId": "the key is unknown; correct S3_ACCESS_KEY",
        "SignatureDoesNotMatch": "the secret is wrong; correct S3_SECRET_KEY, or S3_REGION",
        "AccessDenied": "the key may not do that; let it read, write, list and delete in this bucket",
        "403": "the key, its secret or its rights are wrong; check S3_ACCESS_KEY and S3_SECRET_KEY",
    }
    return hints.get(code) or str(told.get("Message") or code)


def _client(place: S3Place, endpoint: str) -> Any:
    # Names of buckets are hosts at Amazon; elsewhere they mostly are not, and are part of the path.
    of_amazon = (urlsplit(endpoint).hostname or "").endswith(".amazonaws.com")
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "virtual" if of_amazon else "path"},
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"mode": "standard", "total_max_attempts": TRIES},
        max_pool_connections=32,
        # Other stores than Amazon's do not know the newer checksums; we compare SHA-256 ourselves.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    with _CREATING:
        return _session().client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=place.access_key,
            aws_secret_access_key=place.secret_key,
            region_name=place.region,
            config=config,
        )


@cache
def _session() -> Any:
    """One for all clients: each session reads megabytes of botocore's descriptions of S3 for itself."""
    return boto3.session.Session()
