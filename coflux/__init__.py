"""Plain decorated Python functions as durable, observable workflows on one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coflux.assets import Asset, AssetEntry, asset
    from coflux.decorators import stub, task, workflow
    from coflux.errors import (
        ExecutionAbandoned,
        ExecutionCancelled,
        ExecutionError,
        ExecutionTerminated,
        ExecutionTimeout,
        InternalError,
    )
    from coflux.groups import group
    from coflux.handles import Execution, cancel, select
    from coflux.logs import log_debug, log_error, log_info, log_warning
    from coflux.metrics import Metric, MetricGroup, MetricScale, progress
    from coflux.options import Cache, Defer, Retries
    from coflux.runs import project_dir, run, start
    from coflux.secret import Secret
    from coflux.suspension import suspend, suspense
    from coflux.target import Target

__version__ = "0.1.0"

__all__ = [
    "Asset",
    "AssetEntry",
    "Cache",
    "Defer",
    "Execution",
    "ExecutionAbandoned",
    "ExecutionCancelled",
    "ExecutionError",
    "ExecutionTerminated",
    "ExecutionTimeout",
    "InternalError",
    "Metric",
    "MetricGroup",
    "MetricScale",
    "Retries",
    "Secret",
    "Target",
    "__version__",
    "asset",
    "cancel",
    "group",
    "log_debug",
    "log_error",
    "log_info",
    "log_warning",
    "progress",
    "project_dir",
    "run",
    "select",
    "start",
    "stub",
    "suspend",
    "suspense",
    "task",
    "workflow",
]

# Loaded when they are first asked for: the command line, the supervisor and the dashboard are in this package too, and
# need none of it.
_HOMES = {
    "Asset": "coflux.assets",
    "AssetEntry": "coflux.assets",
    "Cache": "coflux.options",
    "Defer": "coflux.options",
    "Execution": "coflux.handles",
    "ExecutionAbandoned": "coflux.errors",
    "ExecutionCancelled": "coflux.errors",
    "ExecutionError": "coflux.errors",
    "ExecutionTerminated": "coflux.errors",
    "ExecutionTimeout": "coflux.errors",
    "InternalError": "coflux.errors",
    "Metric": "coflux.metrics",
    "MetricGroup": "coflux.metrics",
    "MetricScale": "coflux.metrics",
    "Retries": "coflux.options",
    "Secret": "coflux.secret",
    "Target": "coflux.target",
    "asset": "coflux.assets",
    "cancel": "coflux.handles",
    "group": "coflux.groups",
    "log_debug": "coflux.logs",
    "log_error": "coflux.logs",
    "log_info": "coflux.logs",
    "log_warning": "coflux.logs",
    "progress": "coflux.metrics",
    "project_dir": "coflux.runs",
    "run": "coflux.runs",
    "select": "coflux.handles",
    "start": "coflux.runs",
    "stub": "coflux.decorators",
    "suspend": "coflux.suspension",
    "suspense": "coflux.suspension",
    "task": "coflux.decorators",
    "workflow": "coflux.decorators",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
