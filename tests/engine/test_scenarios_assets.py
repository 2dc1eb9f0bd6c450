"""Scenarios: assets between executions, in results and logs, in the cache, from scripts. (Their forms, paths and
contents are tested without an engine, in `tests/api/test_assets.py`.)"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from coflux.executor import log_values
from coflux.executor.blobs import FileBlobs
from tests.engine.scratch import ScratchProject, attempts, eventually, kinds


def listed(project: ScratchProject, identifier: str) -> list[dict[str, Any]]:
    finished = project.coflux("assets", "list", identifier, "--json")
    assets: list[dict[str, Any]] = json.loads(finished.out)["assets"]
    return assets


def test_an_asset_goes_from_one_execution_to_others(shared: ScratchProject) -> None:
    """ASSET-S01, S07, S09, S10, S11; LOG-S04; D13: in arguments, results, data classes and log entries. Nothing waits
    for an asset (WAIT-4)."""
    shared.write("data", "", prelude=False)
    shared.write(
        "flow",
        """
        from dataclasses import dataclass
        from pathlib import Path

        @dataclass
        class Made:
            files: cf.Asset
            first: cf.AssetEntry

        @cf.task(retries=1)
        def make(number):
            Path("d").mkdir()
            Path("a.txt").write_text(f"A{number}")
            Path("d/run").write_text("run")
            Path("d/run").chmod(0o755)
            made = cf.asset(name=f"made {number}")
            if number == 2 and attempt("two") == 1:
                raise RuntimeError("once")
            return Made(made, made["a.txt"])

        @cf.task(wait="made")
        def use(made, entry):
            paths = made["it"][0].restore(at="sub")
            assert paths["d/run"] == Path.cwd() / "sub" / "d" / "run"
            return [paths["a.txt"].read_text(), os.access(paths["d/run"], os.X_OK), entry.restore().read_text()]

        @cf.task()
        def make_nothing(of):
            return cf.asset(of)

        @cf.workflow()
        def main():
            one, two = make(1), make(2)
            used = use.submit({"it": (one.files,)}, two.first)
            cf.log_info("made {it}", it=one.files)
            composed = cf.asset({"1": one.files, "2": two.files}, name="all")
            problems = []
            for of in (None, "missing.txt", "data.py"):
                try:
                    make_nothing(of)
                except ValueError as error:
                    problems.append([type(error).__name__, isinstance(error, FileNotFoundError), str(error)])
                    problems[-1] += getattr(error, "__notes__", [])
            return {"used": used.result(), "asset": composed, "entry": composed["1/a.txt"], "problems": problems}
        """,
    )
    document = shared.document("flow/main")
    result = document["result"]
    assert result["used"] == ["A1", True, "A2"], document["error"]
    asset = result["asset"]["$asset"]
    assert result["asset"] == {"$asset": asset, "name": "all", "files": 4, "size": 10}
    assert result["entry"] == {"$asset": asset, "path": "1/a.txt", "size": 2}
    nothing, missing, elsewhere = result["problems"]
    assert (nothing[1], "nothing for asset() to keep" in nothing[2]) == (False, True)
    assert (missing[1], "no such file to keep: 'missing.txt'" in missing[2], len(missing)) == (True, True, 3)
    assert elsewhere[1] is True
    run = document["run"]["id"]
    (use,) = [step for step in document["steps"] if step["target"] == "flow/use"]
    assert use["arguments"] == ["{'it': (<Asset made 1: 2 files, 5 bytes>,)}", "<AssetEntry 'a.txt', 2 bytes>"]
    (entry,) = [entry for entry in shared.logs(run) if entry.template == "made {it}"]
    assert log_values.decode(entry.values)["it"]["name"] == "made 1"
    # That the files they have are discarded is no loss.
    assert [line for line in shared.output(run) if "discarded" in line] == []
    # Each execution has what it made, also if it failed afterwards.
    made = [(row["execution"].removeprefix(run), row["name"]) for row in listed(shared, run)]
    assert made == [(":2:1", "made 1"), (":3:1", "made 2"), (":3:2", "made 2"), (":1:1", "all")]
    (inspected,) = json.loads(shared.coflux("assets", "inspect", run, "--json").out)["assets"]
    assert [entry["path"] for entry in inspected["entries"]] == ["1/a.txt", "1/d/run", "2/a.txt", "2/d/run"]
    finished = shared.coflux("runs", "result", run)
    assert json.loads(finished.out) == result


def test_an_asset_outlives_the_engine(project: ScratchProject, tmp_path: Path) -> None:
    """And serves the cache, by its content, until something of it is lost (behaviour 5.1 and 5.2; G07). The rows go
    with the run."""
    project.write(
        "flow",
        """
        from pathlib import Path

        @cf.task(cache=True)
        def make():
            mark("make")
            Path("a.txt").write_text("A")
            return [cf.asset("a.txt")]

        @cf.task(cache=True)
        def use(asset):
            mark("use")
            return asset.restore()["a.txt"].read_text()

        @cf.workflow()
        def main():
            (made,) = make()
            Path("b.txt").write_text("A")
            Path("c.txt").write_text("not kept")
            return [use(made), use(cf.asset({"a.txt": "b.txt"}))]
        """,
    )
    first, second = project.document("flow/main"), project.document("flow/main")
    assert first["result"] == second["result"] == ["A", "A"]
    assert (kinds(second, "make"), kinds(second, "use")) == ([["cached"]], [["cached"], ["cached"]])
    assert (len(project.marks("make")), len(project.marks("use"))) == (1, 1)
    assert any("1 file (8 bytes) left" in line for line in project.output(second["run"]["id"], 1))
    # Also where it is only in the result of the cached step.
    step = attempts(second, "make")[0]["id"].rpartition(":")[0]
    assert project.coflux("assets", "download", step, "--to", str(tmp_path / "x")).out == "a.txt\n"
    assert (tmp_path / "x" / "a.txt").read_text() == "A"
    (entry,) = json.loads(project.coflux("assets", "inspect", step, "--json").out)["assets"][0]["entries"]
    os.unlink(FileBlobs(project.project.blobs_dir).path_of(entry["blob"]))
    third = project.document("flow/main")
    assert kinds(third, "make") == [["succeeded"]]
    assert len(project.marks("make")) == 2
    for document in (first, second, third):
        assert project.coflux("runs", "delete", document["run"]["id"]).status == 0
    with closing(sqlite3.connect(f"{project.project.data_dir}/coflux.db")) as database:
        eventually(lambda: database.execute("SELECT count(*) FROM assets").fetchall() == [(0,)])


def test_a_script_passes_files_and_gets_some(shared: ScratchProject) -> None:
    """Behaviour 1.5 and 1.6: what was made outside a run arrives in it; what was made in it can be restored outside."""
    shared.write(
        "script",
        """
        from pathlib import Path
        import coflux as cf

        @cf.task()
        def count(asset, entry):
            lines = asset.restore()["in/lines.txt"].read_text().splitlines()
            Path("count.txt").write_text(f"{len(lines)} {entry.restore().read_text()!r}")
            return cf.asset("count.txt")

        if __name__ == "__main__":
            Path("in").mkdir()
            Path("in/lines.txt").write_text("a\\nb\\n")
            asset = cf.asset("in/lines.txt")
            counted = cf.run(count, asset, asset["in/lines.txt"])
            print(counted, counted.restore(at="out")["count.txt"].read_text())
            print(cf.asset({"both": counted, "first": asset["in/lines.txt"]}).entries)
        """,
        prelude=False,
    )
    finished = shared.python("script.py")
    first, second = finished.out.splitlines()
    assert first.endswith(": 1 file, 10 bytes> 2 'a\\nb\\n'"), finished.err
    assert second == "[<AssetEntry 'both/count.txt', 10 bytes>, <AssetEntry 'first', 4 bytes>]"
