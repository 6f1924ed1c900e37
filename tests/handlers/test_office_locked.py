"""Encrypted office files ask for their password, and open with it alone."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import zlib
from collections.abc import Callable

import msoffcrypto.format.ooxml
import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from handlers.parsing import doc, odf, ooxml, xls
from handlers.parsing.parsed import Outlet, Parsed, PasswordNeeded, Source, Unreadable
from tests.handlers import office_files as files
from tests.handlers.outlet import read_with

_PASSWORD = "pässword"
_BODY = "<text:p>Locked away.</text:p>" + "<text:p>More of it.</text:p>" * 100


def locked_docx() -> bytes:
    # The library writes packages of less than a few kilobytes so that nothing can read them.
    filler: dict[str, str | bytes] = {"word/theme/filler.bin": random.Random(1).randbytes(20_000)}
    plain = io.BytesIO(files.docx(files.p("Locked away."), filler))
    locked = io.BytesIO()
    msoffcrypto.format.ooxml.OOXMLFile(plain).encrypt(_PASSWORD, locked)
    return locked.getvalue()


def _packed(content: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-15)
    return packing.compress(content) + packing.flush()


def _entry(name: str, cipher: str, vector: bytes, checksum: str, derivation: str, start: str) -> str:
    return (
        f'<manifest:file-entry manifest:full-path="{name}"><manifest:encryption-data {checksum}>'
        f'<manifest:algorithm manifest:algorithm-name="{cipher}"'
        f' manifest:initialisation-vector="{base64.b64encode(vector).decode()}"/>'
        f"<manifest:key-derivation {derivation}/>"
        f'<manifest:start-key-generation manifest:start-key-generation-name="{start}"/>'
        "</manifest:encryption-data></manifest:file-entry>"
    )


def locked_odt(cipher: str) -> bytes:
    """As LibreOffice and OpenOffice.org encrypt each part: with AES in CBC mode, or with Blowfish."""
    plain = files.odf("text", _BODY)
    content = _packed(files.unzipped(plain, "content.xml"))
    salt, vector = bytes(16), bytes(range(16 if cipher == "aes" else 8))
    name = "sha256" if cipher == "aes" else "sha1"
    start = hashlib.new(name, _PASSWORD.encode()).digest()
    key = PBKDF2HMAC(hashes.SHA1(), 32 if cipher == "aes" else 16, salt, 1024).derive(start)
    if cipher == "aes":
        padded = content + bytes(16 - len(content) % 16)
        sealing = Cipher(AES(key), CBC(vector)).encryptor()
        said = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
    else:
        padded = content
        sealing = Cipher(Blowfish(key), CFB(vector)).encryptor()
        said = "Blowfish CFB"
    digest = base64.b64encode(hashlib.new(name, padded[:1024]).digest()).decode()
    entry = _entry(
        "content.xml",
        said,
        vector,
        f'manifest:checksum-type="{name}-1k" manifest:checksum="{digest}"',
        f'manifest:key-derivation-name="PBKDF2" manifest:key-size="{len(key)}"'
        f' manifest:iteration-count="1024" manifest:salt="{base64.b64encode(salt).decode()}"',
        name,
    )
    manifest = f'<manifest:manifest xmlns:manifest="f">{entry}</manifest:manifest>'
    return files.odf(
        "text",
        "",
        {"content.xml": sealing.update(padded) + sealing.finalize(), "META-INF/manifest.xml": manifest},
    )


def locked_whole() -> bytes:
    """As LibreOffice encrypts since 24.8: the whole package with AES-GCM under a key by Argon2id."""
    salt, vector = bytes(16), bytes(range(12))
    start = hashlib.sha256(_PASSWORD.encode()).digest()
    key = Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=1 << 10).derive(start)
    sealed = vector + AESGCM(key).encrypt(vector, files.odf("text", _BODY), None)
    entry = _entry(
        "encrypted-package",
        "http://www.w3.org/2009/xmlenc11#aes256-gcm",
        vector,
        "",
        'manifest:key-derivation-name="urn:argon2id" manifest:key-size="32" manifest:argon2-iterations="3"'
        f' manifest:argon2-memory="1024" manifest:argon2-lanes="4"'
        f' manifest:salt="{base64.b64encode(salt).decode()}"',
        "sha256",
    )
    return files.zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "META-INF/manifest.xml": f'<manifest:manifest xmlns:manifest="f">{entry}</manifest:manifest>',
            "encrypted-package": sealed,
        }
    )


_Read = Callable[[Source, Outlet], Parsed]
_LOCKED: list[tuple[_Read, Callable[[], bytes], str]] = [
    (ooxml.read, locked_docx, "Locked away."),
    (doc.read, lambda: files.doc("Locked away.\r", password=_PASSWORD), "Locked away."),
    (xls.read, lambda: files.xls({"T": [["Locked away."]]}, password=_PASSWORD), "T\nLocked away."),
    (odf.read, lambda: locked_odt("aes"), "Locked away."),
    (odf.read, lambda: locked_odt("blowfish"), "Locked away."),
    (odf.read, locked_whole, "Locked away."),
]
_NAMES = ["docx", "doc", "xls", "odt-aes", "odt-blowfish", "odt-whole"]


@pytest.mark.parametrize(("read", "make", "text"), _LOCKED, ids=_NAMES)
def test_a_locked_document_opens_with_its_password_alone(
    read: _Read, make: Callable[[], bytes], text: str
) -> None:
    content = make()
    assert read_with(read, content, "", password=_PASSWORD)[0].text.startswith(text)
    with pytest.raises(PasswordNeeded, match="asks for a password"):
        read_with(read, content, "")
    with pytest.raises(PasswordNeeded, match="does not open"):
        read_with(read, content, "", password="wrong")


def test_a_password_for_what_is_not_locked_does_no_harm() -> None:
    parsed, _ = read_with(ooxml.read, files.docx(files.p("Open.")), "", password="x")
    assert parsed.text == "Open."


def test_a_derivation_that_would_cost_gigabytes_is_refused() -> None:
    parts = files.parts_of(locked_whole())
    manifest = parts["META-INF/manifest.xml"].replace(b'argon2-memory="1024"', b'argon2-memory="99999999"')
    content = files.zipped(parts | {"META-INF/manifest.xml": manifest})
    with pytest.raises(Unreadable, match="encrypted in a way"):
        read_with(odf.read, content, "", password=_PASSWORD)
