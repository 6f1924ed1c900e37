"""Signed heads of the custody chains, kept in a file outside the database.

    custody/key.pem        Ed25519 private key, readable by its owner alone
    custody/heads.jsonl    one line a head, only ever appended to

A line names the key that signed it and holds the SHA-256 of the line before, so that one which is taken
out shows. Whoever can write both the database and this folder can forge a chain; copies of the file kept
elsewhere are what makes that show.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

logger = logging.getLogger(__name__)


class HeadsError(Exception):
    """The key or the heads cannot be read; the text says which and why."""


@dataclass(frozen=True)
class Head:
    """Row `seq` of a topic's chain had `hash` at Unix time `at`; `valid` if the signature says so, too.

    Attributes:
        key: Hex of the public key that the line names; "" in lines of an earlier release.
        follows: Whether the line follows the one before it in the file.
        signature: Hex.
        message: What was signed.
        line: Its number in the file, from 1.
    """

    topic: str
    seq: int
    hash: str
    at: float
    valid: bool
    key: str = ""
    follows: bool = True
    signature: str = ""
    message: bytes = b""
    line: int = 0


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
        self._drop_torn_line(descriptor)
        public, before = hex_of(key.public_key()), _digest(_last_line(self._file))
        lines = bytearray()
        for topic, (seq, digest) in sorted(heads.items()):
            told = {"topic": topic, "seq": seq, "hash": digest, "at": at, "before": before, "key": public}
            line = orjson.dumps(told | {"signature": key.sign(_message(told)).hex()})
            lines += line + b"\n"
            before = _digest(line)
        os.write(descriptor, lines)
        os.fsync(descriptor)

    def read(self, topic: str | None = None) -> list[Head]:
        """The heads of one topic or of all, oldest first; only this instance's key makes one valid.

        Raises:
            HeadsError: A line is no head, or there are heads and no key to check them with.
        """
        if not self._file.exists() or not self._file.stat().st_size:
            return []
        public = self.public_key()
        mine = ("", hex_of(public))
        return [
            head if head.key in mine else replace(head, valid=False)
            for head in heads_in(self._file, public)
            if topic in (None, head.topic)
        ]

    def public_key(self) -> Ed25519PublicKey:
        """What this instance's signatures are checked with.

        Raises:
            HeadsError: The key cannot be read.
        """
        return self._key(create=False).public_key()

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


def heads_in(file: Path, public: Ed25519PublicKey) -> list[Head]:
    """The heads of a file, oldest first; each is checked with the key that it names, else with `public`.

    Raises:
        HeadsError: It cannot be read, or a line is no head.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise HeadsError(f"{file} cannot be read: {error}") from error
    heads: list[Head] = []
    before = b""
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):  # cut short by a loss of power; the next `sign` removes it
            continue
        try:
            heads.append(_head(orjson.loads(line), number, before, public))
        except (ValueError, KeyError, TypeError) as error:
            raise HeadsError(f"{file}, line {number}: not a signed head") from error
        before = line[:-1]
    return heads


def pem_of(public: Ed25519PublicKey) -> str:
    """The key as other programs read it."""
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def hex_of(public: Ed25519PublicKey) -> str:
    """The key as heads name it: its 32 bytes in hex."""
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def _head(found: dict[str, Any], number: int, before: bytes, public: Ed25519PublicKey) -> Head:
    signature, key = str(found["signature"]), str(found.get("key", ""))
    signer = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)) if key else public
    message = _message(found)
    try:
        signer.verify(bytes.fromhex(signature), message)
        valid = True
    except InvalidSignature:
        valid = False
    return Head(
        found["topic"],
        found["seq"],
        found["hash"],
        found["at"],
        valid,
        key=key,
        follows="before" not in found or found["before"] == _digest(before),
        signature=signature,
        message=message,
        line=number,
    )


def _message(told: Mapping[str, Any]) -> bytes:
    names = (
        ("topic", "seq", "hash", "at", "before", "key")
        if "before" in told
        else ("topic", "seq", "hash", "at")
    )
    return orjson.dumps([told[name] for name in names])


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest() if line else ""


def _last_line(file: Path) -> bytes:
    content = file.read_bytes()
    return content[content.rfind(b"\n", 0, -1) + 1 : -1] if content else b""
