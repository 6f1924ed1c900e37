"""The command `casewire import`: a folder into a case, told of as it goes."""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from server.cli_wire import CommandFailed, Misused, add_login, login
from server.client import Client, Message, Refused
from server.folder_sending import FolderSender, Over
from server.folder_walk import walk
from server.settings import Settings
from storage.import_listing import kind_of_name

FAILED = 1
INTERRUPTED = 130
_LOOK_EVERY_S = 1.0
_SHOWN_FAILURES = 20
_RESTING = ("done", "done_with_failures", "cancelled")
_WENT_ON = ("manifest", "transferring", "processing", "paused", "done_with_failures", "done")


def add_importing(command: argparse.ArgumentParser) -> None:
    """The arguments of `import`."""
    command.add_argument("folder", nargs="?", help="the folder; not needed with --status")
    command.add_argument("--case", help="id of the case; not needed with --dry-run")
    doing = command.add_mutually_exclusive_group()
    doing.add_argument("--resume", action="store_true", help="go on with the last import of this folder")
    doing.add_argument("--dry-run", action="store_true", help="tell what would be imported, and send nothing")
    doing.add_argument("--status", action="store_true", help="tell how the imports of the case stand")
    command.add_argument("--title", help="what the import is called; the folder's name unless given")
    command.add_argument("--failures", metavar="FILE.csv", type=Path, help="write what failed, with reasons")
    command.add_argument(
        "--no-wait", action="store_true", help="end when all is sent, before it is worked on"
    )
    add_login(command)


async def import_folder(options: argparse.Namespace, settings: Settings) -> int:
    """Bring a folder into a case; 1 where something failed, 130 where it was interrupted."""
    if options.status:
        _need(options.case, "--status needs --case")
        async with await login(options, settings) as client:
            return await _status(client, options.case)
    _need(options.folder, "name the folder that holds the evidence")
    root = os.path.realpath(os.fsencode(options.folder))
    if not os.path.isdir(root):
        raise CommandFailed(f"{options.folder} is not a folder; name the one that holds the evidence")
    if options.dry_run:
        return await asyncio.to_thread(_dry_run, root)
    _need(options.case, "name the case with --case")
    async with await login(options, settings) as client:
        title = options.title or os.path.basename(root).decode("utf-8", "backslashreplace") or "/"
        machine = await _import(client, options.case, title[:300], resume=options.resume)
        sender = FolderSender(client, machine, root)
        try:
            return await _run(client, sender, machine, options)
        except (asyncio.CancelledError, KeyboardInterrupt):
            print(
                f"\ninterrupted; what was sent is kept, and worked on. Go on with:\n"
                f"  casewire import {options.folder} --case {options.case} --resume",
                file=sys.stderr,
            )
            return INTERRUPTED


def _need(value: object, why: str) -> None:
    if not value:
        raise Misused(why)


async def _import(client: Client, case: str, title: str, *, resume: bool) -> str:
    """The import to send into: a new one, or the last one of that title."""
    path = f"/api/cases/{quote(case)}/imports"
    if not resume:
        return str((await client.request("POST", path, {"title": title}))["machine"])
    for known in await client.request("GET", path):
        if known["title"] == title and known["state"] in _WENT_ON:
            return str(known["machine"])
    raise CommandFailed(
        f"the case has no import of “{title}” that can go on; leave out --resume to begin one, "
        "or name it with --title as `casewire import --status` shows it"
    )


async def _run(client: Client, sender: FolderSender, machine: str, options: argparse.Namespace) -> int:
    line = _Line()
    root = sender.root
    listed = await sender.tell_all(walk(root), tell=lambda number: line.show(f"listing: {number:,} files"))
    line.end(f"listed {listed:,} files, skipped {len(sender.skipped):,} that are no files")
    if sender.changed:
        print(f"{len(sender.changed):,} files have changed since they were sent, and were not sent again")
    state = await _send_and_wait(client, sender, machine, line, wait=not options.no_wait)
    line.end(_summary(state))
    return await _report(client, sender, state, options.failures)


async def _send_and_wait(
    client: Client, sender: FolderSender, machine: str, line: _Line, *, wait: bool
) -> Message:
    """Send whatever is wanted until nothing is, and then until all has come to rest."""
    looking = asyncio.create_task(_look(client, sender, machine, line))
    try:
        while True:
            try:
                await sender.send_wanted()
            except Over:
                return await _state(client, machine)
            state = await _state(client, machine)
            unsent = state["tally"]["waiting"] + state["tally"]["sending"]
            if state["state"] in _RESTING or (not wait and not unsent):
                return state
            await asyncio.sleep(_LOOK_EVERY_S)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _look(client: Client, sender: FolderSender, machine: str, line: _Line) -> None:
    while True:
        try:
            line.show(progress(await _state(client, machine), paused=sender.paused))
        except (ConnectionError, TimeoutError):
            line.show("the server does not answer; trying again")
        except Refused as refusal:
            line.show(str(refusal))
        await asyncio.sleep(_LOOK_EVERY_S)


async def _state(client: Client, machine: str) -> Message:
    """How the import stands; a server that is away is waited for by whoever sends."""
    while True:
        try:
            state: Message = await client.request("GET", f"/api/imports/{quote(machine)}")
            return state
        except Refused as refusal:
            if not refusal.temporary:
                raise
            await asyncio.sleep(_LOOK_EVERY_S)


def progress(state: Message, *, paused: bool = False) -> str:
    """One line on how an import stands."""
    tally: dict[str, int] = state["tally"]
    files = sum(tally.values())
    unsent = tally["waiting"] + tally["sending"]
    resting = files - unsent - tally["queued"] - tally["working"]
    said = [f"{files - unsent:,} of {files:,} here", size(state["bytes_here"])]
    pace = state["pace"]
    if unsent and pace["bytes_s"]:
        said.append(f"{size(pace['bytes_s'])}/s")
    said.append(f"{resting:,} done")
    if tally["failed"]:
        said.append(f"{tally['failed']:,} failed")
    if pace["ahead"]:
        said.append(f"queued behind {pace['ahead']}")
    if paused or state["state"] == "paused":
        said.append("paused")
    elif pace["work"]:
        said.append(f"{span(pace['work']['low'])} to {span(pace['work']['high'])} left")
    elif files > resting:
        said.append("time left is not known yet")
    return " · ".join(said)


def size(number: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def span(seconds: float) -> str:
    """A time as people read it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _summary(state: Message) -> str:
    outcome = f": {state['outcome']}" if state["outcome"] else ""
    return f"{state['title']} is {state['state'].replace('_', ' ')}{outcome}"


async def _report(client: Client, sender: FolderSender, state: Message, to: Path | None) -> int:
    failed = state["tally"]["failed"]
    if to is not None or failed:
        rows = [each async for each in _failures(client, state["machine"])]
        for row in rows[:_SHOWN_FAILURES]:
            print(f"failed     {row['path']}: {row['reason']}")
        if len(rows) > _SHOWN_FAILURES:
            print(f"… and {len(rows) - _SHOWN_FAILURES:,} more" + ("" if to else "; --failures writes all"))
        if to is not None:
            await asyncio.to_thread(_write, to, rows, sender)
            print(f"{len(rows):,} failures and {len(sender.skipped):,} skipped are listed in {to}")
    return FAILED if failed or state["state"] == "cancelled" else 0


async def _failures(client: Client, machine: str) -> Any:
    after = 0
    while page := await client.request(
        "GET", f"/api/imports/{quote(machine)}/files?state=failed&limit=1000&after={after}"
    ):
        after = page[-1]["file"]
        for row in page:
            yield row


def _write(to: Path, rows: list[Message], sender: FolderSender) -> None:
    with to.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "bytes", "state", "reason"])
        writer.writerows([r["path"], r["bytes"], "failed", r["reason"]] for r in rows)
        writer.writerows([s.path, s.bytes, "skipped", s.skipped] for s in sender.skipped)
        writer.writerows([path, "", "changed", "it has changed since it was sent"] for path in sender.changed)


async def _status(client: Client, case: str) -> int:
    imports = await client.request("GET", f"/api/cases/{quote(case)}/imports")
    for each in imports:
        print(f"{each['machine']}  {each['state']:<18}  {each['title']}  {progress(each)}")
    return FAILED if any(each["tally"]["failed"] for each in imports) else 0


def _dry_run(root: bytes) -> int:
    kinds: Counter[str] = Counter()
    total = failed = skipped = 0
    for found in walk(root):
        if found.skipped or found.failed:
            failed += bool(found.failed)
            skipped += bool(found.skipped)
            print(f"{'skipped' if found.skipped else 'unreadable':<11}{found.path}: "
                  f"{found.skipped or found.failed}")  # fmt: skip
            continue
        kinds[kind_of_name(found.path)] += 1
        total += found.bytes
    said = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common())
    print(f"{kinds.total():,} files, {size(total)}{': ' + said if said else ''}")
    print(f"{failed:,} cannot be read, {skipped:,} are no files; nothing was sent")
    return FAILED if failed else 0


class _Line:
    """A line that is written anew as things go; a new one every ten seconds where no terminal reads it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._living = sys.stdout.isatty()
        self._clock = clock
        self._told = clock()

    def show(self, text: str) -> None:
        """How things stand."""
        if self._living:
            print(f"\r\x1b[K{text}", end="", flush=True)
        elif self._clock() - self._told >= 10:
            self._told = self._clock()
            print(text, flush=True)

    def end(self, text: str) -> None:
        """How they came out."""
        print(f"\r\x1b[K{text}" if self._living else text, flush=True)
