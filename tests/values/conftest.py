from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coflux.executor.blobs import FileBlobs

PROJECT = Path(__file__).parents[2]

RunScript = Callable[..., str]


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(str(tmp_path / "blobs"))


@pytest.fixture
def run_script(tmp_path: Path) -> RunScript:
    """Run a script as `__main__` of a process of its own, in a directory shared by the test's scripts."""

    def run(source: str, *arguments: str) -> str:
        script = tmp_path / "script.py"
        script.write_text(PREAMBLE + source)
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        command = [sys.executable, "-W", "error", str(script), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


PREAMBLE = """
import pathlib, sys
import msgspec
from coflux import failures, values
from coflux.executor.blobs import FileBlobs

blobs = FileBlobs("blobs")

def save(struct):
    pathlib.Path("saved").write_bytes(msgspec.msgpack.encode(struct))

def saved(type):
    return msgspec.msgpack.decode(pathlib.Path("saved").read_bytes(), type=type)

"""
