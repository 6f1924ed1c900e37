"""Has a person of interest looked for: by a machine of its own, begun once and told of every change."""

from __future__ import annotations

from contextlib import suppress

from machines.errors import StepError
from server.engine import Engine, MachineExists, MachineMissing
from storage.machine_store import new_machine_id
from storage.pois import Pois


def new_search(case: str, shards: int) -> str:
    """The id of a machine that will look for somebody in a case."""
    return new_machine_id("poi_search", f"case:{case}", shards)


async def look_for(engine: Engine, pois: Pois, case: str, poi: int, *, actor: str, shards: int) -> None:
    """Have the evidence searched for a person as it is called now, unless it has been already."""
    rows = [row for row in await pois.of_case(case) if row.id == poi]
    if not rows:
        return
    machine = rows[0].machine or await pois.assign(case, poi, new_search(case, shards))
    called = {"called": rows[0].name, "aliases": rows[0].aliases}
    if await engine.load(machine) is None:
        data = {"poi": poi} | called
        with suppress(MachineExists):  # somebody else was faster, perhaps with an earlier name
            await engine.spawn(
                "poi_search", f"case:{case}", data, source="handler", actor=actor, machine=machine
            )
            return
    await engine.send(machine, "renamed", called, source="handler", actor=actor)


async def end_search(engine: Engine, machine: str, *, actor: str) -> None:
    """Nobody of that name is looked for any more."""
    if machine:
        with suppress(MachineMissing, StepError):  # it never began, or has ended before
            await engine.send(machine, "swept", {}, source="handler", actor=actor)
