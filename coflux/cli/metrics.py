"""`coflux metrics`: what a run recorded while it ran, as charts for people and as data for programs."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Protocol

import click
import msgspec

from coflux.cli import exits
from coflux.cli.app import did_you_mean
from coflux.cli.bars import bar_lines
from coflux.cli.charts import chart
from coflux.cli.engine import open_history, resolve_id
from coflux.cli.lines import Painter
from coflux.cli.ndjson import VERSION
from coflux.cli.options import complete_runs, json_option, project_option
from coflux.cli.streams import Streams, open_streams
from coflux.cli.terminal import Output
from coflux.display.axes import Series, in_charts, scale_name, x_axis, y_axis
from coflux.display.text import fit, visible
from coflux.executor.history import History
from coflux.executor.recorded_metrics import MetricInfo, PointsPage
from coflux.executor.rows import ExecutionRow
from coflux.executor.series import Progress
from coflux.project import Project

__all__ = ["command"]

CHART_POINTS = 2000  # of a metric, at most


@click.command()
@click.argument("identifier", metavar="RUN[:STEP[:ATTEMPT]]", shell_complete=complete_runs)
@click.option("--key", "keys", metavar="KEY", multiple=True, help="Only the metric with this key. Repeatable.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print all points as CSV: execution, key, at, value.")
@project_option
def command(project: Project, identifier: str, keys: tuple[str, ...], as_json: bool, as_csv: bool) -> None:
    """Show the metrics of a run, a step or an execution: charts, and bars for what is progress."""
    if as_json and as_csv:
        raise exits.CommandError("--json and --csv exclude each other")
    streams = open_streams()
    with open_history(project) as history:
        found = resolve_id(history, identifier)
        metrics = history.metrics(found.run, found.step, found.attempt)
        if keys:
            metrics = _with_keys(metrics, keys, identifier)
        if as_json:
            printer: Printer = Document(streams.out, history, found.run)
        elif as_csv:
            printer = Table(streams.out, history)
        else:
            printer = Charts(streams, history)
        for execution_id, members in groupby(metrics, lambda metric: metric.execution):
            row = history.execution(execution_id)
            if row is not None and streams.out.error is None:  # else it was pruned at this moment, or nobody reads
                printer.execution(row, list(members))
                streams.out.flush()
        printer.end()
        if not metrics and not (as_json or as_csv):
            streams.err.line(f"{visible(identifier)} has recorded no metrics")
    streams.finish()


class Printer(Protocol):
    def execution(self, row: ExecutionRow, metrics: list[MetricInfo]) -> None:
        """Print the metrics of one execution."""

    def end(self) -> None:
        """Print what comes after the last one."""


def _with_keys(metrics: list[MetricInfo], keys: Sequence[str], identifier: str) -> list[MetricInfo]:
    known = list(dict.fromkeys(metric.key for metric in metrics))
    for key in keys:
        if key not in known:
            hint = did_you_mean(key, known) or (f": it has {', '.join(known[:10])}" if known else "")
            raise exits.CommandError(f"{identifier} has no metric {key!r}{hint}", exits.NOT_FOUND)
    return [metric for metric in metrics if metric.key in keys]


def _pages(history: History, metric: MetricInfo) -> Iterator[PointsPage]:
    """The points that a metric had when it was looked up."""
    after = 0
    while after < metric.points and (page := history.points(metric, after)).values:
        yield page
        after = page.end


def _progress(history: History, row: ExecutionRow) -> dict[int, Progress]:
    """What the execution's metrics tell of its progress, by their numbers."""
    found = history.progress([row], time.time())
    return {metric.number: progress for told in found.values() for metric, progress in told}


# -- for programs -----------------------------------------------------------------------------------------------------


class Document:
    """One JSON document, written page by page.

    `{"version": 1, "run": id, "metrics": [{"execution", "key", "group": null or {"name", "units", "lower", "upper"},
    "scale": null or {"name", "units", "progress", "lower", "upper"}, "progress": null or {"value", "upper", "fraction",
    "rate", "eta"}, "points": [[at, value], …]}, …]}`. Gaps are null; rates are a second, `eta` is in seconds.
    """

    def __init__(self, out: Output, history: History, run: str) -> None:
        self._out = out
        self._history = history
        self._separator = msgspec.json.encode({"version": VERSION, "run": run}).decode()[:-1] + ',"metrics":['

    def execution(self, row: ExecutionRow, metrics: list[MetricInfo]) -> None:
        progress = _progress(self._history, row)
        for metric in metrics:
            told = progress.get(metric.number)
            fields = {
                "execution": metric.execution,
                "key": metric.key,
                "group": metric.group,
                "scale": metric.scale,
                "progress": None if told is None else told._asdict(),
            }
            self._out.json(self._separator + msgspec.json.encode(fields).decode()[:-1] + ',"points":[')
            self._separator = ","
            self._points(metric)
            self._out.json("]}")

    def _points(self, metric: MetricInfo) -> None:
        for page in _pages(self._history, metric):
            points = msgspec.json.encode(list(zip(page.at, page.values, strict=True))).decode()[1:-1]
            self._out.json(points + ("," if page.end < metric.points else ""))
            self._out.flush()

    def end(self) -> None:
        self._out.json("]}" if self._separator == "," else f"{self._separator}]}}")


class Table:
    """All points as CSV, page by page. Gaps are as Python writes them: `nan`, `inf`, `-inf`."""

    def __init__(self, out: Output, history: History) -> None:
        self._out = out
        self._history = history
        out.line("execution,key,at,value")

    def execution(self, row: ExecutionRow, metrics: list[MetricInfo]) -> None:
        for metric in metrics:
            for page in _pages(self._history, metric):
                text = io.StringIO()
                rows = zip(page.at, page.values, strict=True)
                csv.writer(text, lineterminator="\n").writerows((row.id, metric.key, *point) for point in rows)
                self._out.put(text.getvalue())
                self._out.flush()
                if self._out.error is not None:
                    return

    def end(self) -> None:
        pass


# -- for people -------------------------------------------------------------------------------------------------------


class Charts:
    """For each execution a heading, a bar for each metric that is progress, and a chart for each group of others."""

    def __init__(self, streams: Streams, history: History) -> None:
        self._out = streams.out
        self._terminal = streams.out_terminal
        self._painter = Painter(streams.out_terminal.color)
        self._history = history
        self._begun = False

    def execution(self, row: ExecutionRow, metrics: list[MetricInfo]) -> None:
        if self._begun:
            self._out.line("")
        self._begun = True
        self._title(self._heading(row))
        progress = _progress(self._history, row)
        told = [(metric.key, progress[metric.number]) for metric in metrics if metric.number in progress]
        for line in bar_lines(told, self._terminal.width, self._painter, unicode=self._terminal.unicode):
            self._out.line(line)
        for members in in_charts(metrics).values():
            self._chart(members)

    def end(self) -> None:
        pass

    def _heading(self, row: ExecutionRow) -> str:
        steps = self._history.steps(row.run, after=row.step - 1, limit=1)
        name = visible(steps[0].name) if steps else ""
        attempt = f" attempt {row.attempt}" if row.attempt > 1 else ""
        return f"{row.run}:{row.step} {name}{attempt} {row.status.replace('_', ' ')}"

    def _title(self, text: str) -> None:
        ellipsis = "…" if self._terminal.unicode else "..."
        self._out.line(self._painter.paint(fit(text, self._terminal.width, ellipsis), "bold"))

    def _chart(self, metrics: list[MetricInfo]) -> None:
        group = metrics[0].group
        if group is not None:
            self._title(visible(group.name))
        members = []
        for metric in metrics:
            at, values = self._history.thinned_points(metric, CHART_POINTS)
            members.append(Series(metric.key, scale_name(metric), y_axis(metric), at, values))
        x = x_axis([(metric, series.at) for metric, series in zip(metrics, members, strict=True)])
        lines = chart(members, x, self._terminal.width, self._painter, unicode=self._terminal.unicode)
        for line in lines:
            self._out.line(line)
