"""Every example runs, on real processes, and gives what it promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def check_sorted(result: Any) -> None:
    assert result["size"] == 300
    assert result["correct"] is True
    assert result["smallest"] < result["largest"]


def check_pages(result: Any) -> None:
    orders = [page * 10 + order for page in (1, 2, 3, 4, 6) for order in range(10)]
    assert result == {"orders": len(orders), "total": sum(orders), "missing_pages": [5]}


def check_statistics(result: Any) -> None:
    assert result["files"] == len(list(EXAMPLES.glob("*.py")))
    assert result["lines"] > 100
    assert len(result["most_common"]) == 3


CHECKS: dict[str, tuple[list[str], Callable[[Any], None]]] = {
    "divide_and_conquer.py": (["--size", "300", "--leaf-size", "100"], check_sorted),
    "flaky_api.py": ([], check_pages),
    "text_statistics.py": (["--directory", str(EXAMPLES), "--top", "3"], check_statistics),
}


def test_every_example_has_a_check() -> None:
    assert sorted(CHECKS) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("example", CHECKS)
def test_an_example(example: str, tmp_path: Path) -> None:
    arguments, check = CHECKS[example]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COFLUX_")}
    finished = subprocess.run(
        [sys.executable, "-m", "coflux", "run", "--json", str(EXAMPLES / example), *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    document = json.loads(finished.stdout)
    check(document["result"])
    assert document["run"]["status"] == "succeeded"
