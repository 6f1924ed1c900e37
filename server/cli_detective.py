"""The command `casewire detective`: search all of one's cases, and print what was found with its paths."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from machines.detective import MOST
from server.cli_wire import CommandFailed, add_login, login
from server.client import Client
from server.settings import Settings

_RESTING = ("presented", "failed", "cancelled", "discarded")
_PATIENCE_S = 1800.0


def add_searching(command: argparse.ArgumentParser) -> None:
    """The arguments of `detective`."""
    command.add_argument(
        "--case", action="append", default=[], help="id of a case to search; all unless given"
    )
    command.add_argument(
        "--about",
        action="append",
        default=[],
        metavar="NAME",
        help="a person, name or title; given twice, how the two are connected",
    )
    command.add_argument("--limit", type=int, default=30, help=f"findings at most, 1 to {MOST}")
    add_login(command)


async def detective(options: argparse.Namespace, settings: Settings) -> int:
    """Search, wait, and print the findings, best first."""
    async with await login(options, settings) as client:
        about = [await _node(client, name) for name in options.about]
        user = (await client.request("GET", "/api/session"))["user"]["id"]
        await client.connect()
        await client.subscribe(topic := f"user:{user}")
        data = {"cases": options.case, "about": about, "limit": options.limit}
        machine = (await client.spawn("detective", topic, data))["machine"]
        state = await client.wait_for(lambda: _at_rest(client, topic, machine), _PATIENCE_S)
        if state["configuration"] != ["presented"]:
            raise CommandFailed(f"the search has ended without findings: {state['context']['reason']}")
        told = await client.request("GET", f"/api/detective/{quote(machine)}/findings")
    for line in _lines(told):
        print(line)
    return 0


async def _node(client: Client, name: str) -> int:
    found = await client.request("GET", f"/api/detective/ends?limit=5&words={quote(name)}")
    exact = [end for end in found if end["name"].casefold() == name.casefold()] or found
    if not exact:
        raise CommandFailed(f"nothing in your cases is called “{name}”")
    return int(exact[0]["node"])


def _at_rest(client: Client, topic: str, machine: str) -> dict[str, Any] | None:
    state: dict[str, Any] | None = client.topics[topic].machines.get(machine)
    return state if state is not None and state["configuration"][0] in _RESTING else None


def _lines(told: dict[str, Any]) -> Iterator[str]:
    if not told["findings"]:
        yield "Nothing was found."
    for place, one in enumerate(told["findings"], start=1):
        yield f"{place:>3}. {one['sentence']}"
        steps = [one["path"][0]["name"]]
        for edge, node in zip(one["edges"], one["path"][1:], strict=True):
            steps.append(f"—{edge['label']}— {node['name']}")
        yield f"     {one['kind']}, score {one['score']:.2f}, {one['confidence']:.0%} sure: {' '.join(steps)}"
        for source in one["sources"]:
            page = f", page {source['page']}" if source["page"] else ""
            yield f"     {source['title']}{page}: {source['snippet']}"
