"""The demo: a project of its own that is gone afterwards, and a workflow that shows everything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from coflux import demo
from coflux.cli.demo import demo_project
from coflux.executor.client import Client
from coflux.executor.history import History
from coflux.tui.png import read_png
from tests.cli.samples import Command
from tests.engine.scratch import eventually


def test_the_demo_brings_its_own_targets(coflux: Command) -> None:
    status, _, err = coflux("dev", "--demo", "flow.py")
    assert status == 2
    assert "--demo brings its own targets: name none" in err


def test_the_demo_runs_in_a_project_that_is_gone_afterwards_with_all_that_runs() -> None:
    with demo_project() as (project, file):
        command = (sys.executable, "-m", "coflux", "run", "--no-ui", "--data-dir", project.data_dir)
        words = (f"{file}/ingest_orders", "--pages", "8", "--pace", "FAST")
        done = subprocess.run(
            (*command, *words), cwd=project.root, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert '"orders":160' in done.stdout
        slow = (*command, "--detach", f"{file}/train_forecast", "--pace", "SLOW")
        subprocess.run(slow, cwd=project.root, check=True, capture_output=True, timeout=60)
        history = History.open(project.data_dir)
        try:
            [newest, finished] = history.runs()
            assert newest.status in ("queued", "running")
            rows = history.executions(finished.id)
            seen = {row.status for row in rows}
            assert {"failed", "spawned", "suspended", "succeeded"} <= seen
            assert history.shared(finished.id)  # what was memoised
            assert history.metrics(newest.id) or eventually(lambda: history.metrics(newest.id))
            [asset] = history.assets(finished.id)
            assert (asset.name, asset.files) == ("report 2026-06-01", 2)
        finally:
            history.close()
        with Client.connect(project, "command", start=False) as client:
            engine = client.supervisor_pid
    assert not os.path.exists(project.root)
    with pytest.raises(ProcessLookupError):
        os.kill(engine, 0)


def test_its_picture_is_one() -> None:
    picture = read_png(demo.bar_picture([0, 3, 9]), 10_000)
    assert (picture.width, picture.height) == (12, 48)
