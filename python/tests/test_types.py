"""The types that the package promises: of its own code, and of the native half, which no type checker can read.

`_core.pyi` is written by hand. stubtest imports the built module and compares every function, class, method, parameter,
default and `__all__` with it, so that nothing can be added to the one and forgotten in the other.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import isogain
from isogain import _core

# Wherever it is: a checkout with the native half beside the code, or what was installed.
PACKAGE = Path(isogain.__file__).parent


def ran(folder: Path, home: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs mypy or stubtest in `folder`, on the package in `home`."""
    pytest.importorskip("mypy")
    environment = os.environ | {"PYTHONPATH": str(home)}
    # mypy finds what is installed by itself, and refuses to be told of it.
    if home.name != "site-packages":
        environment["MYPYPATH"] = str(home)
    call = [sys.executable, "-m", module, *arguments]
    return subprocess.run(call, capture_output=True, text=True, cwd=folder, env=environment)


def compared(folder: Path, stub: str) -> subprocess.CompletedProcess[str]:
    """Compares a stub with the native half, in a package that has nothing else, which takes less time."""
    package = folder / "isogain"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "py.typed").touch()
    native = Path(_core.__file__)
    (package / native.name).symlink_to(native)
    (package / "_core.pyi").write_text(stub)
    return ran(folder, folder, "mypy.stubtest", "isogain._core")


def test_the_package_is_typed(tmp_path: Path):
    assert (PACKAGE / "py.typed").is_file()
    strict = ran(tmp_path, PACKAGE.parent, "mypy", "--strict", "--package", "isogain")
    assert strict.returncode == 0 and "no issues found" in strict.stdout, strict.stdout + strict.stderr


def test_the_stub_of_the_native_half_is_whole(tmp_path: Path):
    found = compared(tmp_path, (PACKAGE / "_core.pyi").read_text())
    assert found.returncode == 0 and "no issues found" in found.stdout, found.stdout + found.stderr


@pytest.mark.parametrize(
    "right, wrong, complaint",
    [
        ("    def prediction(self) -> str: ...\n", "", "Checked.prediction is not present in stub"),
        ("spectrum: bool = True) -> Weights", "spectrum: bool = False) -> Weights", 'Weights.of_files is inconsistent'),
        ("\ndef explain(", "\ndef invented() -> None: ...\ndef explain(", "invented is not present at runtime"),
    ],
)
def test_a_stub_that_is_not_whole_is_found(tmp_path: Path, right: str, wrong: str, complaint: str):
    """The guard of the test above: a method left out, another default, a function that does not exist."""
    stub = (PACKAGE / "_core.pyi").read_text()
    assert right in stub
    found = compared(tmp_path, stub.replace(right, wrong, 1))
    assert found.returncode == 1 and f"error: isogain._core.{complaint}" in found.stdout, found.stdout + found.stderr
