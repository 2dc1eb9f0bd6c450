"""Metrics and assets of a run that goes on, from the engine to what the dashboard knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from coflux.tui.state import State
from coflux.tui.updates import AssetsAsked, EntriesAsked, MetricsAsked, RunOpened, StartAsked
from tests.engine.conftest import scratch_project
from tests.tui.test_link import watching

FLOW = """
import time
from pathlib import Path

loss = cf.Metric("loss", throttle=None)

@cf.task()
def train(points):
    for number in cf.progress(range(points)):
        loss.record(1.0 / (1 + number), at=number)
        time.sleep(0.002)
    Path("model").write_text("weights")
    return cf.asset("model", name="kept")

@cf.workflow()
def main():
    return train(100)
"""


def test_the_last_point_and_the_asset_come_though_nothing_follows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lasts(state: State) -> list[float]:
        return [course.values[-1] for chart in state.metrics.charts for course in chart.courses if course.values]

    with scratch_project(tmp_path / "project") as project:
        project.write("flow", FLOW)
        monkeypatch.syspath_prepend(project.root)
        with watching(project) as watcher:
            link = watcher.link
            link.ask(StartAsked("flow", "", "main", ()))
            watcher.sees(lambda state: state.started)
            (started,) = watcher.state.started
            run = started.run
            watcher.state.open_run(run)
            link.ask(RunOpened(run))
            link.ask(MetricsAsked(watcher.state.metrics.open(), run))
            link.ask(AssetsAsked(watcher.state.assets.open(), run))
            watcher.sees(lambda state: lasts(state) == [0.01])
            watcher.sees(lambda state: [bar.value for _, bar in state.metrics.bars] == [100.0])
            watcher.sees(lambda state: state.assets.assets)
            (asset,) = watcher.state.assets.assets
            assert (asset.name, asset.execution) == ("kept", f"{run}:2:1")
            link.ask(EntriesAsked(asset.id))
            watcher.state.assets.layout()
            watcher.sees(lambda state: state.assets.layout() and len(state.assets.rows) == 2)
            tree = watcher.state.run.tree if watcher.state.run is not None else None
            assert tree is not None
            watcher.sees(lambda state: (spark := tree.sparks.get((run, 2, 1))) is not None and spark.last == 0.01)
