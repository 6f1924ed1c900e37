"""Files in a ZIP archive that are encrypted with AES, as most programs do it now.

Source: WinZip, AES Encryption Information: Encryption Specification AE-1 and AE-2.
"""

from __future__ import annotations

import bz2
import hashlib
import hmac
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

METHOD = 99
METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, METHOD})
"""Ways to pack that can be read."""

_SALTS = {1: 8, 2: 12, 3: 16}
_EXTRA = 0x9901
_ROUNDS = 1000
_BLOCK = 1 << 16
_UNPACKED = 1 << 20


def content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, password: str) -> Iterator[bytes]:
    """The bytes of a file, checked against their signature at the end.

    Raises:
        BadZipFile: The password is wrong, or the file is damaged or packed in a way that cannot be read.
    """
    strength, method = _how(member.extra)
    salt_bytes, key_bytes = _SALTS[strength], 8 + 8 * strength
    file = archive.fp
    assert file is not None
    file.seek(member.header_offset)
    header = file.read(30)
    if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
        raise zipfile.BadZipFile("no file where one should be")
    start = member.header_offset + 30 + sum(struct.unpack_from("<2H", header, 26))
    file.seek(start)
    salt, check = file.read(salt_bytes), file.read(2)
    keys = hashlib.pbkdf2_hmac("sha1", password.encode(), salt, _ROUNDS, 2 * key_bytes + 2)
    if not hmac.compare_digest(keys[-2:], check):
        raise zipfile.BadZipFile("wrong password")
    signed = hmac.new(keys[key_bytes : 2 * key_bytes], digestmod="sha1")
    unpack = _unpacker(method)
    left, number = member.compress_size - salt_bytes - 2 - 10, 1
    at = start + salt_bytes + 2
    while left > 0:
        file.seek(at)
        block = file.read(min(_BLOCK, left))
        if not block:
            raise zipfile.BadZipFile("cut off")
        signed.update(block)
        at, left = at + len(block), left - len(block)
        yield from unpack(_decrypted(keys[:key_bytes], block, number))
        number += _BLOCK // 16
    file.seek(at)
    if not hmac.compare_digest(signed.digest()[:10], file.read(10)):
        raise zipfile.BadZipFile("the signature does not fit")


def _how(extra: bytes) -> tuple[int, int]:
    """Strength of the key, and how the file is packed below."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == _EXTRA and length >= 7 and at + 11 <= len(extra) and extra[at + 8] in _SALTS:
            return extra[at + 8], struct.unpack_from("<H", extra, at + 9)[0]
        at += 4 + length
    raise zipfile.BadZipFile("how it is encrypted is not said")


def _decrypted(key: bytes, block: bytes, number: int) -> bytes:
    """Counter mode with a counter that counts from its low end, which no library offers."""
    counters = b"".join((number + i).to_bytes(16, "little") for i in range((len(block) + 15) // 16))
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    stream = encryptor.update(counters)[: len(block)]
    return (int.from_bytes(block, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(block), "big")


def _unpacker(method: int) -> Callable[[bytes], Iterator[bytes]]:
    if method == zipfile.ZIP_STORED:
        return lambda block: iter((block,))
    if method == zipfile.ZIP_DEFLATED:
        return partial(_inflated, zlib.decompressobj(-15))
    if method == zipfile.ZIP_BZIP2:
        return partial(_unsqueezed, bz2.BZ2Decompressor())
    raise zipfile.BadZipFile("packed in a way that cannot be read")


def _inflated(unpacker: zlib._Decompress, block: bytes) -> Iterator[bytes]:
    while block:
        yield unpacker.decompress(block, _UNPACKED)
        block = unpacker.unconsumed_tail


def _unsqueezed(unpacker: bz2.BZ2Decompressor, block: bytes) -> Iterator[bytes]:
    yield unpacker.decompress(block, _UNPACKED)
    while not unpacker.needs_input and not unpacker.eof:
        yield unpacker.decompress(b"", _UNPACKED)
