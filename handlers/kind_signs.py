"""The signs by which files are known: the bytes they begin with, the parts they hold."""

from __future__ import annotations

OOXML = "application/vnd.openxmlformats-officedocument."
WORD = OOXML + "wordprocessingml.document"
SHEET = OOXML + "spreadsheetml.sheet"
SLIDES = OOXML + "presentationml.presentation"
ODF = "application/vnd.oasis.opendocument."

ZIP = "application/zip"
OLE = "application/x-ole-storage"
PST = "application/vnd.ms-outlook-pst"

MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PK\x03\x04", ZIP),
    (0, b"PK\x05\x06", ZIP),
    (0, b"PK00PK\x03\x04", ZIP),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"MSCF\x00\x00\x00\x00", "application/vnd.ms-cab-compressed"),
    (257, b"ustar", "application/x-tar"),
    (32769, b"CD001", "application/x-iso9660-image"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"BM", "image/bmp"),
    (0, b"\x00\x00\x00\x0cjP  \r\n", "image/jp2"),
    (0, b"8BPS\x00\x01", "image/vnd.adobe.photoshop"),
    (0, b"\xd7\xcd\xc6\x9a", "image/wmf"),
    (40, b" EMF\x00\x00\x01\x00", "image/emf"),
    (4, b"ftyphei", "image/heic"),
    (4, b"ftyphev", "image/heic"),
    (4, b"ftypmif1", "image/heif"),
    (4, b"ftypmsf1", "image/heif"),
    (4, b"ftypavi", "image/avif"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypM4B", "audio/mp4"),
    (4, b"ftypqt  ", "video/quicktime"),
    (4, b"ftyp3g", "video/3gpp"),
    (4, b"ftyp", "video/mp4"),
    (4, b"moov", "video/quicktime"),
    (4, b"mdat", "video/quicktime"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"),
    (0, b"#!AMR", "audio/amr"),
    (0, b".snd", "audio/basic"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (0, b"\x1aE\xdf\xa3", "video/x-matroska"),
    (0, b"FLV\x01", "video/x-flv"),
    (0, b"\x00\x00\x01\xba", "video/mpeg"),
    (0, b"\x00\x00\x01\xb3", "video/mpeg"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
    (0, b"!BDN", PST),
    (0, b"\xffWPC", "application/vnd.wordperfect"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"%!PS", "application/postscript"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (0, b"\x7fELF", "application/x-elf"),
    (0, b"MZ", "application/vnd.microsoft.portable-executable"),
    (0, b"x\x9f\x3e\x22", "application/vnd.ms-tnef"),
)

WEAK = frozenset({b"BM", b"MZ", b"BZh", b"ID3", b".snd", b"moov", b"mdat"})
"""A few letters: a text may begin with them, too."""

RIFF = {b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo", b"WEBP": "image/webp"}
FORM = {b"AIFF": "audio/aiff", b"AIFC": "audio/aiff"}

PARTS: tuple[tuple[str, str], ...] = (
    ("word/document", WORD),
    ("xl/workbook.bin", "application/vnd.ms-excel.sheet.binary.macroenabled.12"),
    ("xl/", SHEET),
    ("ppt/", SLIDES),
    ("word/", WORD),
    ("visio/", "application/vnd.ms-visio.drawing"),
    ("FixedDocSeq.fdseq", "application/vnd.ms-xpsdocument"),
    ("Index/Document.iwa", "application/vnd.apple.iwork"),
    ("META-INF/container.xml", "application/epub+zip"),
)
"""What a part's name begins with, in the order of weight."""

STREAMS: tuple[tuple[str, str], ...] = (
    ("EncryptedPackage", OLE + "; encrypted"),
    ("__properties_version1.0", "application/vnd.ms-outlook"),
    ("WordDocument", "application/msword"),
    ("Workbook", "application/vnd.ms-excel"),
    ("Book", "application/vnd.ms-excel"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    ("VisioDocument", "application/vnd.visio"),
)
"""Streams of OLE files, in the order of weight."""

ENCRYPTED = {
    ".docx": WORD, ".docm": WORD, ".dotx": WORD, ".xlsx": SHEET, ".xlsm": SHEET, ".xltx": SHEET,
    ".pptx": SLIDES, ".pptm": SLIDES, ".ppsx": SLIDES,
}  # fmt: skip
"""What an encrypted Office document is shows its name alone."""

LOCKED = "application/x-encrypted-office"
"""One whose name does not tell which."""

NAMES: dict[str, str] = {
    ZIP: "a ZIP archive",
    LOCKED: "an encrypted Office document",
    "application/x-7z-compressed": "a 7z archive",
    "application/vnd.rar": "a RAR archive",
    "application/gzip": "a gzip archive",
    "application/x-bzip2": "a bzip2 archive",
    "application/x-xz": "an xz archive",
    "application/zstd": "a Zstandard archive",
    "application/vnd.ms-cab-compressed": "a cabinet archive (CAB)",
    "application/x-tar": "a tar archive",
    "application/x-iso9660-image": "the image of a disc (ISO)",
    OLE: "an old Office document of an unknown kind",
    "application/msword": "a Word document (97–2003)",
    "application/vnd.ms-excel": "an Excel workbook (97–2003)",
    "application/vnd.ms-powerpoint": "a PowerPoint presentation (97–2003)",
    "application/vnd.ms-outlook": "an Outlook message (MSG)",
    "application/vnd.visio": "a Visio drawing",
    "application/vnd.ms-visio.drawing": "a Visio drawing",
    "application/vnd.ms-excel.sheet.binary.macroenabled.12": "a binary Excel workbook (XLSB)",
    "application/vnd.ms-xpsdocument": "an XPS document",
    "application/vnd.apple.iwork": "a document of Pages, Numbers or Keynote",
    WORD: "a Word document",
    SHEET: "an Excel workbook",
    SLIDES: "a PowerPoint presentation",
    "application/epub+zip": "an EPUB book",
    "application/rtf": "a rich text document (RTF)",
    "text/html": "a web page (HTML)",
    "image/svg+xml": "an SVG picture",
    PST: "an Outlook mail archive (PST)",
    "application/mbox": "a mailbox of several mails (mbox)",
    "application/vnd.ms-tnef": "an Outlook attachment bundle (winmail.dat)",
    "application/vnd.wordperfect": "a WordPerfect document",
    "application/postscript": "a PostScript document",
    "application/vnd.sqlite3": "an SQLite database",
    "application/x-elf": "a program",
    "application/vnd.microsoft.portable-executable": "a Windows program",
    "application/octet-stream": "binary data of an unknown kind",
    "audio/mp4": "an audio recording (M4A)",
    "audio/mpeg": "an audio recording (MP3)",
    "video/x-ms-asf": "an audio or video recording (Windows Media)",
    "video/x-matroska": "a video (WebM or Matroska)",
}
"""What a user calls a kind; pictures, recordings and videos that are missing here go by their type."""
