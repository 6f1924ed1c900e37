"""The command `casewire`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Any, NoReturn
from urllib.parse import quote

import uvloop

from machines.draw import FORMATS, draw
from machines.errors import UnknownKind
from machines.step import CHARTS
from server.cli_custody import add_custody
from server.cli_detective import add_searching, detective
from server.cli_import import add_importing, import_folder
from server.cli_upload import add_uploading, upload
from server.cli_wire import WIRE_COMMANDS, CommandFailed, Misused, add_login, add_watching, login, watch
from server.client import Behind, Refused
from server.environment import SettingsError, load_settings
from server.settings import Settings

PROBLEM = 1
MISUSE = 2
LISTED_AT_ONCE = 200


def main(arguments: list[str] | None = None) -> None:
    """Run one command and end the process with its status."""
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings()
    except SettingsError as error:
        _misused(error)
    from server.services import ServicesError

    command: Callable[[argparse.Namespace, Settings], Awaitable[int] | int] = options.run
    try:
        result = command(options, settings)
        sys.exit(result if isinstance(result, int) else uvloop.run(_awaited(result)))
    except Misused as error:
        print(f"casewire: {error}", file=sys.stderr)
        sys.exit(MISUSE)
    except (
        CommandFailed,
        ServicesError,
        UnknownKind,
        Refused,
        Behind,
        ConnectionError,
        TimeoutError,
    ) as error:
        print(f"casewire: {error}", file=sys.stderr)
        sys.exit(PROBLEM)
    except SettingsError as error:
        _misused(error)
    except KeyboardInterrupt:
        sys.exit(130)


def _misused(error: SettingsError) -> NoReturn:
    for fault in error.faults:
        print(fault, file=sys.stderr)
    sys.exit(MISUSE)


async def _awaited(result: Awaitable[int]) -> int:
    return await result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="casewire", description="Self-hosted case work on state machines.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    serving = add("serve", _serve, "Run the server and its workers.")
    serving.add_argument("--processes", type=int, help="server processes; CASEWIRE_PROCESSES unless given")
    add("demo", _demo, "Perform the main job on a fictional case, then keep serving.")
    worker = add("worker", _worker, "Run one more worker beside a running server.")
    worker.add_argument("--queue", choices=("cpu", "gpu"), required=True)
    status = add("status", _status, "Tell what runs where and whether it is well.")
    status.add_argument("--json", action="store_true", help="the same as JSON")

    machines = commands.add_parser("machines", help="Draw charts, list and watch machines.")
    verbs = machines.add_subparsers(required=True, metavar="VERB")
    drawing = verbs.add_parser("draw", help="Print the drawing of a chart.")
    drawing.add_argument("kind", choices=sorted(CHARTS))
    drawing.add_argument("--format", choices=FORMATS, default="mermaid")
    drawing.add_argument("--active", default="", help="states to light, separated by commas")
    drawing.add_argument("--machine", help="light the states of this machine; needs --email")
    drawing.add_argument("--email", help="account that may see the machine")
    drawing.add_argument("--url", help="the server; the one of the settings unless given")
    drawing.set_defaults(run=_draw)
    listing = verbs.add_parser("list", help="List the machines that the account may see.")
    add_login(listing)
    listing.add_argument("--kind", choices=sorted(CHARTS))
    listing.set_defaults(run=_list)
    watching = verbs.add_parser("watch", help="The same as `casewire watch`.")
    watching.set_defaults(run=watch)
    add_watching(watching)
    for name, run, text, arguments in WIRE_COMMANDS:
        arguments(add(name, run, text))

    add_uploading(add("upload", upload, "Send files to a case; what broke off is gone on with."))
    add_importing(add("import", import_folder, "Bring every file of a folder into a case."))

    add_searching(add("detective", detective, "Find what joins people, evidence and cases."))

    describing = add("describe", _describe, "Print what the server says on websocket, streams and webhooks.")
    describing.add_argument("form", choices=("asyncapi",))

    blobs = commands.add_parser("blobs", help="The stored bytes of evidence.")
    verbs = blobs.add_subparsers(required=True, metavar="VERB")
    for verb, run, text in (
        ("verify", _verify_blobs, "Hash every content anew, and name what was changed or is missing."),
        ("move", _move_blobs, "Carry the contents of the data folder to the configured S3 store."),
    ):
        verbs.add_parser(verb, help=text, description=text).set_defaults(run=run)

    rebuilding = commands.add_parser("rebuild", help="Make anew what can be computed from PostgreSQL.")
    verbs = rebuilding.add_subparsers(required=True, metavar="WHAT")
    for store in ("vectors", "graph"):
        text = f"Fill the configured store of the {store} anew, or compare it."
        filling = verbs.add_parser(store, help=text, description=text)
        filling.add_argument("--check", action="store_true", help="compare only, and tell what differs")
        filling.set_defaults(run=_rebuild, store=store)
    text = "Count the totals anew, or compare them: for rows that came while triggers were off."
    counting = verbs.add_parser("totals", help=text, description=text)
    counting.add_argument("--check", action="store_true", help="compare only, and tell what differs")
    counting.set_defaults(run=_rebuild_totals)
    text = "Embed every passage anew, by the configured embedder; for when the server is stopped."
    verbs.add_parser("embeddings", help=text, description=text).set_defaults(run=_rebuild_embeddings)
    text = "Tag again, now, what an earlier tagger has tagged and nobody has edited."
    commands.add_parser("retag", help=text, description=text).set_defaults(run=_retag)

    add_custody(commands.add_parser("custody", help="The chain of custody."))
    return parser


async def _serve(options: argparse.Namespace, settings: Settings) -> int:
    from server.app import serve
    from server.several import serve_several

    if options.processes is not None:
        # Read again, so that it meets the bounds of the setting and reaches the processes.
        os.environ["CASEWIRE_PROCESSES"] = str(options.processes)
        settings = load_settings()
    await (serve_several if settings.processes > 1 else serve)(settings)
    return 0


async def _demo(_: argparse.Namespace, settings: Settings) -> int:
    from server.demo import demo

    await demo(settings)
    return 0


def _worker(options: argparse.Namespace, settings: Settings) -> int:
    from server.logs import configure_logging
    from server.model_adapters import check_embedder
    from server.prepare import check_shards
    from server.services import attached_services
    from server.worker import DEFAULT_BINDINGS, load_bindings, work

    services = attached_services(settings)
    blobs = services.data_dir / "blobs"
    if settings.s3_endpoint is None and not blobs.is_dir():
        raise CommandFailed(
            f"a worker reads evidence in {blobs}, which is not there; run it beside its server, "
            "or set S3_ENDPOINT to the store that they share"
        )
    uvloop.run(check_shards(settings, services))
    uvloop.run(check_embedder(settings, services.database_url))
    configure_logging(settings.log_level, settings.log_format)
    # Process ids repeat, over time and between containers that share a data folder.
    name = f"extra-{os.getpid()}-{token_hex(6)}"
    work(settings, services, queue=options.queue, name=name, bindings=load_bindings(DEFAULT_BINDINGS))
    return 0


async def _status(options: argparse.Namespace, settings: Settings) -> int:
    from server.status import format_status, gather_from_outside

    status = await gather_from_outside(settings)
    print(json.dumps(status, indent=2) if options.json else format_status(status))
    return 0 if status["well"] else PROBLEM


async def _draw(options: argparse.Namespace, settings: Settings) -> int:
    active = [state for state in options.active.split(",") if state]
    if options.machine:
        if not options.email:
            raise CommandFailed("--machine asks the server: tell with --email whose account may see it")
        async with await login(options, settings) as client:
            machine = await client.request("GET", f"/api/machines/{quote(options.machine)}")
        active += machine["configuration"]
    print(draw(options.kind, options.format, active), end="")
    return 0


async def _describe(_: argparse.Namespace, settings: Settings) -> int:
    from server.asyncapi import description

    print(json.dumps(description(settings.address), indent=2))
    return 0


async def _list(options: argparse.Namespace, settings: Settings) -> int:
    async with await login(options, settings) as client:
        asked = f"/api/machines?limit={LISTED_AT_ONCE}" + (f"&kind={options.kind}" if options.kind else "")
        after: str | None = ""
        while after is not None:
            page = await client.request("GET", asked + (f"&after={quote(after)}" if after else ""))
            for machine in page["machines"]:
                states = ",".join(machine["configuration"])
                troubles = "".join(f"  {t['level']}: {t['why']}" for t in machine["troubles"])
                print(
                    f"{machine['machine']}  {machine['topic']}  {machine['revision']:>5}  {states}{troubles}"
                )
            after = page["next"]
    return 0


async def _rebuild(options: argparse.Namespace, settings: Settings) -> int:
    from server.cli_rebuild import rebuild

    return await rebuild(settings, options.store, check=options.check)


async def _rebuild_totals(options: argparse.Namespace, settings: Settings) -> int:
    from server.cli_rebuild import rebuild_totals

    return await rebuild_totals(settings, check=options.check)


async def _verify_blobs(_: argparse.Namespace, settings: Settings) -> int:
    from server.blobs_commands import verify_blobs

    return _told(*await verify_blobs(settings))


async def _move_blobs(_: argparse.Namespace, settings: Settings) -> int:
    from server.blobs_commands import move_blobs

    return _told(*await move_blobs(settings))


async def _rebuild_embeddings(_: argparse.Namespace, settings: Settings) -> int:
    from server.rebuild_embeddings import rebuild_embeddings

    await rebuild_embeddings(settings, print)
    return 0


async def _retag(_: argparse.Namespace, settings: Settings) -> int:
    from server.retagging import retag

    await retag(settings, print)
    return 0


def _told(well: bool, lines: list[str]) -> int:
    for line in lines:
        print(line)
    return 0 if well else PROBLEM


if __name__ == "__main__":
    main()
