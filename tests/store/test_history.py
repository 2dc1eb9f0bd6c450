"""What readers see."""

from __future__ import annotations

import msgspec
import pytest

from coflux.executor.history import History, RunNotFound
from coflux.executor.log_search import Field, LogFilter
from coflux.executor.messages import Failed, Succeeded, Terminated
from coflux.executor.rows import GroupRow, RunRow
from coflux.executor.store import Store
from coflux.failures import Failure
from coflux.values import Value
from tests.store.factories import batch, execution_row, finished_run, json_value, log_row, run_row, step_row, succeeded


def ids(runs: list[RunRow]) -> list[str]:
    return [run.id for run in runs]


def test_runs_come_newest_first_in_pages_whatever_the_clock_says(store: Store, history: History) -> None:
    names = ["Rc", "Ra", "Re", "Rb", "Rd"]
    for number, name in enumerate(names):
        store.commit(batch(run_row(name, created_at=1e9 - number)))
    store.commit(batch(run_row("Ra", status="failed"), run_row("Rchild", parent="Ra:1:1", root_run="Ra")))
    assert ids(history.runs()) == names[::-1]
    assert ids(history.runs(limit=2)) == ["Rd", "Rb"]
    assert ids(history.runs(limit=2, before="Rb")) == ["Re", "Ra"]
    assert ids(history.runs(before="Rc")) == []
    assert ids(history.runs(status="failed")) == ["Ra"]
    assert ids(history.runs(children=True, limit=1)) == ["Rchild"]
    store.commit(batch(run_row("Rc", workspace="dev")))
    assert ids(history.runs(workspace="dev")) == ["Rc"]
    assert ids(history.runs(workspace="default", limit=2)) == ["Rd", "Rb"]
    assert history.run("Ra") == run_row("Ra", status="failed", created_at=run_row().created_at)
    assert history.run("R") is None


def test_a_run_is_named_by_any_unique_beginning(store: Store, history: History) -> None:
    store.commit(batch(run_row("Rbcdf"), run_row("Rbcdfg"), run_row("Rbxyz"), run_row("R%_zz")))
    assert history.resolve_run("Rbx") == "Rbxyz"
    assert history.resolve_run("Rbcdf") == "Rbcdf"
    assert history.resolve_run("R%") == "R%_zz"
    with pytest.raises(RunNotFound) as several:
        history.resolve_run("Rb")
    assert str(several.value) == "'Rb' is the beginning of several runs: Rbxyz, Rbcdfg, Rbcdf"
    with pytest.raises(RunNotFound) as mistyped:
        history.resolve_run("Rbxyy")
    assert str(mistyped.value) == "there is no run 'Rbxyy': did you mean Rbxyz?"
    with pytest.raises(RunNotFound, match="there is no run '7777'; `coflux runs list` shows"):
        history.resolve_run("7777")


def test_steps_come_in_pages_with_previews(store: Store, history: History) -> None:
    values = (json_value('{"a":[1,2]}'), Value("pickle", b"\x80not a pickle", 14, preview="<Frame 3x2>"))
    steps = [step_row(number=n, values=values, parent="Rtest:1:1", group=2) for n in range(1, 31)]
    store.commit(batch(run_row(), *steps, step_row(number=31)))
    page = history.steps("Rtest", after=10, limit=5)
    assert [step.id for step in page] == [f"Rtest:{n}" for n in range(11, 16)]
    assert page[0].parameters == ("p0", "p1")
    assert page[0].arguments == ("{'a': [1, 2]}", "<Frame 3x2>")
    assert (page[0].parent, page[0].group, page[0].module, page[0].name) == ("Rtest:1:1", 2, "shop.orders", "ingest")
    assert history.steps("Rtest", after=30)[0].arguments == ()
    assert history.arguments("Rtest", 3) == values
    assert history.arguments("Rtest", 99) == ()


def test_executions_come_by_attempt_as_a_number(store: Store, history: History) -> None:
    rows = [execution_row(step=step, attempt=attempt) for step in (2, 10) for attempt in (1, 2, 10, 11)]
    store.commit(batch(run_row(), *rows[::-1], execution_row("Rother")))
    assert history.executions("Rtest") == rows
    assert history.executions("Rtest", after=(2, 10), limit=2) == rows[3:5]
    assert history.execution("Rtest:10:11") == rows[-1]
    assert history.execution("Rtest:10:12") is None
    with pytest.raises(ValueError, match="'Rtest:1' is not an execution id"):
        history.execution("Rtest:1")


def test_executions_are_found_by_key_wherever_they_are(store: Store, history: History) -> None:
    rows = [execution_row(run, step=step) for run in ("Ra", "Rb") for step in range(1, 1001)]
    store.commit(batch(*rows))
    keys = [(row.run, row.step, row.attempt) for row in rows[::2]]
    found = history.executions_among([*keys, ("Ra", 7, 99), ("Rc", 1, 1)])
    assert sorted(row.id for row in found) == sorted(row.id for row in rows[::2])
    assert history.executions_among([]) == []


def test_outcomes_are_decoded_on_request_only(store: Store, history: History) -> None:
    outcomes = [
        Succeeded(json_value("[1]")),
        Failed(Failure("builtins.ValueError", "no", "Traceback …")),
        Terminated("timed_out", "after 5 s"),
    ]
    rows = [execution_row(attempt=n, outcome=msgspec.msgpack.encode(o)) for n, o in enumerate(outcomes, 1)]
    store.commit(batch(run_row(), *rows, execution_row(attempt=4)))
    assert [history.outcome(f"Rtest:1:{n}") for n in range(1, 6)] == [*outcomes, None, None]
    assert {row.outcome for row in history.executions("Rtest")} == {None}


def test_a_chain_leads_to_what_a_waiter_sees(store: Store, history: History) -> None:
    store.commit(
        batch(
            run_row("Ra"),
            execution_row("Ra", attempt=1, status="failed", next="Ra:1:2"),
            execution_row("Ra", attempt=2, status="spawned", next="Rb:1:1"),
            execution_row("Rb", attempt=1, status="suspended", next="Rb:1:2"),
            execution_row("Rb", attempt=2, status="running"),
            execution_row("Rc", attempt=1, status="cached", next="Rgone:1:1"),
            execution_row("Rd", attempt=1, status="cached", next="Rd:1:2"),
            execution_row("Rd", attempt=2, status="cached", next="Rd:1:1"),
        )
    )
    ends = {start: history.chain_end(start) for start in ("Ra:1:1", "Rb:1:2", "Rc:1:1", "Rd:1:1", "Rx:1:1")}
    assert {start: end and end.id for start, end in ends.items()} == {
        "Ra:1:1": "Rb:1:2",
        "Rb:1:2": "Rb:1:2",
        "Rc:1:1": "Rc:1:1",
        "Rd:1:1": "Rd:1:2",
        "Rx:1:1": None,
    }


def test_the_newest_chain_of_a_step_is_that_of_its_last_rerun(store: Store, history: History) -> None:
    store.commit(
        batch(
            run_row(),
            execution_row(status="failed", next="Rtest:1:2"),
            execution_row(attempt=2, status="succeeded", trigger="retry"),
            execution_row(attempt=3, status="failed", next="Rtest:1:11", trigger="rerun"),
            execution_row(attempt=11, status="cached", next="Rother:1:1", trigger="retry"),
            execution_row("Rother", status="succeeded"),
        )
    )
    ends = [history.chain_end("Rtest:1:1"), history.newest_end("Rtest"), history.newest_end("Rtest", 2)]
    assert [end and end.id for end in ends] == ["Rtest:1:2", "Rother:1:1", None]


def test_logs_come_in_order_and_filtered(store: Store, history: History) -> None:
    rows = [
        log_row(step=1, level=0, template="Fetching {page}", values=b'{"page":"caf\xc3\xa9"}'),
        log_row(step=2, level=2, template="100% done_now"),
        log_row("Rother", template="elsewhere"),
        log_row(step=2, attempt=2, level=5, template="100 percent done now"),
        log_row(step=1, level=2, template=None, values=b'{"PAGE":7}'),
    ]
    store.commit(batch(*rows[:2]))
    store.commit(batch(*rows[2:]))

    def found(**filters: object) -> list[int]:
        return [entry.id for entry in history.logs("Rtest", **filters)]  # type: ignore[arg-type]

    def wanted(**fields: object) -> list[int]:
        return found(wanted=LogFilter(**fields))  # type: ignore[arg-type]

    assert found() == [1, 2, 4, 5]
    assert found(after=1, limit=2) == [2, 4]
    assert found(before=5, limit=2) == [2, 4]
    assert found(step=2) == [2, 4]
    assert found(step=2, attempt=2) == [4]
    assert wanted(levels=[0, 5]) == [1, 4]
    assert wanted(levels=[]) == []
    assert wanted(text="page") == [5]
    assert wanted(text="café") == [1]
    assert wanted(text="% done") == [2]
    assert wanted(text="done_now") == [2]
    assert wanted(text="\\") == []
    assert wanted(text="fetching CAFÉ") == [1]
    assert wanted(text="PAGE=7") == [5]
    assert wanted(text="{page}") == []
    entry = history.logs("Rtest", limit=1)[0]
    assert (entry.step, entry.at, entry.level, entry.template, entry.values) == (
        1,
        rows[0].at,
        0,
        "Fetching {page}",
        rows[0].values,
    )


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (LogFilter(fields=[Field("count", 99)]), [1, 2]),
        (LogFilter(fields=[Field("count", 99.0)]), [1, 2]),
        (LogFilter(fields=[Field("count", "99")]), [3]),
        (LogFilter(fields=[Field("count")]), [1, 2, 3, 4]),
        (LogFilter(fields=[Field("count", True)]), []),
        (LogFilter(fields=[Field("done", True)]), [1]),
        (LogFilter(fields=[Field("done", None)]), [2]),
        (LogFilter(fields=[Field("done", 1)]), []),
        (LogFilter(fields=[Field("tags", ["a", {"b": 1}])]), [3]),
        (LogFilter(fields=[Field("tags", [1, 2])]), [4]),
        (LogFilter(fields=[Field("tags", [1.0, 2])]), [4]),
        (LogFilter(fields=[Field("tags", [True, 2])]), []),
        (LogFilter(fields=[Field("price", [1.5])]), []),
        (LogFilter(fields=[Field("odd", {"a": 2, "b": [{"d": 1, "c": "é"}]})]), [5]),
        (LogFilter(fields=[Field("tags", "(1, 2)")]), [4]),
        (LogFilter(fields=[Field("price", 1.5)]), [4]),
        (LogFilter(fields=[Field("price", "Decimal('1.5')")]), [4]),
        (LogFilter(fields=[Field('odd "key"', "[")]), [2]),
        (LogFilter(fields=[Field("count", 99), Field("done", True)]), [1]),
        (LogFilter(fields=[Field("missing")]), []),
        (LogFilter(logger="app"), [3, 4]),
        (LogFilter(logger="app.db"), [4]),
        (LogFilter(logger="app."), []),
        (LogFilter(since=10.0, until=12.0), [1, 2, 3]),
        (LogFilter(since=11.0, until=11.0), [2]),
    ],
)
def test_logs_are_searched_by_values_logger_and_time(
    store: Store, history: History, wanted: LogFilter, ids: list[int]
) -> None:
    store.commit(
        batch(
            log_row(at=10.0, values=b'{"count":99,"done":true}'),
            log_row(at=11.0, values=b'{"count":99.0,"done":null,"odd \\"key\\"":"["}'),
            log_row(at=12.0, values=b'{"count":"99","tags":["a",{"b":1}]}', logger="app"),
            log_row(
                at=13.0,
                values=b'{"count":{"$repr":"{}"},"tags":{"$repr":"(1, 2)","$json":[1,2]},'
                b'"price":{"$repr":"Decimal(\'1.5\')","$json":1.5}}',
                logger="app.db",
            ),
            log_row(at=14.0, values='{"odd":{"b":[{"c":"é","d":1.0}],"a":2}}'.encode(), logger="apple"),
        )
    )
    assert [entry.id for entry in history.logs("Rtest", wanted=wanted)] == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("entry 5", [1]),
        ("5 of 10", [1]),
        ("{i}", [3]),
        ("count=7", [2]),
        ("école", [4]),
        ("after-nul", [5]),
        ('said "no\\way"', [6]),
        ("b'x'", [7]),
        ("$repr", []),
        ("line 3\nraw=", [8]),
    ],
)
def test_logs_are_searched_as_they_are_shown(store: Store, history: History, text: str, ids: list[int]) -> None:
    store.commit(
        batch(
            log_row(template="entry {i} of {n}", values=b'{"i":5,"n":10}'),
            log_row(template="extra", values=b'{"count":7}'),
            log_row(template="{i}", values=b'{"i":5}', logger="app"),
            log_row(template="ÉCOLE"),
            log_row(template="before\0after-nul"),
            log_row(template="he said {text}", values=rb'{"text":"said \"no\\way\""}'),
            log_row(template="raw {value}", values=b'{"value":{"$repr":"b\'x\'"}}'),
            log_row(template="line 3\nRAW={n}", logger="app"),
        )
    )
    assert [entry.id for entry in history.logs("Rtest", wanted=LogFilter(text=text))] == ids


def test_a_progress_bar_is_one_row(store: Store, history: History) -> None:
    for number in range(3):
        store.commit(batch(log_row(template=f"bar {number}", bar=0, live=number < 2), log_row(template="plain")))
        store.commit(batch(log_row(attempt=2, template="another", bar=0, live=True)))
    entries = history.logs("Rtest")
    assert [entry.template for entry in entries] == ["plain", "plain", "bar 2", "plain", "another"]
    assert [entry.live for entry in entries] == [False, False, False, False, True]


def test_groups_of_a_run(store: Store, history: History) -> None:
    groups = [GroupRow("Rtest", 1, 1, 0, "outer", None), GroupRow("Rtest", 1, 1, 1, None, 0)]
    store.commit(batch(*groups[::-1], GroupRow("Rother", 1, 1, 0, "x", None)))
    assert history.groups("Rtest") == groups


def test_some_executions_of_a_big_run_are_found_without_reading_it(store: Store, history: History) -> None:
    # A few rows among thousands: the query must not touch the rest, which a count of steps of work shows.
    store.commit(batch(run_row(), *(execution_row(step=n) for n in range(1, 20_001))))
    work = 0

    def count() -> int:
        nonlocal work
        work += 1
        return 0

    history._main._connection.set_progress_handler(count, 100)
    assert {row.step for row in history.executions_among([("Rtest", 7, 1), ("Rtest", 19_000, 1)])} == {7, 19_000}
    assert work < 20  # hundreds of virtual machine instructions, where reading the run takes a million


def test_a_finished_run_reads_the_same_after_the_store_is_closed(data_dir: str) -> None:
    store = Store.open(data_dir)
    store.commit(finished_run())
    history = History.open(data_dir)
    before = history.document_json("Rtest")
    store.close()
    assert history.document_json("Rtest") == before
    history.close()
    assert succeeded() == msgspec.msgpack.encode(Succeeded(json_value("1")))
