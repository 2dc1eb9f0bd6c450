"""What a target, a handle or a log function talks to.

Inside an execution the worker installs a `Backend`; outside one there is none and targets are plain functions. The
API modules know this protocol only, never pipes or processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

if TYPE_CHECKING:
    import os

    from coflux.handles import Execution
    from coflux.metrics import Metric
    from coflux.target import Target
    from coflux.values import BlobStore

__all__ = ["Backend", "current", "importing", "install", "set_importing"]


class Backend(Protocol):
    """The engine as seen from inside one execution. Every method may be called from any thread of the process."""

    def submit(self, target: Target[..., Any], arguments: Sequence[object], group: int | None) -> Execution[Any]:
        """Submit `target` with one value per parameter of its signature (`*args` as a tuple, `**kwargs` as a dict)."""

    def identify(self, handle: Execution[Any]) -> str:
        """Return the execution id of a handle that was submitted here."""

    def result(self, handle: Execution[Any]) -> Any:
        """Block until the handle's chain ends; return its value or raise its failure.

        This, `result_async` and `select` suspend the execution after the time that `suspense` allows.
        """

    async def result_async(self, handle: Execution[Any]) -> Any:
        """As `result`, without blocking the event loop."""

    def poll(self, handle: Execution[Any], timeout: float | None, default: Any) -> Any:
        """Return the value (or raise the failure) if it is there within `timeout` seconds, else `default`."""

    def select(self, handles: Sequence[Execution[Any]]) -> int:
        """Block until the chain of one of the handles ends; return the index of the first that has."""

    def suspend(self, delay: float, until: float | None) -> NoReturn:
        """Go on in another attempt, `delay` seconds from now or at the wall-clock time `until`; raise `Suspending`."""

    def cancel(self, handles: Sequence[Execution[Any]]) -> None:
        """Cancel the handles' pending executions and their descendants."""

    def open_group(self, name: str | None, parent: int | None) -> int:
        """Register a group of this execution and return its number."""

    def log(self, level: int, template: str | None, values: dict[str, object]) -> None:
        """Record a structured log entry. Levels are `coflux.logs.Level`."""

    def keep_secret(self, value: str) -> str:
        """Have the engine keep `value` in its memory and show it nowhere; return the id by which values refer to it."""

    def hide(self, value: str) -> None:
        """As `keep_secret`, where the engine can be told. It is when this returns."""

    def record_metric(self, metric: Metric, value: float, at: float | None) -> None:
        """Record a point. Raises `ValueError` where the metric contradicts another one of this execution."""

    def blobs(self) -> BlobStore:
        """The store that the files of assets are put into, and are read from."""

    def keep_asset(self, asset: str, name: str | None, files: int, size: int, blobs: Sequence[str]) -> None:
        """Record that this execution has made an asset, with `files` files of `size` bytes together.

        `blobs` are those that may be new: they are to be on the disk before what refers to them.
        """

    def file_stored(self, status: os.stat_result) -> None:
        """Take note that the content of a file is in the store: it is no loss when the file is discarded."""

    def execution_id(self) -> str:
        """The id of the execution that is running."""

    def project_dir(self) -> str:
        """The project's directory (an execution's working directory is a temporary one)."""


_current: Backend | None = None
_importing = False


def current() -> Backend | None:
    """The backend of the execution running in this process, or `None` outside one."""
    return _current


def install(backend: Backend | None) -> None:
    """Make `backend` the current one of this process (`None`: none)."""
    global _current
    _current = backend


def importing() -> bool:
    """Whether the engine is importing the user's modules in this process."""
    return _importing


def set_importing(value: bool) -> None:
    """Say that the engine begins, or ends, to import the user's modules in this process."""
    global _importing
    _importing = value
