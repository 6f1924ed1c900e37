"""Word, Excel and PowerPoint files of 2007 and later (OOXML), also encrypted; their content tells which."""

from __future__ import annotations

from handlers.parsing import docx, pptx, xlsx
from handlers.parsing.opened import OLE, opened
from handlers.parsing.package import Package
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable

_MODULES = (("wordprocessingml", "docx"), ("ms-word", "docx"), ("spreadsheetml", "xlsx"),
            ("ms-excel", "xlsx"), ("presentationml", "pptx"), ("ms-powerpoint", "pptx"))  # fmt: skip
_FOLDERS = (("word/document.xml", "docx"), ("xl/workbook.xml", "xlsx"), ("ppt/presentation.xml", "pptx"))

_READERS = {"docx": docx.read, "xlsx": xlsx.read, "pptx": pptx.read}


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read a Word, Excel or PowerPoint file of 2007 and later, also an encrypted one.

    Raises:
        PasswordNeeded: It is encrypted, and there is no password or it is wrong.
        Unreadable: It is damaged, neither of them, or unfolds to too much.
    """
    with opened(source) as file:
        if file.read(8) == OLE:
            raise Unreadable("this is an old Office document of an unknown kind, which cannot be read")
        package = Package(file)
        module, main = _kind(package)
        return _READERS[module](package, main, outlet)


def _kind(package: Package) -> tuple[str, str]:
    """The module that reads a package, and the package's main part."""
    types = {}
    root = package.xml("[Content_Types].xml")
    for override in () if root is None else root:
        types[override.get("PartName", "").lstrip("/").lower()] = override.get("ContentType", "")
    for main in package.related("", "officeDocument"):
        said = types.get(main.lower(), "")
        if "sheet.binary" in said or main.lower().endswith(".bin"):
            raise Unreadable("this is a binary Excel workbook (.xlsb); save it as .xlsx and upload that")
        for sign, module in _MODULES:
            if sign in said.lower():
                return module, main
    for main, module in _FOLDERS:
        if main in package:
            return module, main
    if any(name.lower().startswith("visio/") for name in package.names):
        raise Unreadable("this is a Visio drawing, which cannot be read; save it as PDF and upload that")
    raise Unreadable("this is no Word, Excel or PowerPoint document, or its main part is missing")
