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

PACKAGE = Path(__file__).parents[1] / "isogain"


def mypy(module: str, *arguments: str, stub_path: Path = PACKAGE.parent) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("mypy")
    environment = os.environ | {"PYTHONPATH": str(stub_path), "MYPYPATH": str(stub_path)}
    call = [sys.executable, "-m", module, *arguments]
    return subprocess.run(call, capture_output=True, text=True, cwd=stub_path, env=environment)


def test_the_package_is_typed():
    assert (PACKAGE / "py.typed").is_file()
    ran = mypy("mypy", "--strict", "isogain")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_stub_of_the_native_half_is_whole():
    ran = mypy("mypy.stubtest", "isogain._core")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("    def prediction(self) -> str: ...\n", ""),
        ('    def render(self, format: str = "text", *, colour: bool = False) -> str: ...\n    def html',
         '    def render(self, format: str = "json", *, colour: bool = False) -> str: ...\n    def html'),
        ("\n@final\nclass Checked:", "\ndef invented() -> None: ...\n@final\nclass Checked:"),
    ],
)  # fmt: skip
def test_a_stub_that_is_not_whole_is_found(tmp_path: Path, right: str, wrong: str):
    """The guard of the test above: a method left out, another default, a function that does not exist."""
    folder = tmp_path / "isogain"
    folder.mkdir()
    for name in ("__init__.py", "py.typed"):
        (folder / name).write_text("")
    native = next(PACKAGE.glob("_core*.so"), None) or next(PACKAGE.glob("_core*.pyd"))
    (folder / native.name).symlink_to(native)
    stub = (PACKAGE / "_core.pyi").read_text()
    assert right in stub
    (folder / "_core.pyi").write_text(stub.replace(right, wrong, 1))
    ran = mypy("mypy.stubtest", "isogain._core", stub_path=tmp_path)
    assert ran.returncode != 0 and "error: isogain._core" in ran.stdout, ran.stdout + ran.stderr
