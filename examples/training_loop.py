"""A training loop: a small neural network learns the terrain around Jacksboro, Tennessee.

    coflux run examples/training_loop.py
    coflux run examples/training_loop.py --epochs 60 --width 128
    coflux metrics RUN
    coflux assets download RUN --to trained

The elevation model (Shuttle Radar Topography Mission, 3 arc seconds) ships with matplotlib. One tenth of its points are
kept back, to see what the network makes of places that it was never shown. While it trains there are a progress bar and
the errors of both parts in one chart; in the end an asset holds the model and a picture of the terrain next to it.

Needs numpy and matplotlib.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import coflux as cf

Array = NDArray[np.float32]

EPOCHS = cf.MetricGroup("training", units="epochs", lower=0)
ERROR = cf.MetricScale("error", units="m", lower=0)
training_error = cf.Metric("train", group=EPOCHS, scale=ERROR, throttle=None)  # every epoch counts
held_back_error = cf.Metric("held back", group=EPOCHS, scale=ERROR, throttle=None)


@dataclass(frozen=True)
class Terrain:
    """Places as x and y from 0 to 1; their elevations in metres, less the mean, in standard deviations."""

    places: Array
    elevations: Array
    mean: float
    deviation: float
    shape: tuple[int, int]


class Network:
    """Two layers over random Fourier features, without which a network sees no more than the lie of the land
    (Tancik et al., 2020, https://arxiv.org/abs/2006.10739)."""

    def __init__(self, width: int, random: np.random.Generator, frequency: float = 8.0) -> None:
        self.waves = random.normal(0, frequency, (2, width)).astype(np.float32)
        self.weights = [
            random.normal(0, (2 / rows) ** 0.5, (rows, columns)).astype(np.float32)
            for rows, columns in ((2 * width, width), (width, 1))
        ]
        self.means = [np.zeros_like(one) for one in self.weights]  # of the gradients, as Adam keeps them,
        self.squares = [np.zeros_like(one) for one in self.weights]  # and of their squares
        self.steps = 0

    def features(self, places: Array) -> Array:
        phases = 2 * np.pi * places @ self.waves
        return np.concatenate([np.sin(phases), np.cos(phases)], axis=1)

    def predict(self, places: Array) -> Array:
        hidden: Array = np.maximum(self.features(places) @ self.weights[0], 0)
        elevations: Array = (hidden @ self.weights[1])[:, 0]
        return elevations

    def learn(self, places: Array, elevations: Array, rate: float) -> None:
        """One step of Adam (Kingma and Ba, 2014, https://arxiv.org/abs/1412.6980) on the squared error."""
        features = self.features(places)
        hidden = np.maximum(features @ self.weights[0], 0)
        slope = 2 * ((hidden @ self.weights[1])[:, 0] - elevations)[:, None] / len(places)
        gradients = [features.T @ ((slope @ self.weights[1].T) * (hidden > 0)), hidden.T @ slope]
        self.steps += 1
        for layer, gradient in enumerate(gradients):
            self.means[layer] += 0.1 * (gradient - self.means[layer])
            self.squares[layer] += 0.001 * (gradient**2 - self.squares[layer])
            mean = self.means[layer] / (1 - 0.9**self.steps)
            self.weights[layer] -= rate * mean / (np.sqrt(self.squares[layer] / (1 - 0.999**self.steps)) + 1e-8)


@cf.task(cache=True)
def load_terrain(spacing: int) -> Terrain:
    """Every `spacing`-th point of the elevation model, in both directions."""
    from matplotlib.cbook import get_sample_data

    with np.load(get_sample_data("jacksboro_fault_dem.npz", asfileobj=False)) as model:
        elevation = model["elevation"][::spacing, ::spacing].astype(np.float32)
    rows, columns = elevation.shape
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    mean, deviation = float(elevation.mean()), float(elevation.std())
    places = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
    return Terrain(places, (elevation.ravel() - mean) / deviation, mean, deviation, (rows, columns))


@cf.task()
def train(terrain: Terrain, epochs: int, width: int, seed: int, batch: int = 256) -> cf.Asset:
    random = np.random.default_rng(seed)
    network = Network(width, random)
    order = random.permutation(len(terrain.places))
    held_back, shown = np.split(order, [len(order) // 10])
    cf.log_info("{shown} points to learn from, {held_back} held back", shown=len(shown), held_back=len(held_back))
    for epoch in cf.progress(range(1, epochs + 1), "epochs"):
        for some in np.array_split(random.permutation(shown), len(shown) // batch):
            network.learn(terrain.places[some], terrain.elevations[some], rate=0.003 * (1 - epoch / (epochs + 1)))
        errors = np.abs(network.predict(terrain.places) - terrain.elevations) * terrain.deviation
        training_error.record(errors[shown].mean(), at=epoch)
        held_back_error.record(errors[held_back].mean(), at=epoch)
        if epoch % 10 == 0:
            cf.log_info("epoch {epoch}: {error} m off", epoch=epoch, error=round(float(errors[held_back].mean()), 1))
    np.savez("model.npz", waves=network.waves, hidden=network.weights[0], output=network.weights[1])
    draw(terrain, network.predict(terrain.places), "terrain.png")
    return cf.asset(["model.npz", "terrain.png"], name="terrain model")


def draw(terrain: Terrain, predicted: Array, file: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, title, elevations in ((left, "measured", terrain.elevations), (right, "learnt", predicted)):
        metres = (elevations * terrain.deviation + terrain.mean).reshape(terrain.shape)
        axes.imshow(metres, cmap="gist_earth", vmin=200, vmax=1000)
        axes.set_title(title)
        axes.set_axis_off()
    figure.colorbar(left.images[0], ax=[left, right], label="metres above the sea")
    figure.savefig(file, dpi=120)


@cf.task()
def evaluate(model: cf.Asset, terrain: Terrain) -> float:
    """The mean error in metres of a trained model, read back from its file."""
    with np.load(model["model.npz"].restore()) as saved:
        network = Network(saved["waves"].shape[1], np.random.default_rng(0))
        network.waves, network.weights = saved["waves"], [saved["hidden"], saved["output"]]
    return float(np.abs(network.predict(terrain.places) - terrain.elevations).mean() * terrain.deviation)


@cf.workflow()
def training_loop(epochs: int = 40, width: int = 96, spacing: int = 3, seed: int = 1) -> dict[str, object]:
    terrain = load_terrain(spacing)
    model = train(terrain, epochs, width, seed)
    return {"points": len(terrain.places), "error": round(evaluate(model, terrain), 1), "model": model}
