"""What only the real packages know: CuPy's names, and whether CUDA's compiler takes the kernels.

    python -m tests.gpu.rehearsal.against_cupy names      rewrites cupy_names.txt from the CuPy installed
    python -m tests.gpu.rehearsal.against_cupy kernels    compiles every gpu/**/*.cu for sm_90 by NVRTC

Neither needs a GPU, so both can run in an environment of their own that has CuPy and NVRTC in it.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

NAMES = Path(__file__).with_name("cupy_names.txt")
FOLDER = Path(__file__).parents[3] / "gpu"
UNUSED = re.compile(
    "load|save|print|format|from|poly|gen|show|typename|mintype|binary_|base_|array_?2?str|get_|set_"
)


def names() -> list[str]:
    """Each function that CuPy shares with NumPy, followed by its parameters."""
    import cupy
    import numpy as np

    lines = []
    for name in sorted(set(dir(cupy)) & set(dir(np))):
        found = getattr(cupy, name)
        if name.startswith("_") or UNUSED.match(name) or isinstance(found, type) or not callable(found):
            continue
        if isinstance(found, cupy.ufunc):
            lines.append(f"{name} ufunc {found.nin}")
            continue
        try:
            parameters = inspect.signature(found).parameters.values()
        except ValueError:
            continue
        stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
        lines.append(" ".join([name, *(stars.get(one.kind, "") + one.name for one in parameters)]))
    return lines


def compile_kernels() -> dict[str, int]:
    """Compile each kernel file; return the bytes of its machine code.

    Raises:
        ImportError: CuPy is not installed.
        RuntimeError: NVRTC is not.
        SyntaxError: What the compiler said.
    """
    from cupy._core.core import assemble_cupy_compiler_options
    from cupy.cuda import nvrtc

    options = (*assemble_cupy_compiler_options(("--std=c++17",)), "-arch=sm_90")
    found = {}
    for source in sorted(FOLDER.rglob("*.cu")):
        program = nvrtc.createProgram(source.read_text("utf-8"), source.name, (), ())
        try:
            nvrtc.compileProgram(program, options)
            found[str(source.relative_to(FOLDER))] = len(nvrtc.getCUBIN(program))
        except nvrtc.NVRTCError as error:
            raise SyntaxError(nvrtc.getProgramLog(program)) from error
        finally:
            nvrtc.destroyProgram(program)
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["names"]:
        NAMES.write_text("\n".join(names()) + "\n", "utf-8")
    elif sys.argv[1:] == ["kernels"]:
        for path, size in compile_kernels().items():
            print(f"{path}: {size} bytes")
    else:
        raise SystemExit(__doc__)
