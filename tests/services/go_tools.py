"""Servers that `go install` builds from a module; version and content are fixed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.services.launching import BUILT, NotToBeHad, build, tool

JOBS = "2"


@dataclass(frozen=True)
class Module:
    """A version of a module, and the sum of its content as `go.sum` has it.

    The sums of all that it requires stand in the module's own `go.sum`, which is part of the content, or
    are looked up in Go's checksum database.
    """

    path: str
    version: str
    sum: str


def fetched(module: Module) -> Path:
    """The folder of a module's source.

    Raises:
        NotToBeHad: Go is missing, the module cannot be fetched, or is not the one that was meant.
    """
    go = tool("go", f"builds {module.path}")
    told = json.loads(build([go, "mod", "download", "-json", f"{module.path}@{module.version}"], module.path))
    if told["Sum"] != module.sum:
        raise NotToBeHad(f"{module.path} {module.version} has the sum {told['Sum']}, not {module.sum}")
    return Path(told["Dir"])


def installed(module: Module, *, version_in: str = "", more: Mapping[str, str] | None = None) -> Path:
    """The program of a module's own name, which says its version if the variable of it is named.

    Raises:
        NotToBeHad: It cannot be fetched or built.
    """
    name = module.path.rpartition("/")[2]
    program = BUILT / f"{name}-{module.version}"
    if program.is_file():
        return program
    fetched(module)
    part = BUILT / f"{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    target = {"GOBIN": str(part), "GOFLAGS": f"-mod=mod -p={JOBS}"}
    go = tool("go", f"builds {module.path}")
    version = f"-X={version_in}={module.version.removeprefix('v')}" if version_in else ""
    build(
        [go, "install", f"-ldflags={version}", f"{module.path}@{module.version}"],
        module.path,
        more=target | dict(more or {}),
    )
    (part / name).rename(program)
    shutil.rmtree(part)
    return program
