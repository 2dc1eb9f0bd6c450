"""How often the screen is drawn: as often as it may cost."""

from __future__ import annotations

import pytest

from coflux.tui.pace import Pace


@pytest.mark.parametrize(
    ("cost", "times"),
    [
        (0.001, 200),  # cheap enough for every look
        (0.02, 25),  # each is followed by 400 ms without
        (1.0, 10),  # so much that nothing would be seen any more: but it is
    ],
)
def test_what_costs_more_is_done_more_seldom(cost: float, times: int) -> None:
    """A look every 50 ms for ten seconds. (What is done takes no time here, only CPU time.)"""
    pace, used, done = Pace(0.05, 1.0, 0.1), 0.0, 0
    for look in range(1, 201):
        if pace.allows(look * 0.05, used):
            used += cost
            done += 1
    assert done == pytest.approx(times, abs=1)


def test_what_must_be_done_counts_and_is_not_held_up() -> None:
    pace = Pace(0.1, 1.0, 0.1)
    assert pace.allows(1.0, 0.0)
    assert not pace.allows(1.05, 0.05)  # a key was pressed: 50 ms of CPU time
    assert not pace.allows(1.4, 0.05)
    assert pace.allows(1.6, 0.05)


def test_what_somebody_waits_for_is_done_until_the_burst_is_used() -> None:
    pace = Pace(0.1, 1.0, 0.1)
    assert not pace.allows(1.0, 5.0)
    pace.hurry()
    assert pace.allows(1.0, 5.06)
    assert pace.allows(1.0, 5.09)
    assert not pace.allows(1.0, 5.12)
