"""MinIO, built from its module."""

from __future__ import annotations

import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.services.go_tools import Module, installed
from tests.services.launching import Started, free_port, running

MODULE = Module(
    "github.com/minio/minio",
    "v0.0.0-20260212201848-7aac2a2c5b7c",
    "h1:/qdoYujxF5MBLDMVLeiYJ/7fBa1HikX39Dvzb9Ji8pA=",
)


@contextmanager
def served(folder: Path) -> Iterator[Started]:
    """A server with random keys.

    Raises:
        NotToBeHad: It cannot be built or does not start.
    """
    program, port = installed(MODULE), free_port()
    key, secret = secrets.token_hex(8), secrets.token_urlsafe(24)
    endpoint = f"http://127.0.0.1:{port}"
    command = [str(program), "server", str(folder / "data"), "--address", f"127.0.0.1:{port}"]
    settings = {
        "MINIO_ROOT_USER": key,
        "MINIO_ROOT_PASSWORD": secret,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    with running(command, folder, more=settings) as server:
        server.wait_until(lambda: _answers(f"{endpoint}/minio/health/live"), "MinIO")
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        build = re.search(r"version (\S+)", said)
        version = build[1] if build and build[1] != "DEVELOPMENT.GOGET" else MODULE.version
        yield Started(
            {
                "TEST_S3_ENDPOINT": endpoint,
                "TEST_S3_ACCESS_KEY": key,
                "TEST_S3_SECRET_KEY": secret,
                "TEST_S3_VERSION": f"MinIO {version}",
            },
            f"MinIO {version}",
            server.process.pid,
        )


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False
