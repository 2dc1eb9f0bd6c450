"""Log entries by their ids: of which runs and steps, and when."""

from __future__ import annotations

import pytest

from coflux.executor.history import History
from coflux.executor.log_search import Field, LogFilter, LogScope, parse_field
from coflux.executor.store import Store
from tests.store.factories import batch, log_row

ALL = LogFilter()
FAMILY = LogScope(("Rtest", "Rchild"))


def written(store: Store) -> None:
    """Ids 1 to 8, of three runs, the last one live."""
    store.commit(
        batch(
            log_row(step=1, template="one", at=100.0),
            log_row("Rother", template="of another", at=101.0),
            log_row("Rchild", step=1, template="child {n}", values=b'{"n":7}', at=102.0),
            log_row(step=2, template="two", at=103.0, level=5),
            log_row(step=2, attempt=2, template="two again", at=103.5),
            log_row("Rchild", step=2, template="CHILD 42", at=104.0),
            log_row(step=3, template="three", at=105.0),
            log_row(step=3, template="50%", bar=0, live=True, at=106.0),
        )
    )


@pytest.mark.parametrize(
    ("scope", "wanted", "ids"),
    [
        (LogScope(("Rtest",)), ALL, [1, 4, 5, 7]),
        (FAMILY, ALL, [1, 3, 4, 5, 6, 7]),
        (LogScope(("Rtest", "Rchild"), {"Rtest": {2}}), ALL, [3, 4, 5, 6]),
        (LogScope(("Rtest",), {"Rtest": (2,)}, attempt=2), ALL, [5]),
        (LogScope(("Rtest",), {"Rtest": ()}), ALL, []),
        (LogScope(()), ALL, []),
        (FAMILY, LogFilter(levels=[5]), [4]),
        (FAMILY, LogFilter(text="CHILD 7"), [3]),
        (FAMILY, LogFilter(pattern=r"^child \d+$"), [3, 6]),
        (FAMILY, LogFilter(fields=[Field("n", 7)]), [3]),
    ],
)
def test_ids_are_those_of_a_scope_in_the_order_of_arrival(
    store: Store, history: History, scope: LogScope, wanted: LogFilter, ids: list[int]
) -> None:
    written(store)
    assert list(history.log_ids(scope, 0, 100, wanted)) == ids
    assert list(history.log_ids(scope, 3, 6, wanted)) == [number for number in ids if 3 < number <= 6]


def test_a_live_entry_is_told_apart_until_it_is_complete(store: Store, history: History) -> None:
    written(store)
    assert [entry.template for entry in history.live_entries(FAMILY, 10, ALL)] == ["50%"]
    assert history.live_entries(FAMILY, 10, LogFilter(levels=[5])) == []
    store.commit(batch(log_row(step=3, template="100%", bar=0, live=False, at=107.0)))
    assert history.live_entries(FAMILY, 10, ALL) == []
    assert list(history.log_ids(FAMILY, 7, 100, ALL)) == [9]


@pytest.mark.parametrize(
    ("at", "found"), [(0.0, 1), (100.4, 1), (101.6, 3), (103.4, 5), (104.4, 6), (104.6, 7), (999.0, 8)]
)
def test_an_entry_is_found_by_its_time(store: Store, history: History, at: float, found: int) -> None:
    written(store)
    assert history.log_bounds(FAMILY.runs) == (1, 8)
    assert history.log_id_at(FAMILY, at) == found
    assert history.log_id_at(LogScope(("Rnone",)), at) == 0


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("page", Field("page")),
        ("page=7", Field("page", 7)),
        ("page=seven", Field("page", "seven")),
        ('page="7"', Field("page", "7")),
        ("ok=True", Field("ok", True)),
        ("n=99999999999999999999", Field("n", "99999999999999999999")),
    ],
)
def test_a_condition_on_a_value_is_read(text: str, field: Field) -> None:
    assert parse_field(text) == field


def test_a_portion_of_a_long_log_costs_what_is_in_it(store: Store, history: History) -> None:
    """However many other entries there are, and whether one is live: work is counted, not time."""
    store.commit(batch(*(log_row("Rother" if n % 2 else "Rtest", step=n % 50) for n in range(20_000))))
    work = 0

    def count() -> int:
        nonlocal work
        work += 1
        return 0

    history.newest_log_id()
    assert history._logs is not None
    history._logs._connection.set_progress_handler(count, 100)
    scope = LogScope(("Rtest", *(f"R{n}" for n in range(20))), {"Rtest": range(10)})
    assert len(history.log_ids(scope, 10_000, 10_200, ALL)) == 20
    history.live_entries(scope, 10, ALL)
    history.log_id_at(scope, 5.0)
    assert work < 500  # hundreds of instructions each; reading all would be thousands
