"""The command `upload`: files to a case, resumed where an earlier run broke off."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from server.cli_wire import REFUSED, CommandFailed, add_login, login
from server.client import Refused
from server.client_upload import FileChanged
from server.settings import Settings

_EVERY_S = 0.25


def add_uploading(command: argparse.ArgumentParser) -> None:
    """The arguments of `upload`."""
    command.add_argument("files", nargs="+", type=Path, metavar="FILE")
    command.add_argument("--case", required=True, help="id of the case")
    add_login(command)


async def upload(options: argparse.Namespace, settings: Settings) -> int:
    """Send the files one after the other; the status tells whether all were taken."""
    for path in options.files:
        if not path.is_file():
            raise CommandFailed(f"{path} is not a file; `casewire import` takes folders")
    refused = 0
    async with await login(options, settings) as client:
        for path in options.files:
            shown = Shown(path.name)
            try:
                machine = await client.upload_file(options.case, path, shown.progress)
            except (Refused, FileChanged, OSError) as error:
                refused += 1
                shown.end()
                print(f"{path}: {error}", file=sys.stderr)
                continue
            shown.end()
            print(f"{machine}  {path}")
    return REFUSED if refused else 0


class Shown:
    """One line of progress on a terminal; nothing elsewhere."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._terminal = sys.stderr.isatty()
        self._began: tuple[float, int] | None = None
        self._shown_at = float("-inf")

    def progress(self, done: int, total: int) -> None:
        """Show how far it is, four times a second at most."""
        now = time.monotonic()
        self._began = self._began or (now, done)
        if not self._terminal or (done < total and now - self._shown_at < _EVERY_S):
            return
        self._shown_at = now
        print(f"\r\x1b[K{line(self._name, done, total, now - self._began[0], done - self._began[1])}",
              end="", file=sys.stderr, flush=True)  # fmt: skip

    def end(self) -> None:
        """Leave a clean line."""
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def line(name: str, done: int, total: int, seconds: float, sent: int) -> str:
    """How far, how fast and how long still, from what was sent in these seconds.

    >>> line("a.pdf", 50 << 20, 200 << 20, 10.0, 50 << 20)
    'a.pdf  50 of 200 MiB, 5.0 MiB/s, 30 s left'
    """
    told = f"{name}  {done / 2**20:.0f} of {total / 2**20:.0f} MiB"
    if seconds < 1 or not sent:
        return told
    speed = sent / seconds
    left = (total - done) / speed
    return (
        f"{told}, {speed / 2**20:.1f} MiB/s, {f'{left / 60:.0f} min' if left >= 90 else f'{left:.0f} s'} left"
    )
