"""The verbs of `casewire custody`."""

from __future__ import annotations

import argparse
import getpass
import os
from pathlib import Path

from server.cli_wire import CommandFailed
from server.settings import Settings

PROBLEM = 1


def add_custody(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verify = verbs.add_parser("verify", help="Prove that nothing was changed or dropped.")
    verify.add_argument("--topic", action="append", default=[], help="only this one; may be repeated")
    verify.add_argument(
        "--heads", action="append", default=[], type=Path, metavar="FILE",
        help="a copy of heads.jsonl that was kept elsewhere; may be repeated",
    )  # fmt: skip
    verify.set_defaults(run=_verify)
    report = verbs.add_parser("report", help="Write what has happened to a piece of evidence, with proof.")
    report.add_argument("evidence", type=int, help="number of the evidence, also of one that was deleted")
    report.add_argument("-o", "--output", type=Path, required=True, help="a file that ends in .pdf or .json")
    report.set_defaults(run=_report)


async def _verify(options: argparse.Namespace, settings: Settings) -> int:
    from server.custody import verify_all

    well, lines = await verify_all(settings, topics=options.topic, copies=options.heads)
    for line in lines:
        print(line)
    return 0 if well else PROBLEM


async def _report(options: argparse.Namespace, settings: Settings) -> int:
    from server.custody_report import NoRecords, report_from_outside

    output: Path = options.output
    if output.suffix not in (".pdf", ".json"):
        raise CommandFailed(f"{output} must end in .pdf or .json, which says what to write")
    who = f"command line, {getpass.getuser()}"
    try:
        content = await report_from_outside(settings, options.evidence, form=output.suffix[1:], who=who)
    except NoRecords as error:
        raise CommandFailed(str(error)) from error
    draft = output.with_name(f"{output.name}.{os.getpid()}")
    draft.write_bytes(content)
    os.replace(draft, output)
    print(f"{output}: {len(content)} bytes")
    return 0
