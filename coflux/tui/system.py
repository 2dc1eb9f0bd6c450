"""All about the engine in lines: its workers and what they do, what it has loaded, what it uses, what it said."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from coflux.display.text import duration, size
from coflux.executor.requests import ExecutionSample, Generation, Sampled
from coflux.tui.details import Line
from coflux.tui.engine_state import EngineState
from coflux.tui.painting import Glyphs
from coflux.tui.strip import sparkline, workers_text
from coflux.tui.text import clean, fit, pad

__all__ = ["Heard", "describe_system"]

MOST_EXECUTIONS = 100
_LEVELS = {"info": "", "warning": "yellow", "error": "red bold"}


class Heard(NamedTuple):
    """A notice, and when it came."""

    at: float
    level: str
    text: str


def describe_system(
    engine: EngineState, heard: Sequence[Heard], data_dir: str, width: int, glyphs: Glyphs
) -> list[Line]:
    """What the system screen shows. `heard` is oldest first."""
    sample = engine.sample
    lines: list[Line] = [_heading("Engine", glyphs, width), *_engine(engine, data_dir, glyphs)]
    if sample is not None:
        lines += [[], _heading(f"Running {sample.running:,}, waiting {sample.waiting:,}", glyphs, width)]
        lines += _executions(sample, width, glyphs)
    lines += [[], _heading("Code", glyphs, width), *_code(engine, glyphs)]
    lines += [[], _heading(f"Notices {len(heard)}", glyphs, width), *_notices(heard)]
    return lines


def _heading(title: str, glyphs: Glyphs, width: int) -> Line:
    return [(f"{title} ", "bold"), (glyphs.rule * max(width - len(title) - 1, 0), "dim")]


def _pair(name: str, value: str, style: str = "") -> Line:
    return [(f"{name:<10} ", "dim"), (clean(value), style)]


def _engine(engine: EngineState, data_dir: str, glyphs: Glyphs) -> Iterator[Line]:
    sample = engine.sample
    if not engine.connected:
        yield _pair("state", f"none: {engine.lost}" if engine.lost else "connecting", "red")
    else:
        yield _pair("process", str(engine.pid))
    if data_dir:
        yield _pair("data", data_dir)
    if sample is None:
        return
    cores = engine.cpu[-1] if engine.cpu else 0.0
    most = max([*engine.cpu, 1.0])
    yield [*_pair("cpu", f"{cores:.0%} of a core  "), (sparkline(list(engine.cpu)[-40:], most, glyphs), "cyan")]
    yield _pair("memory", f"{size(sample.memory)} in all its processes")
    yield _pair("load", f"{sample.load:.2f} on this machine")
    stores = f"runs {size(sample.main_size)}, logs {size(sample.logs_size)}, blobs about {size(sample.blobs_size)}"
    yield _pair("disk", stores)
    states = ", ".join(f"{count} {state}" for state, count in sorted(sample.workers.items()))
    yield _pair("workers", states or "none yet")
    yield _pair("queue", f"{sample.queued:,} executions")
    for group in sample.groups:
        marks = workers_text(group.taken, group.concurrency, glyphs)
        taken = f"{group.taken} of {group.concurrency} slots  "
        yield [*_pair("group", f"{group.name or 'default'}: {taken}"), (marks, "cyan")]


def _executions(sample: Sampled, width: int, glyphs: Glyphs) -> Iterator[Line]:
    if not sample.executions:
        yield [("nothing", "dim")]
        return
    columns = f"{'execution':<22}{'state':<9}{'worker':>7}{'pid':>9}{'cpu':>9}{'memory':>10}{'peak':>10}  group"
    yield [(fit(columns, width, ""), "dim")]
    for one in sample.executions[:MOST_EXECUTIONS]:
        yield _execution(one, width, glyphs)
    more = sample.running + sample.waiting - min(len(sample.executions), MOST_EXECUTIONS)
    if more > 0:
        yield [(f"and {more:,} more", "dim")]


def _execution(one: ExecutionSample, width: int, glyphs: Glyphs) -> Line:
    name = pad(fit(one.id, 21, glyphs.ellipsis), 22)
    rest = (
        f"{one.worker:>7}{one.pid:>9}{duration(one.cpu_seconds):>9}{size(one.memory):>10}{size(one.peak_memory):>10}"
        f"  {clean(one.group or 'default')}"
    )
    style = "cyan" if one.state == "running" else "dim"
    return [(name, ""), (f"{one.state:<9}", style), (fit(rest, max(width - 31, 0), glyphs.ellipsis), "")]


def _code(engine: EngineState, glyphs: Glyphs) -> Iterator[Line]:
    generations = () if engine.sample is None else engine.sample.generations
    for generation in generations:
        yield _generation(generation)
    if not generations:
        yield [("nothing is loaded", "dim")]
    for error in engine.errors:
        place = f" {error.file}:{error.line}" if error.file else ""
        yield []
        cross = "✗" if glyphs.unicode else "x"
        yield [(f"{cross} {clean(error.module)}", "red bold"), (clean(place), "cyan"), (f" {clean(error.message)}", "")]
        for line in error.traceback.rstrip().splitlines():
            yield [(f"  {clean(line)}", "dim")]


def _generation(one: Generation) -> Line:
    modules = ", ".join(one.modules)
    state = "finishes what it runs" if one.superseded else one.state
    style = "yellow" if one.state == "importing" else ""
    return [(f"{one.id:>4} ", "dim"), (f"{state:<22}", style), (clean(modules), "")]


def _notices(heard: Sequence[Heard]) -> Iterator[Line]:
    if not heard:
        yield [("none", "dim")]
    for at, level, text in reversed(heard):
        first, *rest = text.splitlines() or [""]
        yield [(time.strftime("%H:%M:%S ", time.localtime(at)), "dim"), (clean(first), _LEVELS.get(level, ""))]
        for line in rest:
            yield [("         ", ""), (clean(line), "dim")]
