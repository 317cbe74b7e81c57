"""Compiles the arithmetic of the dense learners to C: into a wheel, or in place by `python hatch_build.py`.

mypyc takes a copy of `models/kernel.py` with the digest of that source baked into it, so that `models.kernels` can tell
whether a compiled module is of the source beside it. Compiled code is a matter of speed alone: where it cannot be made,
for want of a compiler, of Python's headers or of mypyc, one line says so, and all goes on without.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["KernelBuildHook", "attempt", "compile_kernel"]

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from models.kernels import digest  # noqa: E402 - hatchling runs this file from anywhere

MODULE = "_compiled"
# No fused multiply-add, on no machine, and C's pow as it is in Python: else some numbers would round otherwise. The
# compiler would make a product of pow(v, 2.0).
FLAGS = ["-ffp-contract=off", "-fno-builtin-pow"]


class KernelBuildHook(BuildHookInterface[Any]):
    """Puts the compiled module into a wheel, which is then of one Python and one kind of machine."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds a wheel; an editable one is left to `make setup`."""
        if version != "standard":
            return
        self.folder = tempfile.mkdtemp()
        made = attempt(Path(self.folder))
        if made:
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["force_include"].update({str(path): f"models/{path.name}" for path in made})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called by hatchling after it."""
        if version == "standard":
            shutil.rmtree(self.folder, ignore_errors=True)


def attempt(target: Path) -> list[Path]:
    """Compile if that is possible, and say in one line if it is not."""
    try:
        return compile_kernel(target)
    except (ImportError, OSError, subprocess.CalledProcessError) as error:
        told = [error.stdout, error.stderr] if isinstance(error, subprocess.CalledProcessError) else [str(error)]
        why = "\n".join(told).strip().rpartition("\n")[2] or str(error)
        print(f"setup: the learners run as plain Python, to the same bit but slower: {why}", file=sys.stderr)
        return []


def compile_kernel(target: Path) -> list[Path]:
    """Compile `models/kernel.py`.

    Parameters
    ----------
    target
        Folder that the modules are put into.

    Returns
    -------
    list of Path
        The modules: one that Python imports and one that it is made of.

    Raises
    ------
    subprocess.CalledProcessError
        If a step failed; what it printed says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        source = (ROOT / "models" / "kernel.py").read_text("utf-8")
        (place / "models").mkdir()
        for name in ("__init__.py", "errors.py"):
            shutil.copy(ROOT / "models" / name, place / "models" / name)
        baked = f'{source}\nSOURCE: Final = "{digest(source)}"\n'
        (place / "models" / f"{MODULE}.py").write_text(baked, "utf-8")
        # In a process of its own: mypyc knows the folder it is in, and ends the process when it finds a fault.
        step = [sys.executable, str(Path(__file__).resolve()), "--compile-here"]
        subprocess.run(step, cwd=place, check=True, capture_output=True, text=True)
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        return [_put(path, target / path.name) for path in sorted((place / "models").glob(f"{MODULE}*{suffix}"))]


def _put(made: Path, place: Path) -> Path:
    # By a new name first: a process that has the old module mapped must not see it change.
    new = place.with_name(f".{place.name}.{os.getpid()}")
    shutil.copy2(made, new)
    return new.replace(place)


def _compile_here() -> None:
    """What the process of its own does, in a folder that has the sources."""
    from mypyc.build import mypycify
    from setuptools import Distribution

    source = f"models/{MODULE}.py"
    extensions: list[Any] = mypycify(["--config-file=", "--strict", source], only_compile_paths=[source])
    for extension in extensions:
        extension.extra_compile_args += FLAGS
    command: Any = Distribution({"name": "henji", "ext_modules": extensions}).get_command_obj("build_ext")
    command.inplace = True
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    if sys.argv[1:] == ["--compile-here"]:
        sys.path.insert(0, "")  # the folder it is in, for mypy
        _compile_here()
    else:
        for old in (ROOT / "models").glob(f"{MODULE}*{sysconfig.get_config_var('EXT_SUFFIX')}"):
            old.unlink()
        attempt(ROOT / "models")
