"""What is started for a test run ends with it, and what cannot be started says why."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.services.__main__ import NOT_TO_BE_HAD
from tests.services.launching import ROOT, NotToBeHad, build, free_port, running, tool


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_process_and_its_children_end_with_the_block_even_if_they_would_rather_not(tmp_path: Path) -> None:
    script = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('child', 'w').write(str(child.pid)); open('ready', 'w').close(); time.sleep(600)\n"
    )
    home = tmp_path / "home"

    def run() -> None:
        with running([sys.executable, "-c", script], home) as server:
            server.wait_until((home / "ready").exists, "it")
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.services.launching.STOP_S", 0.5)
        with pytest.raises(KeyboardInterrupt):
            run()
    child, until = int((home / "child").read_text()), time.monotonic() + 60
    while is_alive(child) and time.monotonic() < until:  # it was killed, which takes a moment
        time.sleep(0.01)
    assert not is_alive(child)


def test_a_build_that_is_broken_off_leaves_no_compiler_behind(tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'part')!r}, 'w').write(str(child.pid))\n"
        f"os.rename({str(tmp_path / 'part')!r}, {str(tmp_path / 'child')!r}); time.sleep(600)\n"
    )
    asked = (
        "import signal, sys; from tests.services.launching import build\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"
        f"build([sys.executable, '-c', {script!r}], 'It')\n"
    )
    with subprocess.Popen([sys.executable, "-c", asked], cwd=ROOT) as building:
        until = time.monotonic() + 60
        while not (tmp_path / "child").exists() and time.monotonic() < until:
            time.sleep(0.01)
        building.terminate()
        assert building.wait(60) == 3
    child = int((tmp_path / "child").read_text())
    while is_alive(child) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_alive(child)


def test_a_server_that_ends_at_once_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('the port is taken')"]
    with running(command, tmp_path) as server, pytest.raises(NotToBeHad, match="the port is taken"):
        server.wait_until(lambda: False, "it")


def test_a_missing_tool_and_a_failed_build_are_told() -> None:
    with pytest.raises(NotToBeHad, match="no-such-tool is missing, which builds nothing: install it"):
        tool("no-such-tool", "builds nothing")
    with pytest.raises(NotToBeHad, match=r"Nothing could not be built:\n.*broken"):
        build([sys.executable, "-c", "raise SystemExit('broken')"], "Nothing")
    assert free_port() != free_port()


def test_what_cannot_be_started_is_told_and_is_no_success() -> None:
    names = {"SERVICES": "qdrant", "TEST_QDRANT_URL": ""}
    command = [sys.executable, "-m", "tests.services"]
    done = subprocess.run(command, env=os.environ | names, capture_output=True, text=True, check=False)
    assert done.returncode == NOT_TO_BE_HAD
    assert "NOT RUN qdrant: TEST_QDRANT_URL names none" in done.stderr
    done = subprocess.run(
        command, env=os.environ | {"SERVICES": "neo5j"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "SERVICES names neo5j" in done.stderr) == (2, True)
