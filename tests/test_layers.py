"""Who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"machines", "gpu", "storage", "handlers", "server"}
MAY_IMPORT = {
    "machines": {"machines"},
    "gpu": {"gpu"},
    "storage": {"storage", "machines"},
    "handlers": {"handlers", "machines", "storage", "gpu"},
    "server": OURS,
}


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names]
    names += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    return {name.partition(".")[0] for name in names} & OURS


@pytest.mark.parametrize("folder", sorted(MAY_IMPORT))
def test_a_folder_imports_only_what_lies_below_it(folder: str) -> None:
    wrong = {
        str(path.relative_to(ROOT)): sorted(extra)
        for path in (ROOT / folder).rglob("*.py")
        if (extra := imported(path) - MAY_IMPORT[folder])
    }
    assert wrong == {}


def test_machines_touch_neither_clock_nor_chance_nor_the_world() -> None:
    forbidden = {"time", "datetime", "random", "secrets", "os", "socket", "asyncio", "pathlib"}
    for path in (ROOT / "machines").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names}
        names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        assert not names & forbidden, path.name
