"""Metrics and assets as they are read from the store: a training in two groups, and what it kept."""

from __future__ import annotations

import math
from collections.abc import Sequence

from coflux import MetricGroup, MetricScale
from coflux.asset_manifest import StoredFile
from coflux.display.axes import ChartName
from coflux.executor.recorded_metrics import MetricInfo
from coflux.executor.series import Point, Progress
from coflux.tui.previews import Preview, Text
from coflux.tui.updates import (
    AssetListed,
    AssetsAsked,
    AssetsRead,
    ChartRead,
    EntriesAsked,
    EntriesRead,
    MetricCourse,
    MetricsAsked,
    MetricsRead,
    PreviewAsked,
    PreviewRead,
    Request,
    Update,
)

TRAINING = MetricGroup("training", units="epochs", lower=0, upper=40)
LOSS = MetricScale("loss", lower=0)
ACCURACY = MetricScale("accuracy", units="%", lower=0, upper=100)
MACHINE = MetricGroup("machine")
EPOCHS = MetricScale(progress=True, upper=40)


def course(
    key: str,
    values: Sequence[float],
    at: Sequence[float] | None = None,
    *,
    step: int = 1,
    attempt: int = 1,
    number: int = 0,
    group: MetricGroup | None = None,
    scale: MetricScale | None = None,
) -> MetricCourse:
    at = [float(place) for place in (range(len(values)) if at is None else at)]
    last = Point(at[-1], values[-1]) if values else None
    return MetricCourse(
        MetricInfo("R1", step, attempt, number, key, group, scale, len(values), last), list(at), list(values)
    )


def training(epochs: int = 26) -> list[ChartRead]:
    """Two errors and an accuracy over epochs, and what the machine did over seconds."""
    epoch = range(1, epochs + 1)
    at = [float(one) for one in epoch]
    train = [2.3 * math.exp(-one / 9) + 0.08 * math.sin(one * 2.1) / one**0.5 + 0.1 for one in epoch]
    held = [2.3 * math.exp(-one / 11) + 0.1 * math.sin(one * 1.3) / one**0.3 + 0.25 for one in epoch]
    right = [96 - 80 * math.exp(-one / 7) + 2 * math.sin(one) for one in epoch]
    seconds = [one * 0.11 for one in range(240)]
    memory = [310 + 80 * (1 - math.exp(-one / 40)) + 12 * math.sin(one / 7) for one in range(240)]
    cpu = [math.nan if 90 < one < 110 else 70 + 25 * math.sin(one / 15) ** 3 for one in range(240)]
    return [
        ChartRead(
            ChartName(True, "training"),
            [
                course("train", train, at, group=TRAINING, scale=LOSS),
                course("held back", held, at, group=TRAINING, scale=LOSS, number=1),
                course("accuracy", right, at, group=TRAINING, scale=ACCURACY, number=2),
            ],
            0,
        ),
        ChartRead(
            ChartName(True, "machine"),
            [
                course("memory", memory, seconds, group=MACHINE, scale=MetricScale("b", units="MiB"), number=3),
                course("cpu", cpu, seconds, group=MACHINE, scale=MetricScale("c", units="%"), number=4),
            ],
            0,
        ),
    ]


BARS = [
    (course("epochs", [26.0], scale=EPOCHS, number=5).metric, Progress(26.0, 40.0, 0.65, 3.1, 4.5)),
    (course("seen", [41_300.0], number=6).metric, Progress(41_300.0, None, None, 1600.0, None)),
]
MODEL = AssetListed("a" * 64, "terrain model", 4, 318_222, "R1:2:1")
TABLE = AssetListed("b" * 64, None, 1, 1_234, "R1:3:1", in_result=True)
FILES = {
    MODEL.id: [
        StoredFile("README.md", "c" * 64, 120, 0o644),
        StoredFile("model.npz", "d" * 64, 240_100, 0o644),
        StoredFile("plots/loss.png", "e" * 64, 40_000, 0o644),
        StoredFile("plots/terrain.png", "f" * 64, 38_002, 0o755),
    ],
    TABLE.id: [StoredFile("table.csv", "0" * 64, 1_234, 0o644)],
}


class Recorded:
    """Answers what the dashboard asks about metrics and assets."""

    def __init__(self, charts: Sequence[ChartRead] = (), previews: dict[str, Preview] | None = None) -> None:
        self.charts = charts
        self.previews = previews or {}

    def __call__(self, request: Request) -> Sequence[Update]:
        match request:
            case MetricsAsked(number) if request.run:
                return [MetricsRead(number, self.charts, 0, BARS if self.charts else [], 0)]
            case AssetsAsked(number) if request.run:
                return [AssetsRead(number, [MODEL, TABLE])]
            case EntriesAsked(asset):
                return [EntriesRead(asset, FILES[asset])]
            case PreviewAsked(number, _, path):
                return [PreviewRead(number, self.previews.get(path, Text("text", [f"text of {path}"])))]
            case _:
                return []
