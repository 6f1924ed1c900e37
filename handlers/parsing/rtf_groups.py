"""What the groups of an RTF document hold, by the words that they begin with."""

from __future__ import annotations

from typing import Literal

Place = Literal["body", "skip", "fonts", "info", "time", "picture", "object", "instruction", "margin", "note",
                "comment", "comment_fact", "revisers", "template"]  # fmt: skip

SKIPPED = frozenset(
    ("colortbl", "stylesheet", "listtable", "listoverridetable", "rsidtbl", "generator", "filetbl",
     "themedata", "colorschememapping", "latentstyles", "datastore", "xmlnstbl", "pgdsctbl",
     "nonshppict", "bkmkstart",
     "bkmkend", "userprops", "pnseclvl", "ftnsep", "ftnsepc", "aftnsep", "aftnsepc", "ftncn", "mmathPr", "sp",
     "shprslt", "wgrffmtfilter", "picprop", "defchp", "defpap", "private", "fchars", "lchars", "objclass",
     "objname", "atnicn", "blipuid", "docvar", "fldtype", "ffname", "datafield", "falt", "panose",
     "formfield")
)  # fmt: skip
"""Groups without text for a reader."""

OPEN = frozenset(("shppict", "shpinst", "ud", "objemb", "object", "nesttableprops", "pn", "upr"))
"""Groups that are read although they are starred: their text counts in what surrounds them."""

ENTERED: dict[str, Place] = {
    "fonttbl": "fonts", "info": "info", "title": "info", "pict": "picture", "objdata": "object",
    "fldinst": "instruction", "fldrslt": "body", "header": "margin", "headerl": "margin", "headerr": "margin",
    "headerf": "margin", "footer": "margin", "footerl": "margin", "footerr": "margin", "footerf": "margin",
    "footnote": "note", "annotation": "comment", "atnauthor": "comment_fact", "atndate": "comment_fact",
    "atnid": "comment_fact", "revtbl": "revisers", "template": "template", "shptxt": "body",
    "listtext": "body", "pntext": "body",
}  # fmt: skip
"""What the groups hold that begin with these words."""
