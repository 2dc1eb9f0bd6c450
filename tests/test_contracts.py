"""What the project promises about itself: which way imports go, and what is not loaded until it is needed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import coflux
from coflux.cli.app import COMMANDS

ROOT = Path(coflux.__file__).parent.parent
HEAVY = {"asyncio", "click", "logging", "msgspec", "rich", "sqlite3", "subprocess", "tempfile", "textual"}


def loaded_by(code: str) -> set[str]:
    """The top-level modules of a fresh interpreter after `code`."""
    script = f"import sys\nsys.stdout = sys.stderr\n{code}\nprint(*sys.modules, file=sys.__stdout__)"
    output = subprocess.check_output([sys.executable, "-c", script], text=True, cwd=ROOT, stderr=subprocess.DEVNULL)
    return {name.partition(".")[0] for name in output.split()}


def test_importing_coflux_is_light() -> None:
    assert loaded_by("import coflux") & HEAVY == set()


def test_help_needs_no_command_and_no_engine() -> None:
    loaded = loaded_by("from coflux.cli.app import run\nassert run(['--help']) == 0")
    assert loaded & HEAVY == {"click"}


def test_a_headless_run_loads_no_terminal_libraries() -> None:
    assert loaded_by("import coflux.cli.foreground") & {"asyncio", "rich", "textual"} == set()


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    output = subprocess.check_output([sys.executable, "-m", "coflux", command, "--help"], text=True, cwd=ROOT)
    assert output.startswith(f"Usage: coflux {command} ")


def test_every_import_contract_breaks_when_it_is_violated(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "coflux", tmp_path / "coflux", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module, violation in {
        "logs.py": "import coflux.executor.messages",
        "executor/worker.py": "import coflux.executor.supervisor",
        "executor/supervisor.py": "import coflux.executor.capture",
        "executor/core/retry.py": "import time",
        "executor/core/slots.py": "import coflux.executor.core.waiting",
        "tui/tree.py": "import textual",
        "tui/widgets/line_view.py": "import coflux.tui.screens.home",
    }.items():
        with open(tmp_path / "coflux" / module, "a") as file:
            file.write(f"\n{violation}\n")
    linter = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [linter, "--no-cache"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    summary = re.search(r"Contracts: (\d+) kept, (\d+) broken", done.stdout)
    assert summary is not None, done.stdout + done.stderr
    assert summary.groups() == ("0", "7")


def test_the_version_is_told() -> None:
    output = subprocess.check_output([sys.executable, "-m", "coflux", "--version"], text=True, cwd=ROOT)
    assert output == f"coflux {coflux.__version__}\n"
