"""The agenda: what is due comes out in order, and what is over does not stay."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from coflux.executor.core.agenda import Agenda


class Item:
    def __init__(self, at: float, order: int) -> None:
        self.at = at
        self.order = order
        self.over = False


def taken(agenda: Agenda[Item], now: float) -> list[Item]:
    items = []
    while agenda.next_at <= now:
        item = agenda.take_due(now)
        if item is not None:
            items.append(item)
    return items


@given(times=st.lists(st.integers(0, 5), max_size=200), over=st.sets(st.integers(0, 199)), now=st.integers(0, 5))
def test_what_is_due_and_not_over_comes_out_in_order(times: list[int], over: set[int], now: int) -> None:
    agenda: Agenda[Item] = Agenda(lambda item: not item.over)
    items = [Item(at, order) for order, at in enumerate(times)]
    for item in items:
        agenda.put(item.at, item.order, item)
        item.over = item.order in over
    left = [item for item in items if not item.over]
    assert taken(agenda, now) == sorted(
        (item for item in left if item.at <= now), key=lambda item: (item.at, item.order)
    )
    assert taken(agenda, 5) == sorted((item for item in left if item.at > now), key=lambda item: (item.at, item.order))
    assert agenda.next_at == inf


def test_what_is_over_is_let_go_of() -> None:
    agenda: Agenda[Item] = Agenda(lambda item: not item.over)
    for order in range(10_000):
        item = Item(3600.0, order)
        agenda.put(item.at, order, item)
        item.over = order % 1000 != 0
    assert len(agenda.items()) < 100
    assert [item.order for item in taken(agenda, 3600.0)] == list(range(0, 10_000, 1000))


def test_what_is_not_over_is_kept() -> None:
    agenda: Agenda[Item] = Agenda(lambda item: not item.over)
    for order in range(10_000):
        agenda.put(float(order), order, Item(float(order), order))
    assert len(taken(agenda, 10_000.0)) == 10_000
