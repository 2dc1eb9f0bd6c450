"""A run with everything in it, as a pretended engine tells it: for tests of the whole screen and for its pictures.

An ingest of a shop's orders has run for 38 seconds, on four workers that are all busy:

    ingest_orders            runs, and waits for what it has submitted
      load_manifest          succeeded
      pick_currency          cached, of another run
      [Fetch pages]          16 pages: most have succeeded, some at the second try; two run, one is to be tried again,
                             one failed for good, two are queued
      [Normalise]            steps with three arguments, of which one differs; a link to a step above
      train_model            a child run
      ...                    suspended, deferred, recurrent, cancelled, timed out, delayed
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from coflux.display.feed import Event, ExecutionChanged, GroupOpened, HandleShared, RunChanged, StepSubmitted
from coflux.encoded import Failure, Frame
from coflux.executor.document import StepInfo
from coflux.executor.messages import Failed, Outcome, Terminated
from coflux.executor.requests import ExecutionSample, GroupSample, Sampled
from coflux.executor.rows import ExecutionRow, GroupRow, RunRow, SharedRow, Status
from coflux.executor.series import Progress
from coflux.tui.updates import ProgressRead, RunProgressed, RunsRead, SampleRead, Update
from tests.tui.pretend import NOW, run_row

__all__ = ["CHILD", "RUN", "runs", "sample", "told"]

RUN = "R4K7P"
CHILD = "R8QXM"
OLD = "R2V9C"

_RESET = Failed(
    Failure(
        "builtins.ConnectionError",
        "connection reset by peer",
        "Traceback (most recent call last):\n"
        '  File "shop/steps.py", line 41, in fetch_page\n    page = http.get(url)\n'
        '  File "shop/http.py", line 88, in get\n    raise ConnectionError("connection reset by peer")\n'
        "ConnectionError: connection reset by peer\n",
        (
            Frame("shop/steps.py", 41, "fetch_page", "page = http.get(url)"),
            Frame("shop/http.py", 88, "get", 'raise ConnectionError("connection reset by peer")'),
        ),
    )
)
_LIMIT = Terminated("timed_out", "timed out after 6 s")


class _Script:
    """Writes rows as an engine would; times are in seconds since the run began."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._steps: dict[str, int] = {}

    def group(self, number: int, name: str) -> None:
        self.events.append(GroupOpened(GroupRow(RUN, 1, 1, number, name, None)))

    def call(
        self,
        name: str,
        *,
        parent: str | None = f"{RUN}:1:1",
        group: int | None = None,
        run: str = RUN,
        at: float = 0.5,
        retries: int | None = None,
        spawned_by: str | None = None,
        type: str = "task",  # noqa: A002
        **arguments: str,
    ) -> int:
        """A step is submitted. Returns its number."""
        number = self._steps[run] = self._steps.get(run, 0) + 1
        names, texts = tuple(arguments), tuple(arguments.values())
        info = StepInfo(run, number, parent, group, "shop", name, type, names, texts, 1, NOW + at, retries=retries)
        self.events.append(StepSubmitted(info, spawned_by))
        return number

    def state(
        self,
        step: int,
        status: Status,
        began: float | None = None,
        ended: float | None = None,
        *,
        run: str = RUN,
        attempt: int = 1,
        created: float | None = None,
        worker: int | None = None,
        due: float | None = None,
        reason: str = "",
        outcome: Outcome | None = None,
        **fields: Any,
    ) -> None:
        """It is in a state now."""

        def instant(seconds: float | None) -> float | None:
            return None if seconds is None else NOW + seconds

        made = 0.5 if created is None and began is None else created if created is not None else began
        assert made is not None
        pid = None if worker is None else 4100 + worker
        row = ExecutionRow(
            run, step, attempt, status, reason, None, NOW + made, instant(due), instant(began), instant(ended), pid
        )
        self.events.append(ExecutionChanged(msgspec.structs.replace(row, **fields), outcome))


def _pages(script: _Script) -> None:
    """16 pages on three workers; `at` is when each of these is free."""
    free = [1.7, 1.7, 1.7]
    for page in range(1, 17):
        step = script.call(
            "fetch_page", group=0, at=1.6, retries=2, page=str(page), url="'https://shop.example/orders'"
        )
        worker = min(range(3), key=lambda one: free[one])
        began, took = free[worker], 2.4 + page * 7 % 5 * 0.9
        if page in (3, 9):
            script.state(step, "failed", began, began + 1.2, worker=worker, created=1.6, outcome=_RESET)
            free[worker] = began + 1.2
            if page == 3:
                due = 42.0
                script.state(step, "queued", attempt=2, created=began + 1.2, due=due, trigger="retry")
            else:
                again = began + 3.2
                script.state(
                    step,
                    "succeeded",
                    again,
                    again + took,
                    attempt=2,
                    worker=worker,
                    created=began + 1.2,
                    trigger="retry",
                )
                free[worker] = again + took
        elif page == 4:
            for attempt in (1, 2, 3):
                at = began + (attempt - 1) * 2.6
                trigger = "retry" if attempt > 1 else "submission"
                script.state(
                    step, "failed", at, at + 1.1, attempt=attempt, worker=worker, trigger=trigger, outcome=_RESET
                )
            free[worker] = began + 6.3
        elif page >= 15:
            script.state(step, "queued", created=1.6, reason="ready")
        elif page >= 13:
            script.state(step, "running", free[worker], created=1.6, worker=worker)
            free[worker] = 38.0
        else:
            script.state(step, "succeeded", began, began + took, worker=worker, created=1.6)
            free[worker] = began + took


def _ingest(script: _Script) -> None:
    root = script.call("ingest_orders", parent=None, at=0, type="workflow", since="'2026-06-01'", limit="1_000")
    script.state(root, "running", 0.1, worker=9)
    manifest = script.call("load_manifest", path="'s3://shop-exports/2026-06-01/manifest.json'")
    script.state(manifest, "succeeded", 0.3, 1.5, worker=0, created=0.2)
    currency = script.call("pick_currency", at=0.2, country="'DE'")
    script.state(currency, "cached", None, 0.3, created=0.2, next=f"{OLD}:3:1")
    script.group(0, "Fetch pages")
    _pages(script)
    script.group(1, "Normalise")
    for number, part in enumerate(("customers", "orders", "returns")):
        step = script.call(
            "normalise", group=1, at=14.0, table=f"'{part}'", schema="'v7'", currency="'EUR'", strict="True"
        )
        if part == "returns":
            script.state(step, "running", 33.5, worker=3, created=14.0, older_code=True)
        else:
            script.state(step, "succeeded", 15.0 + 6 * number, 19.5 + 6 * number, worker=3, created=14.0)
    script.events.append(HandleShared(SharedRow(RUN, 1, 1, 30, f"{RUN}:{currency}:1", 1)))
    _rest(script)


def _rest(script: _Script) -> None:
    child = script.call("train_model", at=20.0, dataset="'orders-2026-05'", epochs="20")
    script.state(child, "spawned", None, 20.1, created=20.0, next=f"{CHILD}:1:1")
    script.call(
        "train_model", parent=None, run=CHILD, at=20.1, type="workflow", spawned_by=f"{RUN}:{child}:1",
        dataset="'orders-2026-05'", epochs="20",
    )  # fmt: skip
    script.state(1, "running", 20.3, run=CHILD, worker=8)
    script.call("split", parent=f"{CHILD}:1:1", run=CHILD, at=20.4, ratio="0.8")
    script.state(2, "succeeded", 20.5, 21.2, run=CHILD, worker=7, created=20.4)
    script.call("fit", parent=f"{CHILD}:1:1", run=CHILD, at=21.3, epochs="20", rate="0.003")
    script.state(3, "running", 21.5, run=CHILD, worker=7, created=21.3)
    approval = script.call("await_approval", at=5.0, service="'warehouse'")
    script.state(approval, "suspended", 5.1, 6.2, worker=3, created=5.0)
    script.state(
        approval, "queued", attempt=2, created=6.2, trigger="resumption", awaits=f"{CHILD}:1:1",
        reason=f"waiting for what it was suspended for: {CHILD}:1:1",
    )  # fmt: skip
    geocode = script.call("geocode", at=7.0, address="'Lange Reihe 7, Hamburg'")
    script.state(geocode, "timed_out", 7.2, 13.2, worker=3, created=7.0, outcome=_LIMIT)
    refresh = script.call("refresh_rates", at=10.0)
    script.state(refresh, "deferred", None, 12.0, created=10.0, next=f"{RUN}:{refresh + 1}:1")
    again = script.call("refresh_rates", at=12.0)
    script.state(again, "queued", created=12.0, due=55.0, reason="delayed")
    heartbeat = script.call("heartbeat", at=1.0, every="30")
    script.state(heartbeat, "recurred", 1.0, 1.2, worker=3)
    script.state(heartbeat, "queued", attempt=2, created=1.2, due=61.0, trigger="recurrence")
    preview = script.call("render_preview", at=2.0, format="'pdf'")
    script.state(preview, "cancelled", 2.2, 4.8, worker=3, created=2.0, reason="cancelled by a client")
    publish = script.call("publish_report", at=2.0, to="'finance'")
    script.state(
        publish, "queued", created=2.0, reason="waiting for arguments", awaits=f"{RUN}:1:1 {CHILD}:3:1 {CHILD}:2:1"
    )


def _events() -> list[Event]:
    script = _Script()
    _ingest(script)
    row = run_row(RUN, "running", "ingest_orders", module="shop", steps=33)
    return [RunChanged(row), *script.events]


def told() -> Iterator[Update]:
    """What the dashboard is told when the run is opened."""
    yield RunProgressed(RUN, _events())
    yield ProgressRead(
        RUN,
        {
            (CHILD, 3, 1): Progress(11.0, 20.0, 0.55, 0.65, 13.8),
            (RUN, 16, 1): Progress(310.0, 500.0, 0.62, 12.0, 6.0),
        },
    )
    for at in (22.0, 30.0, 38.0):
        yield SampleRead(sample(at))


def sample(at: float) -> Sampled:
    """What the engine says of itself: four workers are busy, and two executions wait for others."""
    waiting = [
        ExecutionSample(f"{RUN}:1:1", 9, 4109, "waiting", "default", 0.2, 60 << 20, 61 << 20),
        ExecutionSample(f"{CHILD}:1:1", 8, 4108, "waiting", "default", 0.1, 60 << 20, 61 << 20),
    ]
    return Sampled(
        NOW + at, tuple(waiting), {"running": 4, "waiting": 2}, (GroupSample("default", 4, 4),), 2, 4, 2, 51.0,
        1_200 << 20, 2.6, 3 << 20, 1 << 20, 40 << 20, (),
    )  # fmt: skip


def runs() -> RunsRead:
    """The newest runs of the project."""
    rows: Sequence[tuple[str, Status, str, float, float]] = (
        (RUN, "running", "ingest_orders", 0.0, 0.0),
        ("R7D2B", "succeeded", "train_model", 700.0, 702.0),
        ("R5HMN", "failed", "ingest_orders", 1_900.0, 38.0),
        ("R3WZJ", "cancelled", "nightly_sync", 5_400.0, 12.0),
        (OLD, "succeeded", "ingest_orders", 9_000.0, 41.0),
    )
    told_rows: list[RunRow] = []
    counts: dict[Status, int] = {}
    for run, status, name, ago, took in rows:
        finished = NOW - ago + took if took else None
        told_rows.append(
            run_row(run, status, name, module="shop", created_at=NOW - ago, started_at=NOW - ago, finished_at=finished)
        )
        counts[status] = counts.get(status, 0) + 1
    return RunsRead(told_rows, counts)
