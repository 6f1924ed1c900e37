"""Handlers whose behaviour the name of the uploaded file decides; they count their runs in Redis."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from handlers.job import Handlers, Job, Permanent, Temporary
from machines.upload_events import Recognised, VerifyUpload
from server.worker import WorkerSetup

RUNS = "test:runs"
"""List of `filename|effect id|attempt|pid|loop` of every run that began."""
GO = "test:go"
"""Files that wait go on once this exists."""


@asynccontextmanager
async def bindings(setup: WorkerSetup) -> AsyncIterator[Handlers]:
    """The one handler that the tests need."""

    async def verify(effect: VerifyUpload, job: Job) -> Recognised:
        name = effect.filename
        loop = id(asyncio.get_running_loop())
        runs = await setup.redis.incr(f"test:runs:{name}")
        await setup.redis.rpush(RUNS, f"{name}|{job.id}|{job.attempt}|{os.getpid()}|{loop}")
        what, _, number = name.partition(".")[0].partition("-")
        match what:
            case "dies":  # dies-2 kills its worker in its first two runs
                if runs <= int(number):
                    os.kill(os.getpid(), signal.SIGKILL)
            case "waits":
                while not await setup.redis.exists(GO):
                    await job.check()
                    await asyncio.sleep(0.05)
            case "late":  # its result comes whether it is awaited or not
                while not await setup.redis.exists(GO):  # noqa: ASYNC110 - another process sets it
                    await asyncio.sleep(0.05)
            case "deaf":
                while not await setup.redis.exists(GO):
                    time.sleep(0.2)  # noqa: ASYNC251 - holds up the loop on purpose
            case "temporary" if runs == 1:
                raise Temporary("the disk is full")
            case "permanent":
                raise Permanent("the file is empty")
            case "unexpected":
                raise ValueError("not in the contract")
        return Recognised(effect=job.id, evidence=7, title=name)

    yield {VerifyUpload: verify}
