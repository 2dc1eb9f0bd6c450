"""Groups of submissions, for people to look at."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from coflux import backend
from coflux.encodable import check_encodable

__all__ = ["current_group", "group"]

_current: ContextVar[int | None] = ContextVar("coflux_group", default=None)


def current_group() -> int | None:
    """The number of the group that submissions belong to here, if any."""
    return _current.get()


@contextmanager
def group(name: str | None = None) -> Generator[None]:
    """Show what the block submits as one group. Groups nest; two blocks are two groups, of equal names too.

    Args:
        name: what to call the group.

    Raises:
        TypeError: `name` is no text.
        ValueError: `name` has lone surrogates, which cannot be stored.
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(f"group() takes a name (str), not {name!r}")
    if name is not None:
        check_encodable("the name of a group", name)
    engine = backend.current()
    if engine is None:
        yield
        return
    token = _current.set(engine.open_group(name, _current.get()))
    try:
        yield
    finally:
        _current.reset(token)
