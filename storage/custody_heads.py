"""Signed heads of the custody chains, kept in a file outside the database.

    custody/key.pem        Ed25519 private key, readable by its owner alone
    custody/heads.jsonl    one line a head, only ever appended to

Whoever can write both the database and this folder can forge a chain; copies of the file kept
elsewhere are what makes that show.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

logger = logging.getLogger(__name__)


class HeadsError(Exception):
    """The key or the heads cannot be read; the text says which and why."""


@dataclass(frozen=True)
class Head:
    """Row `seq` of a topic's chain had `hash` at Unix time `at`; `valid` if the signature says so, too."""

    topic: str
    seq: int
    hash: str
    at: float
    valid: bool


class CustodyHeads:
    """The folder `custody` of one instance; only the servers of its data folder write it."""

    def __init__(self, folder: Path) -> None:
        self._key_file = folder / "key.pem"
        self._file = folder / "heads.jsonl"

    def sign(self, heads: Mapping[str, tuple[int, str]]) -> None:
        """Append a signed head for each topic (its last row's number and hash), and sync the disk.

        Raises:
            HeadsError: The key cannot be read.
        """
        if not heads:
            return
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # Of several processes of an instance each signs what it made longer.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._append(descriptor, heads)
        finally:
            os.close(descriptor)

    def _append(self, descriptor: int, heads: Mapping[str, tuple[int, str]]) -> None:
        key, at = self._key(), round(time.time(), 3)
        lines = bytearray()
        for topic, (seq, digest) in sorted(heads.items()):
            signature = key.sign(_message(topic, seq, digest, at)).hex()
            line = {"topic": topic, "seq": seq, "hash": digest, "at": at, "signature": signature}
            lines += orjson.dumps(line) + b"\n"
        self._drop_torn_line(descriptor)
        os.write(descriptor, lines)
        os.fsync(descriptor)

    def read(self, topic: str | None = None) -> list[Head]:
        """The heads of one topic or of all, oldest first.

        Raises:
            HeadsError: A line is no head, or there are heads and no key to check them with.
        """
        if not self._file.exists() or not self._file.stat().st_size:
            return []
        public = self._key(create=False).public_key()
        heads = []
        for number, line in enumerate(self._file.read_bytes().splitlines(keepends=True), 1):
            if not line.endswith(b"\n"):  # cut short by a loss of power; the next `sign` removes it
                continue
            try:
                found = orjson.loads(line)
                name, seq, digest, at = found["topic"], found["seq"], found["hash"], found["at"]
                signature = bytes.fromhex(found["signature"])
            except (ValueError, KeyError, TypeError) as error:
                raise HeadsError(f"{self._file}, line {number}: not a signed head") from error
            if topic is not None and name != topic:
                continue
            try:
                public.verify(signature, _message(name, seq, digest, at))
                valid = True
            except InvalidSignature:
                valid = False
            heads.append(Head(name, seq, digest, at, valid))
        return heads

    def _drop_torn_line(self, descriptor: int) -> None:
        content = self._file.read_bytes()
        if content and not content.endswith(b"\n"):
            os.ftruncate(descriptor, content.rfind(b"\n") + 1)
            logger.warning("An incomplete signed head was removed.", extra={"action": "custody.torn"})

    def _key(self, *, create: bool = True) -> Ed25519PrivateKey:
        if create and not self._key_file.exists():
            self._create_key()
        try:
            key = load_pem_private_key(self._key_file.read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise HeadsError(f"the signing key {self._key_file} cannot be read: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise HeadsError(f"{self._key_file} is not an Ed25519 key")
        return key

    def _create_key(self) -> None:
        self._key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        draft = self._key_file.with_name(f"key.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, pem)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(draft, self._key_file)


def _message(topic: str, seq: int, digest: str, at: float) -> bytes:
    return orjson.dumps([topic, seq, digest, at])
