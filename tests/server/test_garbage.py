"""What a server has loaded before its first visitor is not looked through again and again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

from redis.asyncio import Redis

from server.app import create_app
from server.services import Services
from server.settings import Settings
from tests.patience import PATIENCE_S

ALONE = """
import gc, weakref
class Knot: pass
old = Knot(); old.self = old
left = weakref.ref(old)
gc.disable()
del old
before = len(gc.get_objects())
from server.garbage import YOUNG, settle
settle()
assert left() is None, "what was garbage already is kept for good"
assert before > 1_000 and len(gc.get_objects()) < 100, "what is there is looked at again"
assert gc.get_threshold()[0] == YOUNG
gc.enable()
new = Knot(); new.self = new
left = weakref.ref(new)
del new
kept = [[] for _ in range(2 * YOUNG)]
assert left() is None, "garbage of later is not found"
"""


def test_a_process_that_settles_looks_only_at_what_comes_later() -> None:
    subprocess.run([sys.executable, "-c", ALONE], check=True, timeout=PATIENCE_S)


async def test_an_application_tells_when_all_is_loaded(
    settings: Settings, services: Services, redis_client: Redis, database: str
) -> None:
    warm = threading.Event()
    quiet = settings.model_copy(update={"cpu_workers": 0, "gpu_workers": 0})
    app = create_app(quiet, services, when_warm=warm.set)
    async with app.router.lifespan_context(app):
        while not warm.is_set():  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(0.01)
