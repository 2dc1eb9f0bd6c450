"""What `import coflux` offers and loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import coflux

ROOT = Path(__file__).parents[2]
HEAVY = {
    "asyncio", "click", "concurrent", "dill", "logging", "msgspec", "multiprocessing", "numpy", "pathlib", "pickle",
    "rich", "selectors", "socket", "sqlite3", "subprocess", "tempfile", "textual", "threading", "urllib",
}  # fmt: skip


def test_import_is_light() -> None:
    program = "import sys, coflux; [getattr(coflux, name) for name in coflux.__all__]; print(*sys.modules)"
    command = [sys.executable, "-S", "-c", program]
    loaded = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=True, text=True)
    modules = loaded.stdout.split()
    assert "coflux.target" in modules
    assert HEAVY & {name.partition(".")[0] for name in modules} == set()
    assert [name for name in modules if name.startswith(("coflux.executor", "coflux.values"))] == []


def test_nothing_is_loaded_before_it_is_needed() -> None:
    """The command line and the engine are in this package too."""
    program = "import sys, coflux; print(*(name for name in sys.modules if name.startswith('coflux.')))"
    command = [sys.executable, "-S", "-c", program]
    loaded = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=True, text=True)
    assert loaded.stdout.split() == []


PROMISED = """
    workflow task stub Target Execution Cache Defer Retries Metric MetricGroup MetricScale progress group suspense
    suspend select cancel run start log_debug log_info log_warning log_error asset Asset AssetEntry Secret
    project_dir
    ExecutionError ExecutionCancelled ExecutionTimeout ExecutionAbandoned ExecutionTerminated InternalError __version__
"""


def test_public_names() -> None:
    promised = PROMISED.split()
    assert sorted(coflux.__all__) == sorted(promised)
    assert [name for name in promised if not hasattr(coflux, name)] == []


def test_types_are_published() -> None:
    assert (Path(coflux.__file__).parent / "py.typed").exists()
