"""Office files that are encrypted, opened with their password in memory."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import msoffcrypto
from msoffcrypto.exceptions import DecryptionError, FileFormatError, InvalidKeyError, ParseError

from handlers.parsing.parsed import PasswordNeeded, Source, Unreadable

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

# Excel opens a file that is only protected against writing with this password of its own.
_BUILT_IN = "VelvetSweatshop"


def needed(password: str) -> PasswordNeeded:
    """That a password is missing, or that this one does not open the file."""
    return PasswordNeeded(
        "the password does not open the document" if password else "the document asks for a password"
    )


@contextmanager
def opened(source: Source) -> Iterator[IO[bytes]]:
    """The document as it is without encryption: the file itself where there is none.

    Raises:
        PasswordNeeded: It is encrypted, and there is no password or it is wrong.
        Unreadable: It is encrypted in a way that cannot be read.
    """
    with open(source.path, "rb") as file:
        if file.read(8) != OLE:
            file.seek(0)
            yield file
            return
        file.seek(0)
        decrypted = _decrypted(file, source.password)
        file.seek(0)
        yield file if decrypted is None else decrypted


def _decrypted(file: IO[bytes], password: str) -> IO[bytes] | None:
    try:
        document = msoffcrypto.OfficeFile(file)
        if not document.is_encrypted():
            return None
    except FileFormatError:
        return None
    except (OSError, ParseError, struct.error, ValueError, KeyError, AttributeError, IndexError):
        # What is not whole enough to tell is left to the reader, which says what is wrong.
        return None
    for word in dict.fromkeys((password, _BUILT_IN)):
        if word:
            content = io.BytesIO()
            try:
                document.load_key(password=word)
                document.decrypt(content)
            except InvalidKeyError:
                continue
            except DecryptionError as error:
                raise Unreadable(
                    "the document is encrypted in a way that cannot be read; save it without a password"
                ) from error
            except (struct.error, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
                raise Unreadable("the encrypted document is damaged") from error
            content.seek(0)
            if _is_document(content):
                return content
    raise needed(password)


def _is_document(content: IO[bytes]) -> bool:
    """A wrong password that slips through the check leaves noise."""
    start = content.read(8)
    content.seek(0)
    if start[:4] == b"PK\x03\x04":
        whole = zipfile.is_zipfile(content)
        content.seek(0)
        return whole
    return start == OLE
