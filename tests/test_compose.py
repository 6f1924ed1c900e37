"""`compose.yaml` starts stores that nobody else on the network reaches, and holds no password."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE = Path(__file__).resolve().parent.parent / "compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
SECRET = re.compile(r"PASSWORD|AUTH|KEY|SECRET")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_kept_watched_and_private(name: str) -> None:
    service = SERVICES[name]
    tag = service["image"].rpartition(":")[2]
    assert re.search(r"\d", tag)
    assert tag != "latest"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["volumes"]
    assert service["healthcheck"]["test"]


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_the_environment_and_have_no_default(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if SECRET.search(variable):
            assert "${" in value, variable
    for default in re.findall(r"\$\{\w+:-", str(SERVICES[name])):
        raise AssertionError(f"{default} has a default")


def test_every_secret_is_asked_for() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    assert asked == set(re.findall(r"\$\{(\w+)", text))
