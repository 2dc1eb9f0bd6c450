"""`coflux metrics`: no engine runs in these tests."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

import coflux as cf
from coflux.cli import exits
from coflux.cli.bars import bar_lines
from coflux.cli.charts import chart
from coflux.cli.lines import Painter
from coflux.display.axes import Axis, Series
from coflux.display.axis_labels import Counts, labels, number
from coflux.display.bars import bar, progress_text
from coflux.executor.series import Progress
from tests.cli.samples import Command, recording

PLAIN = Painter(False)
LOSS = cf.Metric("loss", group=cf.MetricGroup("training", units="epochs"), scale=cf.MetricScale("nats", units="nats"))


@pytest.fixture
def stored(tmp_path: Path) -> None:
    """A run `Rbcd`: step 2 has metrics in both of its attempts, step 3 has none."""
    (tmp_path / ".coflux").mkdir()
    with recording(tmp_path / ".coflux") as recorder:
        recorder.run("running")
        recorder.step(1, "nightly")
        recorder.execution(1, "running")
        recorder.step(2, "load")
        recorder.execution(2, "failed", following="Rbcd:2:2")
        recorder.execution(2, "succeeded", attempt=2)
        recorder.step(3, "count")
        recorder.execution(3, "running")
        recorder.metric(2, 0, LOSS, [1.0])
        recorder.metric(2, 0, LOSS, [1.0, 0.5, math.nan, math.inf], [0, 1, 2, 3], attempt=2)
        scale = cf.MetricScale(progress=True, upper=20)
        recorder.metric(2, 1, cf.Metric("rows, read", scale=scale), [1, 2, 3, 4, 5], attempt=2)
        recorder.commit()


def test_a_document(coflux: Command, stored: None) -> None:
    status, out, err = coflux("metrics", "Rbcd:2:2", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == {
        "version": 1,
        "run": "Rbcd",
        "metrics": [
            {
                "execution": "Rbcd:2:2",
                "key": "loss",
                "group": {"name": "training", "units": "epochs", "lower": None, "upper": None},
                "scale": {"name": "nats", "units": "nats", "progress": False, "lower": None, "upper": None},
                "progress": None,
                "points": [[0.0, 1.0], [1.0, 0.5], [2.0, None], [3.0, None]],
            },
            {
                "execution": "Rbcd:2:2",
                "key": "rows, read",
                "group": None,
                "scale": {"name": None, "units": None, "progress": True, "lower": None, "upper": 20.0},
                "progress": {"value": 5.0, "upper": 20.0, "fraction": 0.25, "rate": 1.0, "eta": None},
                "points": [[0.5, 1.0], [1.5, 2.0], [2.5, 3.0], [3.5, 4.0], [4.5, 5.0]],
            },
        ],
    }
    assert len(json.loads(coflux("metrics", "Rbcd", "--json")[1])["metrics"]) == 3
    assert json.loads(coflux("metrics", "Rbcd:3", "--json")[1]) == {"version": 1, "run": "Rbcd", "metrics": []}


def test_a_table(coflux: Command, stored: None) -> None:
    status, out, err = coflux("metrics", "Rbcd:2", "--csv", "--key", "loss", "--key", "rows, read")
    assert (status, err) == (0, "")
    rows = list(csv.reader(out.splitlines()))
    assert rows[:2] == [["execution", "key", "at", "value"], ["Rbcd:2:1", "loss", "0.5", "1.0"]]
    assert rows[4:7] == [
        ["Rbcd:2:2", "loss", "2.0", "nan"],
        ["Rbcd:2:2", "loss", "3.0", "inf"],
        ["Rbcd:2:2", "rows, read", "0.5", "1.0"],
    ]
    assert len(rows) == 1 + 1 + 4 + 5


def test_charts(coflux: Command, stored: None) -> None:
    status, out, err = coflux("metrics", "Rbcd")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "Rbcd:2 load failed"
    assert lines[1] == "training"
    second = lines.index("Rbcd:2 load attempt 2 succeeded")
    assert lines[second - 1] == ""
    assert lines[second + 1] == "rows, read  ███████░░░░░░░░░░░░░░░░░░░░░░░  25% (5/20), 1/s"
    assert lines[second + 3] == "● loss  last inf nats, 0.5 to 1"
    assert lines[second + 4].startswith("1 nats ┤●")
    assert "epochs" in lines[-1]
    assert max(map(len, lines)) <= 80


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_charts_of_anything_fit_the_terminal(coflux: Command, tmp_path: Path, utc: None) -> None:
    """With x-values that are times, one that is absurd, and keys, units and names of any length."""
    long = "long " * 20_000
    (tmp_path / ".coflux").mkdir()
    with recording(tmp_path / ".coflux") as recorder:
        recorder.run("succeeded")
        recorder.step(1, long)
        recorder.execution(1, "succeeded")
        recorder.metric(1, 0, cf.Metric("timed"), [1, 2, 3], [1795442551.5, 1795442560.0, 1795442572.25])
        recorder.metric(1, 1, cf.Metric("absurd"), [1, 2], [0.5, 1e300])
        group, scale = cf.MetricGroup(long, units=long), cf.MetricScale(units=long)
        recorder.metric(1, 2, cf.Metric(long, group=group, scale=scale), [1, 2])
        recorder.metric(1, 3, cf.Metric(long + "2", scale=cf.MetricScale(progress=True, upper=4)), [1, 2])
        recorder.commit()
    status, out, _ = coflux("metrics", "Rbcd")
    assert status == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("long long long long")
    assert lines[1].endswith("50% (2/4), 1/s")
    below = [line.split() for line in lines if line.startswith("  ") and "─" not in line and "│" not in line]
    assert ["14:02:31", "14:02:52"] in below
    assert ["0.5", "1e+300"] in below


def test_metrics_of_one_key(coflux: Command, stored: None) -> None:
    status, out, _ = coflux("metrics", "Rbcd:2", "--key", "loss")
    assert status == 0
    assert "rows" not in out
    message = "coflux: Rbcd:2 has no metric 'los'; did you mean 'loss'?\n"
    assert coflux("metrics", "Rbcd:2", "--key", "los") == (exits.NOT_FOUND, "", message)


def test_what_is_not_there(coflux: Command, stored: None) -> None:
    assert coflux("metrics", "Rbcd:3") == (0, "", "Rbcd:3 has recorded no metrics\n")
    assert coflux("metrics", "Rnone")[0] == exits.NOT_FOUND
    assert coflux("metrics", "Rbcd:9")[0] == exits.NOT_FOUND
    assert coflux("metrics", "Rbcd", "--json", "--csv") == (
        exits.USAGE,
        "",
        "coflux: --json and --csv exclude each other\n",
    )


# -- charts -----------------------------------------------------------------------------------------------------------


def drawn(*series: Series, x: Axis | None = None, width: int = 30, unicode: bool = True) -> list[str]:
    return chart(series, x or Axis(), width, PLAIN, unicode=unicode)


def test_a_line_leads_from_point_to_point_but_not_across_a_gap() -> None:
    lines = drawn(Series("a", "#0", Axis(), [0, 5, 10, 15, 20], [1, 1, math.nan, 1, 1]), x=Axis("steps"))
    assert lines[0] == "● a  last 1, 1 to 1"
    (middle,) = [line for line in lines[1:] if "●" in line]
    assert middle.partition("┤")[2] == "●·····●           ●·····●"
    assert lines[-1].split() == ["0", "steps", "20"]


def test_several_series_are_told_apart_and_those_of_one_scale_share_it() -> None:
    lines = drawn(
        Series("a", "=s", Axis("MB"), [0, 1], [0, 8]),
        Series("b", "=s", Axis("MB"), [0, 1], [2, 10]),
        Series("c", "#2", Axis("%", 0, 100), [0, 1], [50, 60]),
        Series("d", "#3", Axis(), [0, 1], [7, 9]),
        width=60,
    )
    assert [line.partition("  ")[0] for line in lines[:4]] == ["● a", "○ b", "■ c", "□ d"]
    assert lines[3].endswith("(drawn from 7 to 9)")
    assert lines[4].startswith("10 MB ┤")
    assert lines[4].endswith("├ 100 %")
    assert lines[-3].startswith("    0 ┤●")
    assert all(line.endswith(("│", "├ 100 %", "├ 50", "├ 0")) for line in lines[4:-2])


@pytest.mark.parametrize(
    ("values", "lower", "upper"),
    [
        ([5], "2.5", "7.5"),
        ([0], "-0.5", "0.5"),
        ([-1e308, 1e308], "-1e+308", "1e+308"),
        ([1e-9, 2e-9], "1e-09", "2e-09"),
    ],
)
def test_ranges(values: list[float], lower: str, upper: str) -> None:
    lines = drawn(Series("a", "#0", Axis(), list(range(len(values))), values))
    assert lines[1].lstrip().startswith(f"{upper} ┤")
    assert lines[-3].lstrip().startswith(f"{lower} ┤")


def test_what_is_beyond_the_bounds_is_not_drawn() -> None:
    lines = drawn(Series("a", "#0", Axis("", 0, 10), [0, 1, 2], [5, 1e300, -7]), x=Axis("", 0, 2))
    assert sum(line.count("●") for line in lines[1:]) == 1
    assert drawn(Series("a", "#0", Axis("", 0, 10), [0], [50]))[1].startswith("10 ┤")
    assert drawn(Series("a", "#0", Axis(), [0, 5e-324], [0, 5e-324]))  # the least difference that there is


def test_without_values_there_is_no_picture() -> None:
    assert drawn(Series("a", "#0", Axis(), [], []), Series("b", "#1", Axis(), [1], [math.nan])) == [
        "● a  no values",
        "○ b  gaps only",
    ]


def test_ascii_and_narrow_terminals() -> None:
    lines = drawn(Series("a\x1b", "#0", Axis(), [0, 1], [0, 1]), x=Axis(counts="seconds"), width=5, unicode=False)
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert lines[0].startswith("* a^[")
    assert lines[-1].split() == ["0ms", "1.0s"]


def test_colours_are_those_of_the_series() -> None:
    lines = chart([Series("a", "#0", Axis(), [0], [1])], Axis(), 30, Painter(True), unicode=True)
    assert lines[0].startswith("\x1b[36m●\x1b[0m a")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (12345.0, "12345"), (0.25, "0.25"), (1.5e9, "1.5e+09"), (-3.0, "-3"), (1 / 3, "0.3333")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("counts", "values", "expected"),
    [
        ("numbers", [0, 20], ["0", "20"]),
        ("numbers", [1795442551, 1795442552], ["1795442551", "1795442552"]),
        ("numbers", [1.0, 1.0 + 2**-52], ["1", "1.0000000000000002"]),
        ("numbers", [5, 5], ["5", "5"]),
        ("seconds", [0, 3725], ["0ms", "1h02m"]),
        ("seconds", [100.01, 100.02], ["100.01s", "100.02s"]),
        ("seconds", [-3.5, -1], ["-3.5", "-1"]),
        ("seconds", [0, 1795442551.5], ["0", "1.795e+09"]),
        ("times", [1795442551.5, 1795442572.25], ["14:02:31", "14:02:52"]),
        ("times", [1795442551.25, 1795442551.5], ["14:02:31.250000", "14:02:31.500000"]),
        ("times", [1795442551, 1795542551], ["2026-11-23 14:02", "2026-11-24 17:49"]),
        ("times", [1795442551, 1805442551], ["2026-11-23", "2027-03-19"]),
        ("times", [0, 1e300], ["0", "1e+300"]),  # bounds of the group
    ],
)
def test_labels_differ_where_values_do(counts: Counts, values: list[float], expected: list[str], utc: None) -> None:
    assert labels(values, counts) == expected


def test_labels_without_room_for_both_are_below_each_other(utc: None) -> None:
    series = Series("a", "#0", Axis(), [1795442551.5, 1795442572.25], [0, 1])
    lines = drawn(series, x=Axis(counts="times"), width=15)
    assert [line.strip() for line in lines[-2:]] == ["14:02:31", "14:02:52"]
    assert max(map(len, lines)) <= 15
    single = drawn(Series("a", "#0", Axis(), [1795442551.0], [1]), x=Axis(counts="times"))
    assert single[-1].split() == ["14:02:01", "14:03:01"]


# -- bars -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fraction", "drawn"), [(0.0, "░░░░"), (0.24, "░░░░"), (0.5, "██░░"), (0.99, "███░"), (1.0, "████")]
)
def test_a_bar_is_full_at_the_end_only(fraction: float, drawn: str) -> None:
    assert bar(fraction, 4, unicode=True) == drawn
    assert bar(fraction, 4, unicode=False) == drawn.replace("░", ".").replace("█", "#")


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(21, 50, 0.42, 3.1, 9.4), "42% (21/50), 3.1/s, 9.4s left"),
        (Progress(49.99, 50, 0.9998, None, None), "99% (49.99/50)"),
        (Progress(50, 50, 1.0, 0.01, 0.0), "100% (50/50), 0.6/min"),
        (Progress(21, None, None, 0.0001, None), "21 done, 0.36/h"),
    ],
)
def test_progress_in_words(progress: Progress, text: str) -> None:
    assert progress_text(progress) == text
    assert "/s" not in progress_text(progress, rate=False)


@pytest.mark.parametrize("width", [0, 5, 20, 40, 80])
@pytest.mark.parametrize("unicode", [True, False])
def test_bars_fit_the_terminal(width: int, unicode: bool) -> None:
    told = [("k" * 100_000, Progress(21, 50, 0.42, 3.1, 9.4)), ("更新", Progress(21, None, None, None, None))]
    lines = bar_lines(told, width, PLAIN, unicode=unicode)
    assert all(cell_len(line) <= max(width, 3) for line in lines)
    if width >= 20:
        assert "42%" in lines[0]
    assert (("█" if unicode else "#") in lines[0]) == (width >= 80)
    assert bar_lines([], width, PLAIN, unicode=unicode) == []
