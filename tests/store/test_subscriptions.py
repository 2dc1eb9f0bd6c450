"""What a client is told of a batch, by what it has subscribed to; and a list of runs that follows it."""

from __future__ import annotations

import pytest

from coflux.executor import subscriptions
from coflux.executor.history import History
from coflux.executor.requests import Advanced
from coflux.executor.rows import AssetRow, Batch, MetricRow, PointsRow, SharedRow
from coflux.executor.run_list import RunList
from coflux.executor.store import Store
from coflux.executor.subscriptions import Subscriptions
from tests.store.factories import batch, execution_row, finished_run, log_row, run_row


def subscribed(*runs: str | None) -> Subscriptions:
    """Subscriptions whose client has read everything once."""
    made = Subscriptions()
    for run in runs:
        made.add(run)
    assert made.take(0) == Advanced(0, None, None, None)
    return made


def bulky(run: str) -> Batch:
    rows = Batch()
    rows.metrics.append(MetricRow(run, 1, 1, 1, "loss", None, None))
    rows.points.append(PointsRow(run, 2, 1, 1, 0, 1, b"", b""))
    rows.assets.append(AssetRow(run, 3, 1, "abc", None, 1, 10, 0.0))
    rows.shared.append(SharedRow(run, 4, 1, 1, "Ra:2:1", None))
    return rows


@pytest.mark.parametrize(
    ("runs", "rows", "told"),
    [
        ((None,), batch(run_row("Ra"), execution_row("Ra")), ([("Ra", 1, 1)], [], ["Ra"])),
        (("Ra",), batch(run_row("Rb"), execution_row("Rb")), None),
        (("Ra",), batch(log_row("Ra")), ([], [], [])),
        (("Ra",), batch(log_row("Rb")), None),
        ((None,), bulky("Ra"), ([("Ra", 4, 1), ("Ra", 3, 1)], [("Ra", 1, 1), ("Ra", 2, 1)], [])),
        (("Rb",), bulky("Ra"), None),
        # What has come of a run belongs to it, at any depth, but not the other way round.
        (("Ra",), batch(run_row("Rb", parent="Ra:2:1"), execution_row("Rb")), ([("Rb", 1, 1)], [], ["Rb"])),
        (("Rb",), batch(run_row("Ra"), execution_row("Ra")), None),
        (
            ("Rb",),
            batch(run_row("Rc", parent="Rb:2:1", root_run="Ra"), run_row("Rd", parent="Rc:2:1", root_run="Ra")),
            ([], [], ["Rc", "Rd"]),
        ),
    ],
)
def test_what_is_told(
    runs: tuple[str | None, ...],
    rows: Batch,
    told: tuple[list[tuple[str, int, int]], list[tuple[str, int, int]], list[str]] | None,
) -> None:
    made = subscribed(*runs)
    made.note(rows)
    assert made.behind is (told is not None)
    if told is not None:
        executions, metrics, changed = told
        assert made.take(5) == Advanced(5, tuple(executions), tuple(metrics), tuple(changed))
        assert not made.behind


def test_changes_are_told_once_until_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MOST_CHANGES", 3)
    made = subscribed(None)
    for _ in range(10):
        made.note(batch(run_row("Ra"), execution_row("Ra")))
    assert made.take(0) == Advanced(0, (("Ra", 1, 1),), (), ("Ra",))
    made.note(batch(run_row("Ra"), *[execution_row("Ra", step) for step in range(1, 5)]))
    assert made.take(0) == Advanced(0, None, (), ("Ra",))


def test_what_belongs_to_another_subscription_is_still_told() -> None:
    made = subscribed("Ra", "Rb")
    made.note(batch(run_row("Rb", parent="Ra:2:1"), run_row("Rc", parent="Rb:2:1")))
    made.take(0)
    made.remove("Rb")
    made.note(batch(execution_row("Rc")))
    assert made.take(0).executions == (("Rc", 1, 1),)
    made.note(batch(execution_row("Rc")))
    made.remove("Ra")
    assert (bool(made), made.behind) == (False, False)


def test_a_list_of_runs_reads_what_has_changed(store: Store, history: History) -> None:
    """New ones stand at the top, those that are gone make room, child runs and other workspaces are none of it."""
    for run in ("Ra", "Rb", "Rc"):
        store.commit(finished_run(run))
    runs = RunList(history, page=2, workspace="default")

    def ids() -> list[str]:
        return [row.id for row in runs.rows]

    assert (runs.update(), ids(), runs.update()) == (True, ["Rc", "Rb"], False)
    assert (runs.extend(), ids(), runs.extend()) == (True, ["Rc", "Rb", "Ra"], False)
    store.commit(batch(run_row("Rd"), run_row("Re", parent="Rd:2:1"), run_row("Rf", workspace="other")))
    assert (runs.update({"Re", "Rf"}), ids()) == (False, ["Rc", "Rb", "Ra"])
    assert (runs.update({"Rd"}), ids()) == (True, ["Rd", "Rc", "Rb", "Ra"])
    assert runs.count() == {"succeeded": 3, "running": 1}
    store.commit(batch(execution_row("Rd", 1, status="running"), execution_row("Rd", 2, 1, status="failed")))
    assert runs.count_steps("Rd") == {"running": 1, "failed": 1}
    store.commit(batch(execution_row("Rd", 2, 2), run_row("Rd", status="failed", settled=True)))
    assert (runs.update({"Rd"}), runs.rows[0].status) == (True, "failed")
    assert runs.count_steps("Rd") == {"running": 1, "queued": 1}
    store.delete_run("Rb")
    assert (runs.update({"Rb"}), ids()) == (True, ["Rd", "Rc", "Ra"])
