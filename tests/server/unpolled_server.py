"""`casewire serve` whose sockets look at nobody's rights by themselves: `python -m` this module.

What ends there ends because another server announced it.
"""

from __future__ import annotations

from server import serving
from server.cli import main

NEVER_S = 86_400.0

if __name__ == "__main__":
    kept = serving.server_of.__kwdefaults__
    assert kept is not None
    kept["ping_s"] = NEVER_S
    main()
