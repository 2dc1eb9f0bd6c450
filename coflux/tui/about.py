"""What the dashboard was started as."""

from __future__ import annotations

from typing import NamedTuple

from coflux import __version__

__all__ = ["About"]


class About(NamedTuple):
    """Attributes:
    title: what it is about: a module, a file, or the project's name.
    data_dir: where the data lives; "" if that is of no interest.
    root: the project's directory; "" if files are to be named in full.
    run: the run that is opened at once, "" for none.
    own_run: it was started for this dashboard: leaving is about this run alone.
    passing: the project is removed when the dashboard is left, so nothing is asked then.
    """

    title: str = ""
    data_dir: str = ""
    root: str = ""
    run: str = ""
    own_run: bool = False
    passing: bool = False

    def lines(self) -> list[tuple[str, str]]:
        """For the help: names and values."""
        data = [("data", self.data_dir)] if self.data_dir else []
        return [("version", f"coflux {__version__}"), *data]
