"""Files inside a PDF: what is embedded in the document, or pinned to a page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from handlers.parsing.mupdf import pymupdf
from handlers.parsing.parsed import Outlet, TooMuch, clean

BLOCK_BYTES = 1 << 20

_mupdf = pymupdf.mupdf


def send_files(document: pymupdf.Document, outlet: Outlet) -> list[str]:
    """Send every file inside.

    Returns:
        Sentences about what could not be sent.
    """
    sent: set[int] = set()
    damaged = 0
    total = 0
    for name, stream in _files(document):
        if stream in sent:
            continue
        sent.add(stream)
        total += 1
        try:
            outlet.attach(name, _blocks(document, stream))
        except TooMuch as error:
            return [
                *_damaged(damaged),
                f"of the files inside the PDF only {total - 1} were taken up: {error}",
            ]
        except RuntimeError as error:
            if "memory" in str(error) or "malloc" in str(error):
                raise MemoryError from error
            damaged += 1
    return _damaged(damaged)


def is_portfolio(document: pymupdf.Document) -> bool:
    """Whether the PDF is a wrapping of files, its page only a cover."""
    kind, _ = document.xref_get_key(document.pdf_catalog(), "Collection")
    return bool(kind != "null")


def _damaged(count: int) -> list[str]:
    return [f"{count} files inside the PDF are damaged and were left out"] if count else []


def _files(document: pymupdf.Document) -> Iterator[tuple[str, int]]:
    """Name and stream of each file, those of the document first."""
    for index in range(document.embfile_count()):
        info = document.embfile_info(index)
        xref = _embedded(document, index)
        if xref:
            yield _named(info.get("ufilename") or info.get("filename") or info.get("name")), xref
    for number in range(document.page_count):
        try:
            page = document[number]
            pinned = [mark.xref for mark in page.annots(types=[pymupdf.PDF_ANNOT_FILE_ATTACHMENT])]
        except (RuntimeError, ValueError, TypeError, KeyError):
            continue
        for mark in pinned:
            name = document.xref_get_key(mark, "FS/UF")[1]
            if name == "null":
                name = document.xref_get_key(mark, "FS/F")[1]
            for key in ("FS/EF/UF", "FS/EF/F"):
                kind, value = document.xref_get_key(mark, key)
                if kind == "xref":
                    yield _named(name), int(value.split()[0])
                    break


def _embedded(document: pymupdf.Document, index: int) -> int:
    """Number of the stream of an embedded file; 0 where its entry names none."""
    pdf = _mupdf.pdf_specifics(document.this)
    names = _mupdf.pdf_load_name_tree(pdf, _mupdf.pdf_new_name("EmbeddedFiles"))
    entry = _mupdf.pdf_dict_get_val(names, index)
    files = _mupdf.pdf_dict_get(entry, _mupdf.pdf_new_name("EF"))
    for key in ("UF", "F"):
        stream = _mupdf.pdf_dict_get(files, _mupdf.pdf_new_name(key))
        if number := _mupdf.pdf_to_num(stream):
            return int(number)
    return 0


def _named(name: str | None) -> str:
    """A bare file name; MuPDF hands out the bytes of UTF-8 as letters of Latin-1."""
    name = name or ""
    with suppress(UnicodeError):
        name = name.encode("latin-1").decode("utf-8")
    bare = clean(name).replace("\\", "/").rsplit("/", 1)[-1].replace("\n", " ").strip(" .\t")
    return bare[-200:] or "attachment"


def _blocks(document: pymupdf.Document, stream: int) -> Iterator[bytes]:
    """The content of a stream, unpacked as it is read: it may unfold to any size."""
    pdf = _mupdf.pdf_specifics(document.this)
    opened = _mupdf.pdf_open_stream_number(pdf, stream)
    buffer = _mupdf.fz_new_buffer_from_copied_data(bytes(BLOCK_BYTES))
    _, start = _mupdf.fz_buffer_storage(buffer)
    view = _mupdf.fz_buffer_storage_memoryview(buffer)
    while count := _mupdf.fz_read(opened, start, BLOCK_BYTES):
        yield bytes(view[:count])
