"""`coflux dev` and `attach` where there is no terminal: a hint, at once. (What they show: `tests/tui`.)"""

from __future__ import annotations

import pytest

from tests.cli.samples import Command


@pytest.mark.parametrize(
    ("name", "hint"), [("dev", "`coflux run TARGET` runs without one"), ("attach", "`coflux logs -f RUN` follows one")]
)
def test_without_a_terminal_there_is_a_hint(coflux: Command, name: str, hint: str) -> None:
    status, out, err = coflux(name)
    assert (status, out) == (2, "")
    assert err.startswith("coflux: the dashboard needs a terminal")
    assert hint in err
