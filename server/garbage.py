"""How seldom Python looks for garbage in a process that serves for long.

What a server has loaded and built before the first visitor, some 400,000 objects, stays as long as the
process. Left to itself Python looks through all of it whenever it has grown by a quarter, a third of a
second each time; of the time of a server to which 2,000 sockets come back at once that was 45 %.
"""

from __future__ import annotations

import gc

YOUNG = 2_000
"""New objects before the next look at them, thrice the default; a look takes less than a millisecond."""
MIDDLE_EVERY = 10
OLD_EVERY = 20
"""So many looks at the younger ones go before one at all that is not settled; twice as many as by default."""


def settle() -> None:
    """Take out of every later look what is there now, and look less often.

    For a process that ends with its server: objects of now that become garbage in a cycle are never freed.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE_EVERY, OLD_EVERY)
