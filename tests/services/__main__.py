"""`python -m tests.services`: start real servers, run the suites against them, tell which ran, stop them.

A server that the environment names (`TEST_NEO4J_URI`, `TEST_S3_ENDPOINT`, `TEST_OLLAMA_HOST`,
`TEST_LLAMA_URL`, and for what is not started here `TEST_QDRANT_URL`, `TEST_REDIS_URL`, `TEST_DATABASE_URL`)
is used as it is, and what it holds is deleted. `SERVICES=neo4j,minio` leaves out the others. The status is 0
where all ran and passed, 1 where a suite failed, 3 where none failed and a server was not to be had.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.services import llama_server, minio_server, neo4j_server, ollama_server
from tests.services.launching import BUILT, ROOT, NotToBeHad, Started

MARKS = "not browser and not slow"
NOT_TO_BE_HAD = 3


@dataclass(frozen=True)
class Service:
    """A kind of server.

    Attributes:
        variable: What names one of the user's own.
        suites: Test files and folders, as patterns; a suite may skip what is not meant for it.
        served: Starts one; None where only the user's own can be used.
    """

    variable: str
    suites: tuple[str, ...]
    served: Callable[[Path], AbstractContextManager[Started]] | None = None


SERVICES: Mapping[str, Service] = {
    "neo4j": Service(
        "TEST_NEO4J_URI",
        ("tests/storage/test_graph*.py", "tests/server/test_graph_outage.py"),
        neo4j_server.served,
    ),
    "minio": Service(
        "TEST_S3_ENDPOINT",
        ("tests/storage/test_blobs.py", "tests/server/test_blob_store.py", "tests/server/test_multipart.py"),
        minio_server.served,
    ),
    "ollama": Service(
        "TEST_OLLAMA_HOST",
        (
            "tests/services/test_launching.py",
            "tests/services/test_models.py",
            "tests/services/test_written.py",
            "tests/handlers/test_*_contract.py",
        ),
        ollama_server.served,
    ),
    "llamacpp": Service(
        "TEST_LLAMA_URL",
        ("tests/services/test_llama_server.py", "tests/handlers/test_language_model_contract.py"),
        llama_server.served,
    ),
    "qdrant": Service("TEST_QDRANT_URL", ("tests/storage/test_vectors.py",)),
    "redis": Service("TEST_REDIS_URL", ("tests/storage", "tests/server")),
    "postgres": Service("TEST_DATABASE_URL", ("tests/storage", "tests/server")),
}


def main() -> int:
    """Run; the status as the module says."""
    wanted = [name for name in os.environ.get("SERVICES", "").replace(" ", "").split(",") if name]
    if unknown := set(wanted) - SERVICES.keys():
        print(
            f"SERVICES names {', '.join(sorted(unknown))}; there are {', '.join(SERVICES)}", file=sys.stderr
        )
        return 2
    signal.signal(signal.SIGTERM, _end)
    BUILT.mkdir(parents=True, exist_ok=True)
    missing, suites, variables = [], dict[str, None](), dict[str, str]()
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="casewire-services-", dir="/tmp"))
        )
        for name, service in SERVICES.items():
            asked_for = name in wanted
            if wanted and not asked_for:
                continue
            try:
                started = _start(stack, service, folder / name)
            except NotToBeHad as error:
                missing.append(f"{name}: {error}")
                continue
            if started is None:
                if asked_for:
                    missing.append(f"{name}: {service.variable} names none, and none can be started here")
                continue
            variables |= started
            suites |= dict.fromkeys(_files(service.suites))
        failed = _run(list(suites), variables) if suites else False
    for reason in missing:
        print(f"NOT RUN {reason}", file=sys.stderr)
    if not suites and not missing:
        print("Nothing to run.", file=sys.stderr)
    if failed:
        return 1
    return NOT_TO_BE_HAD if missing or not suites else 0


def _start(stack: ExitStack, service: Service, folder: Path) -> Mapping[str, str] | None:
    """What tells the tests of the server; None where there is none and none is missed."""
    if os.environ.get(service.variable):
        print(f"{service.variable} names a server of yours.", flush=True)
        return {}
    if service.served is None:
        return None
    since = time.monotonic()
    started = stack.enter_context(service.served(folder))
    print(f"{started.version} runs after {time.monotonic() - since:.0f} s.", flush=True)
    return started.variables


def _files(patterns: Sequence[str]) -> list[str]:
    return [str(path.relative_to(ROOT)) for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def _run(suites: Sequence[str], variables: Mapping[str, str]) -> bool:
    """Whether something failed. pytest hears of Ctrl-C itself, as it is in our group, and ends first."""
    command = [sys.executable, "-m", "pytest", "-n0", "-m", MARKS, "--contracts", *suites]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | dict(variables))
    try:
        return process.wait() != 0
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
