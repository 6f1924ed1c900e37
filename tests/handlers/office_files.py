"""Small office files made by hand, so that every part of them is known."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from xml.sax.saxutils import escape

from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher

from handlers.parsing.compound import pack
from handlers.parsing.mupdf import pymupdf

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_MEDIA = "application/vnd.openxmlformats-officedocument"
_TYPES = {
    "word/document.xml": f"{_MEDIA}.wordprocessingml.document.main+xml",
    "xl/workbook.xml": f"{_MEDIA}.spreadsheetml.sheet.main+xml",
    "ppt/presentation.xml": f"{_MEDIA}.presentationml.presentation.main+xml",
}
CORE = (
    '<cp:coreProperties xmlns:cp="c" xmlns:dc="d" xmlns:dcterms="t"><dc:title>The title</dc:title>'
    "<dc:creator>Ada Writer</dc:creator><dcterms:created>2020-01-02T03:04:05Z</dcterms:created>"
    "<dcterms:modified>2021-01-02T03:04:05Z</dcterms:modified></cp:coreProperties>"
)


def zipped(parts: dict[str, str | bytes]) -> bytes:
    """A ZIP archive with these parts."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def relations(*targets: tuple[str, str] | tuple[str, str, str]) -> str:
    """The relations of a part: `(kind, target)` with ids rId1, rId2 …; a third value is the mode."""
    lines = "".join(
        f'<Relationship Id="rId{i}" Type="{_OFFICE}/{kind}" Target="{escape(target)}"'
        + (f' TargetMode="{mode[0]}"/>' if mode else "/>")
        for i, (kind, target, *mode) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{lines}</Relationships>'


def ooxml(main: str, parts: dict[str, str | bytes]) -> bytes:
    """A package whose main part this is."""
    types = (
        f'<Types xmlns="{_PACKAGE}/content-types"><Override'
        f' PartName="/{main}" ContentType="{_TYPES[main]}"/></Types>'
    )
    start: dict[str, str | bytes] = {
        "[Content_Types].xml": types,
        "_rels/.rels": relations(("officeDocument", main), ("metadata/core-properties", "docProps/core.xml")),
        "docProps/core.xml": CORE,
    }
    return zipped(start | parts)


def docx(body: str, parts: dict[str, str | bytes] | None = None) -> bytes:
    """A Word document with this content of its body."""
    document = (
        f'<w:document {_W} {_R} xmlns:mc="m" xmlns:wps="s" xmlns:wp="d"'
        f' xmlns:v="v"><w:body>{body}</w:body></w:document>'
    )
    return ooxml("word/document.xml", {"word/document.xml": document} | (parts or {}))


def part(name: str, content: str) -> str:
    """A part of a Word document, such as its footnotes."""
    return f"<w:{name} {_W} {_R}>{content}</w:{name}>"


def p(text: str, properties: str = "") -> str:
    """A paragraph of one run."""
    return f"<w:p><w:pPr>{properties}</w:pPr>{r(text)}</w:p>"


def r(text: str, properties: str = "") -> str:
    """A run."""
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{escape(text)}</w:t></w:r>'


def table(*rows: tuple[str, ...]) -> str:
    """A table of one paragraph a cell."""
    cells = ("".join(f"<w:tc>{p(cell)}</w:tc>" for cell in row) for row in rows)
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in cells)}</w:tbl>"


def xlsx(sheets: dict[str, str], parts: dict[str, str | bytes] | None = None, *, states: str = "") -> bytes:
    """A workbook; `states` hides sheets by a letter each: v visible, h hidden, x very hidden."""
    names = {"h": ' state="hidden"', "x": ' state="veryHidden"'}
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{i}" r:id="rId{i}"{names.get(states[i - 1 : i], "")}/>'
        for i, name in enumerate(sheets, 1)
    )
    held: dict[str, str | bytes] = {
        f"xl/worksheets/sheet{i}.xml": f"<worksheet>{content}</worksheet>"
        for i, content in enumerate(sheets.values(), 1)
    }
    targets = [("worksheet", f"worksheets/sheet{i}.xml") for i in range(1, len(sheets) + 1)]
    held["xl/workbook.xml"] = f"<workbook {_R}><sheets>{listed}</sheets></workbook>"
    held["xl/_rels/workbook.xml.rels"] = relations(
        *targets, ("sharedStrings", "sharedStrings.xml"), ("styles", "styles.xml")
    )
    return ooxml("xl/workbook.xml", held | (parts or {}))


def rows(*lines: tuple[str | float | None, ...], first: int = 1, hidden: tuple[int, ...] = ()) -> str:
    """The data of a sheet; strings stand in the cells themselves."""
    out = []
    for number, line in enumerate(lines, first):
        cells = []
        for i, value in enumerate(line):
            place = f"{chr(65 + i)}{number}"
            if isinstance(value, str):
                cells.append(f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>')
            elif value is not None:
                cells.append(f'<c r="{place}"><v>{value}</v></c>')
        said = ' hidden="1"' if number in hidden else ""
        out.append(f'<row r="{number}"{said}>{"".join(cells)}</row>')
    return f"<sheetData>{''.join(out)}</sheetData>"


def pptx(
    slides: list[str], parts: dict[str, str | bytes] | None = None, *, hidden: tuple[int, ...] = ()
) -> bytes:
    """A presentation; each slide is the content of its tree of shapes."""
    held: dict[str, str | bytes] = {}
    for i, content in enumerate(slides, 1):
        show = ' show="0"' if i in hidden else ""
        held[f"ppt/slides/slide{i}.xml"] = (
            f'<p:sld xmlns:p="p" xmlns:a="a" {_R}{show}><p:cSld>'
            f"<p:spTree>{content}</p:spTree></p:cSld></p:sld>"
        )
    listed = "".join(f'<p:sldId id="{255 + i}" r:id="rId{i}"/>' for i in range(1, len(slides) + 1))
    held["ppt/presentation.xml"] = (
        f'<p:presentation xmlns:p="p" {_R}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>'
    )
    held["ppt/_rels/presentation.xml.rels"] = relations(
        *(("slide", f"slides/slide{i}.xml") for i in range(1, len(slides) + 1))
    )
    return ooxml("ppt/presentation.xml", held | (parts or {}))


def shape(*lines: str, kind: str = "body") -> str:
    """A shape of a slide with these paragraphs."""
    paragraphs = "".join(f"<a:p><a:r><a:t>{escape(line)}</a:t></a:r></a:p>" for line in lines)
    head = f'<p:nvSpPr><p:cNvPr id="1" name="x"/><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>'
    return f"<p:sp>{head}<p:txBody>{paragraphs}</p:txBody></p:sp>"


_ODF = (
    'xmlns:office="o" xmlns:text="t" xmlns:table="b" xmlns:draw="d" xmlns:presentation="p" xmlns:dc="dc" '
    'xmlns:style="s" xmlns:xlink="x" xmlns:meta="m" xmlns:manifest="f"'
)


def odf(kind: str, body: str, parts: dict[str, str | bytes] | None = None, *, styles: str = "") -> bytes:
    """An OpenDocument file of a kind such as `text` with this content of its body."""
    content = (
        f"<office:document-content {_ODF}><office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    )
    meta = (
        f"<office:document-meta {_ODF}><office:meta><dc:title>The title</dc:title>"
        "<meta:initial-creator>Ada Writer</meta:initial-creator></office:meta></office:document-meta>"
    )
    held: dict[str, str | bytes] = {
        "mimetype": f"application/vnd.oasis.opendocument.{kind}",
        "content.xml": content,
        "meta.xml": meta,
    }
    return zipped(held | (parts or {}))


def picture(width: int, height: int, shade: int = 200) -> bytes:
    """A PNG of one colour."""
    pixmap = pymupdf.Pixmap(pymupdf.csRGB, pymupdf.IRect(0, 0, width, height))
    pixmap.clear_with(shade)
    return bytes(pixmap.tobytes("png"))


def emf(text: str) -> bytes:
    """A drawing that draws one text."""
    encoded = text.encode("utf-16-le")
    head = struct.pack("<II", 1, 88) + b"\0" * 32 + b" EMF" + b"\0" * 44
    size = (76 + len(encoded) + 3) & ~3
    record = struct.pack("<II", 84, size) + b"\0" * 36 + struct.pack("<II", len(text), 76) + b"\0" * 24
    return head + (record + encoded).ljust(size, b"\0") + struct.pack("<IIIII", 14, 20, 0, 0, 20)


def packaged(filename: str, content: bytes) -> bytes:
    """An OLE object that holds a file which was dropped into a document."""
    name = filename.encode() + b"\0"
    inner = struct.pack("<H", 2) + name + name + struct.pack("<HHI", 0, 3, len(name)) + name
    inner += struct.pack("<I", len(content)) + content
    return pack({("\x01Ole10Native",): struct.pack("<I", len(inner)) + inner})


def doc(
    text: str,
    *,
    parts: dict[str, int] | None = None,
    deleted: str = "",
    hidden: str = "",
    password: str = "",
) -> bytes:
    """A Word 97-2003 document.

    Args:
        text: All of it: the body and then the other parts, with the control characters of the format.
        parts: Characters of parts after the body, such as `{"comments": 20}`.
        deleted: A stretch of the text that a tracked change has deleted.
        hidden: A stretch of it that is hidden.
        password: It is encrypted with this one.
    """
    encoded = text.encode("utf-16-le")
    begin = 2048
    names = ("footnotes", "margins", "macros", "comments", "endnotes", "boxes", "margin_boxes")
    counts = [(parts or {}).get(name, 0) for name in names]
    counts = [len(text) - sum(counts), *counts]
    lock = _Rc4(password)
    table = bytearray(lock.head if password else b"")
    pairs = [(0, 0)] * 93

    def put(index: int, content: bytes) -> None:
        pairs[index] = len(table), len(content)
        table.extend(content)

    pieces = struct.pack("<IIHIH", 0, len(text), 0, begin, 0)
    put(33, b"\x02" + struct.pack("<I", len(pieces)) + pieces)
    edges, changes = [begin], []
    for stretch, code in ((deleted, 0x0800), (hidden, 0x083C)):
        if stretch:
            at = begin + 2 * text.index(stretch)
            edges += [at, at + 2 * len(stretch)]
            changes.append((at, code))
    edges = sorted({*edges, begin + len(encoded)})
    page = bytearray(512)
    struct.pack_into(f"<{len(edges)}I", page, 0, *edges)
    page[511] = len(edges) - 1
    for i, (at, code) in enumerate(changes):
        offset = 400 + 8 * i
        page[offset : offset + 4] = struct.pack("<BHB", 3, code, 1)
        page[4 * len(edges) + edges.index(at)] = offset // 2
    put(12, struct.pack("<III", edges[0], edges[-1], 2))
    head = bytearray(begin)
    struct.pack_into("<HHHH", head, 0, 0xA5EC, 0xC1, 0, 0x0409)
    struct.pack_into("<H", head, 0x0A, 0x0200)
    struct.pack_into("<H", head, 0x20, 14)
    struct.pack_into("<H", head, 0x3E, 22)
    struct.pack_into("<8i", head, 0x4C, *counts)
    struct.pack_into("<H", head, 0x98, len(pairs))
    for i, pair in enumerate(pairs):
        struct.pack_into("<II", head, 0x9A + 8 * i, *pair)
    head[1024:1536] = page
    stream, listed = bytes(head) + encoded, bytes(table).ljust(4096, b"\0")
    if password:
        struct.pack_into("<HHI", head, 0x0A, 0x0300, 0, len(lock.head))
        stream = bytes(head[:68]) + lock.crypt(bytes(head) + encoded, 512)[68:]
        listed = lock.head + lock.crypt(listed, 512)[len(lock.head) :]
    return pack({("WordDocument",): stream, ("1Table",): listed})


class _Rc4:
    """The encryption of Office 97: RC4 of 40 bits, a new key for every block."""

    def __init__(self, password: str) -> None:
        salt = bytes(range(16))
        word = hashlib.md5(password.encode("utf-16-le")).digest()[:5]
        self._key = hashlib.md5((word + salt) * 16).digest()[:5]
        verifier = bytes(range(16, 32))
        sealed = self._rc4(0, verifier + hashlib.md5(verifier).digest())
        self.head = struct.pack("<HH", 1, 1) + salt + sealed

    def crypt(self, content: bytes, block_bytes: int) -> bytes:
        """Encrypt by the place in the stream."""
        blocks = range(0, len(content), block_bytes)
        return b"".join(self._rc4(i, content[at : at + block_bytes]) for i, at in enumerate(blocks))

    def _rc4(self, block: int, content: bytes) -> bytes:
        key = hashlib.md5(self._key + struct.pack("<I", block)).digest()
        return Cipher(ARC4(key), None).encryptor().update(content)


def record(kind: int, content: bytes, *, instance: int = 0, container: bool = False) -> bytes:
    """A record of a PowerPoint 97-2003 presentation."""
    return struct.pack("<HHI", instance << 4 | (0xF if container else 0), kind, len(content)) + content


def ppt(slides: list[tuple[str, str, str]], *, hidden: tuple[int, ...] = ()) -> bytes:
    """A PowerPoint 97-2003 presentation of slides with title, text box and notes."""
    stream = bytearray()
    places: dict[int, int] = {}

    def put(identity: int, content: bytes) -> None:
        places[identity] = len(stream)
        stream.extend(content)

    def box(kind: int, text: str) -> bytes:
        inner = record(0x0F9F, struct.pack("<I", kind)) + record(0x0FA0, text.encode("utf-16-le"))
        return record(0xF004, record(0xF00D, inner, container=True), container=True)

    def drawing(content: bytes) -> bytes:
        return record(0x040C, record(0xF002, content, container=True), container=True)

    listing, notes_listing = b"", b""
    for i, (title, text, notes) in enumerate(slides):
        outline = record(0xF00D, record(0x0F9E, struct.pack("<I", 0)), container=True)
        shapes = record(0xF004, outline, container=True) + box(4, text)
        show = record(0x03F9, struct.pack("<iIBBH4x", 0, 0, 0, 0, 4 if i + 1 in hidden else 0))
        put(10 + i, record(0x03EE, drawing(shapes) + show, container=True))
        put(
            50 + i,
            record(
                0x03F0,
                record(0x03F1, struct.pack("<II", 256 + i, 0)) + drawing(box(2, notes)),
                container=True,
            ),
        )
        listing += record(0x03F3, struct.pack("<5I", 10 + i, 0, 1, 256 + i, 0))
        listing += record(0x0F9F, struct.pack("<I", 0)) + record(0x0FA8, title.encode("latin-1"))
        notes_listing += record(0x03F3, struct.pack("<5I", 50 + i, 0, 0, 512 + i, 0))
    lists = record(0x0FF0, listing, container=True) + record(
        0x0FF0, notes_listing, instance=2, container=True
    )
    put(1, record(0x03E8, lists, container=True))
    directory = len(stream)
    stream += record(
        0x1772, b"".join(struct.pack("<II", 1 << 20 | i, at) for i, at in sorted(places.items()))
    )
    edit = len(stream)
    stream += record(0x0FF5, struct.pack("<7I", 0, 0, 0, directory, 1, 0, 0))
    user = record(0x0FF6, struct.pack("<IIIHHBBH", 20, 0xE391C05F, edit, 0, 0, 3, 0, 0))
    return pack({("PowerPoint Document",): bytes(stream).ljust(4096, b"\0"), ("Current User",): user})


def xls(
    sheets: dict[str, list[list[str | float]]], *, hidden: str = "", note: str = "", password: str = ""
) -> bytes:
    """An Excel 97-2003 workbook; `hidden` names a sheet, `note` is on the first cell of the first."""

    def rec(kind: int, content: bytes) -> bytes:
        return struct.pack("<HH", kind, len(content)) + content

    def string(text: str, wide: str = "B") -> bytes:
        return struct.pack(f"<{wide}B", len(text), 1) + text.encode("utf-16-le")

    bof = struct.pack("<HHHHII", 0x0600, 0x0005, 0x0DBB, 0x07CC, 0, 6)
    fonts = rec(0x0031, struct.pack("<HHHHHBBBB", 200, 0, 0x7FFF, 400, 0, 0, 0, 0, 0) + string("Arial")) * 5
    formats = rec(0x041E, struct.pack("<H", 164) + string('"$"#,##0.00', "H"))
    styles = b"".join(
        rec(0x00E0, struct.pack("<HHHBBBBIIH", 0, form, 1, 0x20, 0, 0, 0, 0, 0, 0x20C0))
        for form in (0, 14, 164)
    )
    bodies = []
    for i, lines in enumerate(sheets.values()):
        body = rec(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0x0DBB, 0x07CC, 0, 6))
        for y, line in enumerate(lines):
            for x, value in enumerate(line):
                if isinstance(value, str):
                    body += rec(0x0204, struct.pack("<HHH", y, x, 0) + string(value, "H"))
                else:
                    # Whole numbers over 30,000 stand for days here, others for sums.
                    form = 1 if value > 30_000 and value == int(value) else 2
                    body += rec(0x0203, struct.pack("<HHHd", y, x, form, value))
        if note and i == 0:
            body += rec(0x005D, struct.pack("<HHHHH12xHH", 0x15, 18, 0x19, 1, 0x11, 0, 0))
            body += rec(0x01B6, struct.pack("<HH6xHHI", 0, 0, len(note), 16, 0))
            body += rec(0x003C, b"\x01" + note.encode("utf-16-le")) + rec(0x003C, b"\0" * 16)
            body += rec(0x001C, struct.pack("<HHHH", 0, 0, 0, 1) + string("Ada", "H") + b"\0")
        bodies.append(body + rec(0x000A, b""))
    heads = [rec(0x0085, struct.pack("<IBB", 0, name == hidden, 0) + string(name)) for name in sheets]
    lock = _Rc4(password)
    locked = rec(0x002F, struct.pack("<H", 1) + lock.head) if password else b""
    start = rec(0x0809, bof) + locked + rec(0x0042, struct.pack("<H", 1200)) + fonts + formats + styles
    at = len(start) + sum(map(len, heads)) + 4
    heads = []
    for name, body in zip(sheets, bodies, strict=True):
        heads.append(rec(0x0085, struct.pack("<IBB", at, name == hidden, 0) + string(name)))
        at += len(body)
    stream = start + b"".join(heads) + rec(0x000A, b"") + b"".join(bodies)
    if password:
        sealed, at = bytearray(lock.crypt(stream, 1024)), 0
        while at + 4 <= len(stream):
            kind, size = struct.unpack_from("<HH", stream, at)
            # The heads of records stay readable, and so do these records and the places of the sheets.
            plain = 4 + (size if kind in (0x0809, 0x002F) else 4 if kind == 0x0085 else 0)
            sealed[at : at + plain] = stream[at : at + plain]
            at += 4 + size
        stream = bytes(sealed)
    return pack({("Workbook",): stream.ljust(4096, b"\0")})


def parts_of(content: bytes) -> dict[str, bytes]:
    """The parts of a ZIP archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def unzipped(content: bytes, name: str) -> bytes:
    """One part of a ZIP archive."""
    return parts_of(content)[name]
