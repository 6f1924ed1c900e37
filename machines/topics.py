"""Names of topics, and the case that one belongs to.

A folder's import has a topic of its own, `import:<case>-<token>`, so that its case, and with it who
may read it, follows from its name.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r"[A-Za-z0-9]{1,64}")


def case_of(topic: str) -> str:
    """The case whose members may read a topic; "" where it belongs to none.

    >>> case_of("case:c1"), case_of("import:c1-9f"), case_of("user:ann"), case_of("import:c1")
    ('c1', 'c1', '', '')
    >>> case_of("import:c1-9f\\n"), case_of("import:c1-}{")
    ('', '')
    """
    prefix, _, name = topic.partition(":")
    if prefix == "case":
        return name
    case, dash, token = name.rpartition("-")
    return case if prefix == "import" and dash and _TOKEN.fullmatch(token) else ""


def import_topic(case: str, token: str) -> str:
    """The topic of one import into a case; `token` is letters and digits."""
    if not _TOKEN.fullmatch(token):
        raise ValueError(f"not a token of letters and digits: {token!r}")
    return f"import:{case}-{token}"
