"""Ollama, built from its module, with two small models of ours.

A Go module carries no folder named `vendor`, in which Ollama keeps three headers of others: an older
version of its own has two of them elsewhere, and a binding to miniaudio the third.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.services.go_tools import Module, fetched, installed
from tests.services.launching import BUILT, Started, free_port, running, tool
from tests.services.make_gguf import make_minilm, make_writer

MODULE = Module("github.com/ollama/ollama", "v0.17.4", "h1:X3KNm9x4BlHqk/AXMGtC7pBAFd46nmJmy8yDaBZLo9s=")
WITH_HEADERS = Module("github.com/ollama/ollama", "v0.6.5", "h1:vXKkVX57ql/1ZzMw4SVK866Qfd6pjwEcITVyEpF0QXQ=")
WITH_MINIAUDIO = Module(
    "github.com/gen2brain/malgo", "v0.11.24", "h1:hHcIJVfzWcEDHFdPl5Dl/CUSOjzOleY0zzAV8Kx+imE="
)
WRITER, EMBEDDER = "casewire-writer", "casewire-minilm"
NUM_CTX = 8192
"""Where a request names none."""
_TEMPLATE = "{{ if .System }}{{ .System }}\n{{ end }}{{ .Prompt }}"


def prepared() -> Path:
    """The program.

    Raises:
        NotToBeHad: Go or a C++ compiler is missing, or it cannot be built.
    """
    tool("g++", "builds Ollama")
    include = BUILT / "include"
    theirs = fetched(WITH_HEADERS) / "llama" / "llama.cpp" / "common"
    json = theirs / "json.hpp"
    for header, source in {
        "nlohmann/json.hpp": json,
        "nlohmann/json_fwd.hpp": json,
        "stb/stb_image.h": theirs / "stb_image.h",
        "miniaudio/miniaudio.h": fetched(WITH_MINIAUDIO) / "miniaudio.h",
    }.items():
        (include / header).parent.mkdir(parents=True, exist_ok=True)
        (include / header).unlink(missing_ok=True)
        shutil.copyfile(source, include / header)
    return installed(
        MODULE,
        version_in=f"{MODULE.path}/version.Version",
        more={"CGO_ENABLED": "1", "CGO_CPPFLAGS": f"-I{include}"},
    )


@contextmanager
def served(folder: Path) -> Iterator[Started]:
    """A server that knows the two models.

    Raises:
        NotToBeHad: It cannot be built or does not start.
    """
    program, port = prepared(), free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_MODELS": str(folder / "models"),
        "OLLAMA_CONTEXT_LENGTH": str(NUM_CTX),
        "OLLAMA_DEBUG": "1",  # the log tells what each prompt took from the cache
        "OLLAMA_KEEP_ALIVE": "1h",
        "OLLAMA_NUM_PARALLEL": "1",
        "OLLAMA_MAX_LOADED_MODELS": "2",
    }
    with running([str(program), "serve"], folder, more=settings) as server:
        server.wait_until(lambda: _answers(f"{url}/api/version"), "Ollama")
        with httpx.Client(base_url=url, timeout=300) as client:
            version = client.get("/api/version").json()["version"]
            for name, make in ((WRITER, make_writer), (EMBEDDER, make_minilm)):
                file = folder / f"{name}.gguf"
                make(file)
                _create(client, name, file)
                file.unlink()
        yield Started(
            {
                "TEST_OLLAMA_HOST": url,
                "TEST_OLLAMA_MODEL": WRITER,
                "TEST_OLLAMA_EMBED_MODEL": EMBEDDER,
                "TEST_OPENAI_URL": f"{url}/v1",
                "TEST_OPENAI_MODEL": WRITER,
                "TEST_OPENAI_VERSION": f"Ollama {version}",
                "TEST_OLLAMA_LOG": str(server.log),
            },
            f"Ollama {version}",
            server.process.pid,
        )


def _create(client: httpx.Client, name: str, file: Path) -> None:
    content = file.read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    client.post(f"/api/blobs/{digest}", content=content).raise_for_status()
    # One thread: on a machine that has other work, several wait for one another many times a token.
    parameters = {"num_thread": 1} | ({"num_ctx": NUM_CTX} if name == WRITER else {})
    asked = {"model": name, "files": {file.name: digest}, "stream": False, "parameters": parameters}
    if name == WRITER:
        asked |= {"template": _TEMPLATE}
    client.post("/api/create", json=asked).raise_for_status()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False
