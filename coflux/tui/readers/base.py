"""What all readers have in common."""

from __future__ import annotations

from collections.abc import Iterator

from coflux.executor.history import History
from coflux.executor.news import News
from coflux.tui.updates import Request, Update

__all__ = ["Reader"]


class Reader:
    """Follows one subject in the store. It lives as long as the dashboard, whichever engine there is.

    Attributes:
        busy: there is more to read, news or not. What takes long is read in portions, between which others have a turn.
        due: when there will be, on the monotonic clock, for those that read only so often; `None`: with the next news.
    """

    busy = False
    due: float | None = None

    def answer(self, history: History, request: Request) -> Iterator[Update]:
        """Take note of what the screen asks for, and tell what can be told at once. Each reader gets every request."""
        yield from ()

    def read(self, history: History, news: News) -> Iterator[Update]:
        """Tell what is new, or the next portion of it."""
        yield from ()
