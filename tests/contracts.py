"""Which contract suite ran against which adapter and server: what a run prints at its end.

A test that runs against a store says so with the fixture `ran_against`; `--contracts` prints one line a
suite, adapter and version. The suite is the name of the test's module.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

RanAgainst = Callable[[str, str], None]
"""Told the adapter and the version of the server behind it, such as `("Qdrant", "Qdrant 1.17.0")`."""

_PROPERTY = "contract"


@pytest.fixture
def ran_against(record_property: Callable[[str, object], None]) -> RanAgainst:
    def tell(adapter: str, version: str) -> None:
        record_property(_PROPERTY, f"{adapter}\t{version}")

    return tell


def pytest_addoption(parser: pytest.Parser) -> None:
    """See pytest."""
    parser.addoption(
        "--contracts", action="store_true", help="tell which suite ran against which adapter and version"
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """See pytest."""
    if not config.getoption("--contracts"):
        return
    counts: dict[tuple[str, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == _PROPERTY and report.when == "call":
                    counts[report.nodeid.split("::")[0], *str(value).split("\t")][outcome] += 1
    terminalreporter.section("contracts")
    terminalreporter.write_line("| suite | adapter | server | passed | failed |")
    terminalreporter.write_line("|---|---|---|---|---|")
    for row, found in sorted(counts.items()):
        terminalreporter.write_line(f"| {' | '.join(row)} | {found['passed']} | {found['failed']} |")
