"""Plain decorated Python functions as durable, observable workflows on one machine."""

from __future__ import annotations

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
from coflux.run import project_dir, run, start
from coflux.secret import Secret
from coflux.suspense import suspend, suspense
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
