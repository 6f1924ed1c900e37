"""Encrypted OpenDocument files: each part, or the whole package, under a key made from the password.

Source: OASIS, Open Document Format 1.2 part 3, section 3.4; AES-GCM and Argon2id are what LibreOffice
writes since 24.8.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from handlers.parsing.markup import Element, attribute, child, children
from handlers.parsing.opened import needed
from handlers.parsing.package import MOST_TREE_BYTES, Package
from handlers.parsing.parsed import Unreadable

WHOLE = "encrypted-package"
"""The part that holds the whole document, where not every part is encrypted by itself."""

_MOST_ROUNDS = 10_000_000
_MOST_ARGON_KIB = 256 << 10


@dataclass(frozen=True)
class _Lock:
    """How one part is encrypted."""

    cipher: str
    vector: bytes
    checksum: bytes
    checksum_name: str
    start: str
    derivation: str
    salt: bytes
    rounds: int
    key_bytes: int
    lanes: int
    memory_kib: int


class Unlocked(Package):
    """An OpenDocument package whose encrypted parts read as if they were not.

    Raises:
        PasswordNeeded: It is encrypted, and there is no password or it is wrong.
        Unreadable: As `Package`, or it is encrypted in a way that is not known.
    """

    def __init__(self, file: IO[bytes], password: str) -> None:
        super().__init__(file)
        self._password = password
        self._keys: dict[tuple[object, ...], bytes] = {}
        self._locks: dict[str, _Lock] = {}
        for entry in children(super().xml("META-INF/manifest.xml"), "file-entry"):
            said = child(entry, "encryption-data")
            if said is not None:
                self._locks[attribute(entry, "full-path").lower()] = _lock(said)
        if self._locks and not password:
            raise needed(password)

    @property
    def whole(self) -> IO[bytes] | None:
        """The document inside, where all of it is one encrypted part."""
        return io.BytesIO(self.content(WHOLE)) if WHOLE in self._locks else None

    def content(self, name: str) -> bytes:
        """As `Package.content`, decrypted and unpacked."""
        lock = self._locks.get(name.lower())
        if lock is None:
            return super().content(name)
        with super().open(name) as file:
            sealed = file.read()
        return self._opened(sealed, lock)

    def open(self, name: str) -> IO[bytes]:
        """As `Package.open`, decrypted and unpacked in memory."""
        if name.lower() in self._locks:
            return io.BytesIO(self.content(name))
        return super().open(name)

    def blocks(self, name: str, size: int = 1 << 20) -> Iterator[bytes]:
        """As `Package.blocks`."""
        with self.open(name) as file:
            while block := file.read(size):
                yield block

    def _opened(self, sealed: bytes, lock: _Lock) -> bytes:
        try:
            key = self._key(lock)
            packed = _decrypted(sealed, lock, key)
        except (ValueError, UnsupportedAlgorithm, MemoryError) as error:
            raise Unreadable("the document is encrypted in a way that cannot be read") from error
        except InvalidTag as error:
            raise needed(self._password) from error
        if lock.checksum:
            start = packed[:1024] if lock.checksum_name.endswith("1k") else packed
            if hashlib.new(_hash(lock.checksum_name), start).digest() != lock.checksum:
                raise needed(self._password)
        if packed.startswith(b"PK\x03\x04"):
            return packed
        try:
            unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
            content = unpacking.decompress(packed, MOST_TREE_BYTES)
        except zlib.error as error:
            if lock.checksum:
                raise Unreadable("a part of the encrypted document is damaged") from error
            raise needed(self._password) from error
        if unpacking.unconsumed_tail:
            raise Unreadable(f"a part of the document is larger than {MOST_TREE_BYTES >> 20} MiB")
        return content

    def _key(self, lock: _Lock) -> bytes:
        """A key from the password; deriving it is slow by intention, so it is kept."""
        wanted = (
            lock.derivation,
            lock.start,
            lock.salt,
            lock.rounds,
            lock.key_bytes,
            lock.lanes,
            lock.memory_kib,
        )
        if wanted not in self._keys:
            start = hashlib.new(_hash(lock.start), self._password.encode("utf-8")).digest()
            if "argon2" in lock.derivation.lower():
                if lock.memory_kib > _MOST_ARGON_KIB or lock.rounds > 100 or lock.lanes > 64:
                    raise ValueError("too expensive")
                derive: Argon2id | PBKDF2HMAC = Argon2id(
                    salt=lock.salt,
                    length=lock.key_bytes,
                    iterations=lock.rounds,
                    lanes=lock.lanes,
                    memory_cost=lock.memory_kib,
                )
            elif lock.derivation.upper().endswith("PBKDF2") and 0 < lock.rounds <= _MOST_ROUNDS:
                derive = PBKDF2HMAC(hashes.SHA1(), lock.key_bytes, lock.salt, lock.rounds)
            else:
                raise ValueError("an unknown derivation")
            self._keys[wanted] = derive.derive(start)
        return self._keys[wanted]


def _decrypted(sealed: bytes, lock: _Lock, key: bytes) -> bytes:
    name = lock.cipher.lower()
    if "gcm" in name:
        # The vector stands before the content.
        return AESGCM(key).decrypt(sealed[:12], sealed[12:], None)
    if "blowfish" in name:
        reading = Cipher(Blowfish(key), CFB(lock.vector)).decryptor()
        return reading.update(sealed) + reading.finalize()
    if "aes" in name and "cbc" in name:
        reading = Cipher(AES(key), CBC(lock.vector)).decryptor()
        return reading.update(sealed[: len(sealed) & ~15]) + reading.finalize()
    raise ValueError("an unknown cipher")


def _hash(name: str) -> str:
    return "sha256" if "sha256" in name.lower() else "sha1"


def _lock(said: Element) -> _Lock:
    cipher, key, start = (child(said, n) for n in ("algorithm", "key-derivation", "start-key-generation"))

    def value(element: Element | None, name: str, default: str = "") -> str:
        return default if element is None else attribute(element, name, default)

    def number(element: Element | None, name: str, default: int) -> int:
        said = value(element, name)
        return int(said) if said.isdecimal() and len(said) < 12 else default

    try:
        return _Lock(
            cipher=value(cipher, "algorithm-name"),
            vector=base64.b64decode(value(cipher, "initialisation-vector")),
            checksum=base64.b64decode(value(said, "checksum")),
            checksum_name=value(said, "checksum-type"),
            start=value(start, "start-key-generation-name", "SHA1"),
            derivation=value(key, "key-derivation-name"),
            salt=base64.b64decode(value(key, "salt")),
            rounds=number(key, "iteration-count", 0) or number(key, "argon2-iterations", 0),
            key_bytes=number(key, "key-size", 16),
            lanes=number(key, "argon2-lanes", 1),
            memory_kib=number(key, "argon2-memory", 0),
        )
    except (binascii.Error, ValueError) as error:
        raise Unreadable("the list of parts of the encrypted document is damaged") from error
