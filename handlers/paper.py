"""Custody reports laid out in child processes, a few at a time, so that no long one stops the server."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import orjson

from handlers.custody_report import CustodyReport

TIME_S = 180.0
AT_A_TIME = 2

_ROOT = Path(__file__).resolve().parents[1]


class PaperError(Exception):
    """The report could not be laid out: it is too long, or the machine too busy."""

    def __init__(self) -> None:
        super().__init__("the report could not be made as a PDF; ask for it as JSON, or try again")


class Paper:
    """Turns reports into PDF."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_A_TIME)

    async def pdf(self, report: CustodyReport) -> bytes:
        """The report as PDF.

        Raises:
            PaperError: It took too much time or memory.
        """
        shown = {**report, "events": [{**event, "content": ""} for event in report["events"]]}
        async with self._free:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "handlers.custody_paper",
                stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=_ROOT,
                env={"PYTHONPATH": str(_ROOT), "PATH": os.defpath},
            )  # fmt: skip
            try:
                async with asyncio.timeout(TIME_S):
                    content, _ = await child.communicate(orjson.dumps(shown))
            except TimeoutError as error:
                raise PaperError from error
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()
        if child.returncode or not content.startswith(b"%PDF-"):
            raise PaperError
        return content
