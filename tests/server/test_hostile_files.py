"""Every malformed and encrypted real file through a whole server: each ends, nothing else suffers."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.client import Client
from server.demo_case import documents as generated
from tests.bench.serving import investigator, open_case, serving

ENDED = {"ready", "failed", "locked", "duplicate"}
LIMITS = {"CASEWIRE_PARSE_TIME_S": "20", "CASEWIRE_PARSE_MEMORY_BYTES": str(1 << 30)}


def hostile(documents: Path) -> list[Path]:
    return sorted(
        p for folder in ("malformed", "encrypted") for p in (documents / folder).iterdir() if p.is_file()
    )


async def ended(client: Client, machines: dict[str, str]) -> dict[str, tuple[str, str]]:
    """File name → state and reason, once all have ended."""

    def states() -> dict[str, tuple[str, str]] | None:
        known = {name: client.machine(machine) for name, machine in machines.items()}
        if not all(m and ENDED & set(m["configuration"]) for m in known.values()):
            return None
        return {name: (m["configuration"][0], m["context"]["reason"]) for name, m in known.items() if m}

    found: dict[str, tuple[str, str]] = await client.wait_for(states, 200)
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_every_hostile_file_ends_in_a_clear_state_and_disturbs_nothing(documents: Path) -> None:
    async with serving(**LIMITS) as url, investigator(url) as client:
        case = await open_case(client, "hostile")
        machines = {path.name: await client.upload_file(case, path) for path in hostile(documents)}
        good = next(iter(generated()))
        machines[good.filename] = await client.upload(case, good.filename, good.content, len(good.content))
        states = await ended(client, machines)
        assert states.pop(good.filename) == ("ready", "")
        for name, (state, reason) in states.items():
            assert state == "ready" or len(reason) > 10, f"{name} is {state} without a reason"
        encrypted = {
            name: state for name, (state, _) in states.items() if "password" in name and name.endswith("pdf")
        }
        assert set(encrypted.values()) == {"locked"}

        locked = machines["password-hunter2.pdf"]
        await client.request("POST", f"/api/uploads/{locked}/unlock", {"password": "hunter2"})
        await client.wait_for(lambda: "ready" in (client.machine(locked) or {})["configuration"], 60)
        status = await client.request("GET", "/api/status")
        assert status["well"]
