"""Specs, values and outcomes with sensible defaults."""

from __future__ import annotations

from typing import Any

from coflux.executor.core.state import Instant
from coflux.executor.messages import ArgumentKey, Failed, Outcome, Succeeded, TargetSpec, Usage
from coflux.failures import Failure
from coflux.task_options import CacheOptions, RetryOptions, TaskOptions
from coflux.values import Reference, Value

USAGE = Usage(0.25, 1 << 20)
WALL = 1_700_000_000.0  # seconds since the epoch when the virtual clocks stand at 0


def instant(elapsed: float, asleep: float = 0.0) -> Instant:
    """The clocks `elapsed` seconds after the start, `asleep` of which the machine was suspended."""
    return Instant(elapsed - asleep, elapsed, WALL + elapsed)


def spec(name: str = "task", **options: Any) -> TargetSpec:
    """A target. `retries=2` is short for two retries without backoff, `True` for unlimited ones; `cache=True` for any
    age, `cache=5.0` for 5 s; `defer=True` and `wait=True` for all parameters. What is no option is the target's own."""
    kind, run_memo = options.pop("type", "task"), options.pop("run_memo", False)
    parameters = options.pop("parameters", ("x",))
    retries = options.pop("retries", None)
    for name_of, all_of in (("defer", parameters), ("wait", parameters)):
        if options.get(name_of) is True:
            options[name_of] = all_of
    cache = options.get("cache")
    if cache is not None and not isinstance(cache, CacheOptions):
        options["cache"] = CacheOptions(None if cache is True else cache)
    if retries is True:
        options["retries"] = RetryOptions()
    elif isinstance(retries, int):
        options["retries"] = RetryOptions(retries, 0.0, 0.0) if retries else None
    elif retries is not None:
        options["retries"] = retries
    module = options.pop("module", "shop.orders")
    known = {field: options.pop(field) for field in ("stub", "overrides", "code") if field in options}
    return TargetSpec(module, name, kind, parameters, TaskOptions(**options), run_memo=run_memo, **known)


class Imports:
    """A catalogue: what each host has imported, as a test says. By default that is nothing."""

    def __init__(self) -> None:
        self._targets: dict[int, dict[str, dict[str, TargetSpec]]] = {}

    def add(self, host: int, module: str, *targets: TargetSpec) -> None:
        self._targets.setdefault(host, {})[module] = {target.name: target for target in targets}

    def has_module(self, host: int, module: str) -> bool:
        return module in self._targets.get(host, {})

    def targets(self, host: int, module: str) -> dict[str, TargetSpec]:
        return self._targets[host][module]

    def fingerprint(self, host: int, module: str, name: str) -> bytes:
        return b""


def value(text: str = "null", *handles: str) -> Value:
    """An encoded value that holds `handles` (execution ids, or `@n`)."""
    references = tuple(Reference("execution", handle) for handle in handles)
    return Value("json", text.encode(), len(text), references=references, preview=text)


def key(content: str, *handles: str) -> ArgumentKey:
    """The key of an argument with this content and these handles."""
    return ArgumentKey(content.encode(), handles)


def succeeded(text: str = "null", *handles: str) -> Outcome:
    return Succeeded(value(text, *handles))


def failed(message: str = "no luck") -> Outcome:
    return Failed(Failure("builtins.ValueError", message, f"ValueError: {message}\n"))
