"""Every example runs, on real processes, and gives what it promises."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from math import prod
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


def check_pipeline(result: Any) -> None:
    assert result["files"] == len(list(EXAMPLES.glob("*.py")))
    assert result["functions"] > 10
    assert "cached_pipeline.py:measure" in result["most_complicated"]
    assert result["imports"].keys() == {"standard library", "installed"}
    assert result["imports"]["installed"] >= result["files"]  # coflux in each, and what the training needs


def check_mails(result: Any) -> None:
    assert sum(result["versions"].values()) == 20
    assert len(result["versions"]) <= len(result["mails"]) < 20
    assert [list(last) for last in result["versions"].items() if list(last) not in result["mails"]] == []


def check_download(result: Any) -> None:
    assert result["size"] == 1_000_000
    assert len(result["sha256"]) == 64


def check_archive(result: Any) -> None:
    assert result["files"] > 10
    assert result["bytes"] > result["packed_bytes"] == Path(result["archive"]).stat().st_size
    assert result["sha256"] == hashlib.sha256(Path(result["archive"]).read_bytes()).hexdigest()


def check_factors(result: Any) -> None:
    assert [prod(one["factors"]) for one in result] == [one["number"] for one in result]
    assert all(1 not in one["factors"] for one in result)
    assert result[1]["by"] == "pollard_rho"
    assert len(result) == 2


def check_training(result: Any) -> None:
    assert result["points"] == 43 * 51
    assert result["error"] < 110  # metres; knowing nothing but the mean is 130
    assert result["model"]["files"] == 2


CHECKS: dict[str, tuple[list[str], Callable[[Any], None]]] = {
    "cached_pipeline.py": (["--directory", str(EXAMPLES)], check_pipeline),
    "debounced_notifier.py": (["--saves", "20"], check_mails),
    "divide_and_conquer.py": (["--size", "300", "--leaf-size", "100"], check_sorted),
    "download_watcher.py": ([], check_download),
    "flaky_api.py": ([], check_pages),
    "patient_archive.py": ([], check_archive),
    "racing_factors.py": (["1000000000100000000002379", "1000003000000037000111"], check_factors),
    "training_loop.py": (["--epochs", "6", "--spacing", "8", "--width", "48"], check_training),
    "text_statistics.py": (["--directory", str(EXAMPLES), "--top", "3"], check_statistics),
}


def test_every_example_has_a_check() -> None:
    assert sorted(CHECKS) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("example", CHECKS)
def test_an_example(example: str, tmp_path: Path) -> None:
    arguments, check = CHECKS[example]
    document = run(tmp_path, example, *arguments)
    check(document["result"])
    assert document["run"]["status"] == "succeeded"


def test_the_pipeline_measures_nothing_twice_and_can_say_why(tmp_path: Path) -> None:
    directory = tmp_path / "code"
    directory.mkdir()
    for name in ("one", "two"):
        (directory / f"{name}.py").write_text(f"import os\n\ndef {name}(x):\n    return 1 if x else 2\n")
    first = run(tmp_path, "cached_pipeline.py", "--directory", str(directory))
    assert states(first, "measure") == [["succeeded"], ["succeeded"]]
    assert states(first, "origin") == [["succeeded"]]
    (directory / "two.py").write_text("def two(x):\n    return x\n")
    second = run(tmp_path, "cached_pipeline.py", "--directory", str(directory))
    assert states(second, "measure") == [["cached"], ["succeeded"]]
    source, hit = (document["steps"][1]["id"] for document in (first, second))
    assert f"{source}:1" in coflux(tmp_path, "why", hit).stdout


def test_the_watcher_recurs(tmp_path: Path) -> None:
    document = run(tmp_path, "download_watcher.py")
    [attempts] = states(document, "arrived")
    assert len(attempts) > 5
    assert attempts == ["recurred"] * (len(attempts) - 1) + ["succeeded"]


def test_the_archive_is_waited_for_without_a_process(tmp_path: Path) -> None:
    document = run(tmp_path, "patient_archive.py")
    assert states(document, "patient_archive") == [["suspended", "succeeded"]]
    assert states(document, "pack") == [["succeeded"]]


def test_the_slower_way_to_a_factor_is_cancelled(tmp_path: Path) -> None:
    document = run(tmp_path, "racing_factors.py", "1000003000000037000111")
    assert states(document, "pollard_rho") == [["succeeded"]]
    assert states(document, "fermat") == [["cancelled"]]


def test_the_training_shows_metrics_and_keeps_its_model(tmp_path: Path) -> None:
    document = run(tmp_path, "training_loop.py", "--epochs", "6", "--spacing", "8", "--width", "48")
    run_id = document["run"]["id"]
    metrics = json.loads(coflux(tmp_path, "metrics", run_id, "--json").stdout)["metrics"]
    by_key = {metric["key"]: metric for metric in metrics}
    assert by_key.keys() == {"train", "held back", "epochs"}
    assert {by_key[key]["group"]["name"] for key in ("train", "held back")} == {"training"}
    assert [at for at, _ in by_key["train"]["points"]] == [1, 2, 3, 4, 5, 6]
    assert by_key["epochs"]["points"][-1][1] == 6
    coflux(tmp_path, "assets", "download", run_id, "--to", "trained")
    picture = (tmp_path / "trained" / "terrain.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert (tmp_path / "trained" / "model.npz").stat().st_size > 10_000
    assert "1974 points to learn from" in coflux(tmp_path, "logs", run_id).stdout


def run(directory: Path, example: str, *arguments: str) -> Any:
    """Run an example to its good end and return the document."""
    finished = coflux(directory, "run", "--json", str(EXAMPLES / example), *arguments)
    return json.loads(finished.stdout)


def coflux(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COFLUX_")}
    finished = subprocess.run(
        [sys.executable, "-m", "coflux", *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished


def states(document: Any, target: str) -> list[list[str]]:
    """The states of the attempts of each step of a target."""
    return [
        [execution["status"] for execution in step["executions"]]
        for step in document["steps"]
        if step["target"].endswith(f"/{target}")
    ]
