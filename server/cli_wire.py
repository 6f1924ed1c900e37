"""Commands that talk to a running server over its public wire: `watch`, `send`, `spawn`."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from server.client import Client, Message, Refused
from server.settings import Settings

REFUSED = 1
TOKEN_VARIABLE = "CASEWIRE_TOKEN"
_TIMEOUT_S = 600.0


class CommandFailed(Exception):
    """The command could not do its work; the message says why and what to do."""


class Misused(CommandFailed):
    """The command was not given what it needs."""


def add_login(command: argparse.ArgumentParser) -> None:
    """The options by which a command says who it is."""
    who = command.add_mutually_exclusive_group()
    who.add_argument("--email", help="account; the password is asked for, or read from a pipe")
    who.add_argument(
        "--token-file",
        metavar="FILE",
        help=f"file that holds an API token, - for a pipe; {TOKEN_VARIABLE} unless given",
    )
    command.add_argument("--url", help="the server; the one of the settings unless given")


async def login(options: argparse.Namespace, settings: Settings) -> Client:
    """A client of whoever the options name; neither password nor token stands on the command line.

    Raises:
        Misused: They name nobody.
        Refused: The password is wrong.
        ConnectionError: The server does not answer.
    """
    url = options.url or settings.address
    if options.email:
        password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        client = Client(url, timeout_s=_TIMEOUT_S)
        try:
            await client.login(options.email, password)
        except BaseException:
            await client.http.aclose()
            raise
        return client
    return Client(url, token=_token(options.token_file), timeout_s=_TIMEOUT_S)


def _token(file: str | None) -> str:
    if file is None:
        token = os.environ.get(TOKEN_VARIABLE, "")
    else:
        try:
            token = sys.stdin.readline() if file == "-" else Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Misused(f"the token cannot be read from {file}: {error}") from error
    token = token.strip()
    if not token:
        raise Misused(f"say who you are: --email, --token-file, or an API token in {TOKEN_VARIABLE}")
    if not (token.isascii() and token.isprintable()):
        raise Misused("what was given as a token is none")
    return token


def add_watching(command: argparse.ArgumentParser) -> None:
    """The arguments of `watch`."""
    add_login(command)
    command.add_argument("topic", help="such as case:<id> or user:<id>")
    command.add_argument("--since", metavar="EPOCH:OFFSET", help="begin with the entry after this one")
    command.add_argument("--json", action="store_true", help="one JSON object a line, as on the wire")
    command.add_argument(
        "--until-idle", metavar="SECONDS", type=float, help="end when nothing has come for so long"
    )


async def watch(options: argparse.Namespace, settings: Settings) -> int:
    """Print every entry of a topic once, whatever happens to the connection."""
    since = _since(options.since)
    async with await login(options, settings) as client:
        await client.connect()
        messages = client.follow(options.topic, since=since)
        while True:
            try:
                async with asyncio.timeout(options.until_idle):
                    message = await anext(messages)
            except TimeoutError:
                return 0
            print(json.dumps(message) if options.json else _line(message), flush=True)


def _since(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    epoch, _, offset = text.rpartition(":")
    if not epoch or not offset.isdecimal():
        raise Misused("--since takes a position such as 1f2e3d4c.a1b2c3d4:42, as `watch --json` shows it")
    return epoch, int(offset)


def _line(message: Message) -> str:
    if message["type"] == "snapshot":
        count = len(message["machines"])
        position = f"{message['epoch']}:{message['offset']}"
        return f"{message['topic']}: {count} machines at {position}; waiting for more"
    moved = f"{','.join(message['from'])} → {','.join(message['to'])}"
    event = "gone" if message["gone"] else message["event"]
    return f"{message['offset']:>7}  {message['machine']}  {event:<14} {moved}"


def _add_data(command: argparse.ArgumentParser) -> None:
    add_login(command)
    command.add_argument(
        "fields", nargs="*", metavar="NAME=VALUE", help="data; a value is JSON, or else text"
    )
    command.add_argument("--data", metavar="JSON", default="{}", help="data as one JSON object")
    command.add_argument("--event-id", help="done at most once for an id; a repeat tells the first outcome")
    command.add_argument("--json", action="store_true", help="the reply as JSON")


def _add_sending(command: argparse.ArgumentParser) -> None:
    command.add_argument("machine")
    command.add_argument("event")
    command.add_argument("--if-revision", metavar="N", type=int, help="only if the machine is there still")
    _add_data(command)


def _add_spawning(command: argparse.ArgumentParser) -> None:
    command.add_argument("kind")
    command.add_argument("topic")
    _add_data(command)


async def send(options: argparse.Namespace, settings: Settings) -> int:
    """Send one event to a machine; the status tells whether it was applied."""
    data = _data(options)

    async def ask(client: Client) -> Message:
        return await client.send(
            options.machine, options.event, data, options.event_id, if_revision=options.if_revision
        )

    return await _asked(options, settings, ask)


async def spawn(options: argparse.Namespace, settings: Settings) -> int:
    """Start one machine; the status tells whether it was."""
    data = _data(options)

    async def ask(client: Client) -> Message:
        return await client.spawn(options.kind, options.topic, data, options.event_id)

    return await _asked(options, settings, ask)


async def _asked(options: argparse.Namespace, settings: Settings, ask: Callable[[Client], Any]) -> int:
    async with await login(options, settings) as client:
        await client.connect()
        try:
            reply = await ask(client)
        except Refused as refused:
            print(f"refused: {refused.message} ({refused.code})", file=sys.stderr)
            if refused.allowed is not None:
                print(f"allowed: {', '.join(refused.allowed) or 'nothing'}", file=sys.stderr)
            return REFUSED
    print(json.dumps(reply) if options.json else _outcome(reply))
    return 0


def _outcome(reply: Mapping[str, Any]) -> str:
    repeated = ", as it was the first time" if reply["repeated"] else ""
    state, may = ",".join(reply["to"]), ", ".join(reply["allowed"]) or "nothing"
    return f"{reply['machine']}  revision {reply['revision']}{repeated}  {state}\nallowed: {may}"


def _data(options: argparse.Namespace) -> dict[str, Any]:
    try:
        data = json.loads(options.data)
    except ValueError as error:
        raise Misused(f"--data is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise Misused("--data must be a JSON object")
    for field in options.fields:
        name, equals, value = field.partition("=")
        if not name or not equals:
            raise Misused(f"{field!r} is not NAME=VALUE")
        try:
            data[name] = json.loads(value)
        except ValueError:
            data[name] = value
    return data


WIRE_COMMANDS: tuple[tuple[str, Any, str, Callable[[argparse.ArgumentParser], None]], ...] = (
    ("watch", watch, "Print every entry of a topic as it happens, once each.", add_watching),
    ("send", send, "Send an event to a machine.", _add_sending),
    ("spawn", spawn, "Start a machine.", _add_spawning),
)
