"""A page of a PDF, drawn by MuPDF."""

from __future__ import annotations

from PIL import Image

from handlers.parsing.mupdf import pymupdf
from handlers.parsing.parsed import Outlet, Parsed, PasswordNeeded, Source, Unreadable
from handlers.rendering.drawn import fitting, send, wanted


def read(source: Source, outlet: Outlet) -> Parsed:
    """Draw the page.

    Raises:
        Unreadable: There is no such page, or it cannot be drawn.
        PasswordNeeded: It is encrypted.
    """
    number, width = wanted(source)
    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    try:
        with pymupdf.open(str(source.path), filetype="pdf") as document:
            if document.needs_pass and not document.authenticate(source.password):
                raise PasswordNeeded("the PDF is encrypted")
            if not 1 <= number <= document.page_count:
                raise Unreadable(f"the PDF has no page {number}")
            page = document[number - 1]
            scale = fitting(max(page.rect.width, 1), max(page.rect.height, 1), width)
            pixmap = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), alpha=False, annots=True)
            return send(Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples), outlet)
    except (pymupdf.FileDataError, pymupdf.EmptyFileError) as error:
        raise Unreadable("the PDF is damaged and cannot be opened") from error
    except (RuntimeError, ValueError) as error:
        if "memory" in str(error) or "malloc" in str(error):
            raise MemoryError from error
        raise Unreadable(f"page {number} cannot be drawn") from error
