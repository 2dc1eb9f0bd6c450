"""The pictures of the dashboard in README.md and docs: `docs/pictures/*.svg`.

    python tools/pictures.py [--check]

Each shows the run of the tests that has everything in it (`tests/tui/gallery.py`) at a size of its own, dark and light;
the same every time, to the byte. `--check` writes nothing, and fails when one is out of date. They depend on nothing
that a browser would have to load: the font is what it has, and each run of text is given its width.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from coflux.display.feed import ExecutionChanged, StepSubmitted  # noqa: E402  # found by then
from coflux.tui.about import About  # noqa: E402
from coflux.tui.updates import RunProgressed  # noqa: E402
from tests.tui.gallery import RUN, runs, told  # noqa: E402
from tests.tui.pretend import NOW, details, value  # noqa: E402
from tests.tui.stage import Stage, play  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
THEMES = {"dark": "coflux-dark", "light": "coflux-light"}
FONTS = 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace'


class Picture(NamedTuple):
    name: str
    size: tuple[int, int]
    keys: tuple[str, ...]


WANTED = [
    Picture("run", (120, 34), ("e",)),
    Picture("wide", (200, 50), ("e",)),
    Picture("narrow", (80, 24), ("e",)),
    Picture("timeline", (120, 34), ("4",)),
]


async def open_run(stage: Stage) -> None:
    stage.app.clock = lambda: NOW + 38.2
    events = [event for update in told() if isinstance(update, RunProgressed) for event in update.events]
    steps = {(event.step.run, event.step.number): event.step for event in events if isinstance(event, StepSubmitted)}
    for event in events:
        if isinstance(event, ExecutionChanged):
            row, called = event.row, steps[event.row.run, event.row.step]
            arguments = [value(text) for text in called.arguments]
            stage.engine.details[row.id] = details(row, event.outcome, step=called, arguments=arguments)
    stage.engine.told.append(runs())
    stage.app.open_run(RUN)
    stage.engine.told += told()
    await stage.look()


def draw(picture: Picture, theme: str) -> str:
    drawn: list[str] = []

    async def script(stage: Stage) -> None:
        stage.app.theme = theme
        await open_run(stage)
        await stage.press(*picture.keys)
        drawn.append(stage.app.export_screenshot())

    play(script, picture.size, about=About("shop"))
    svg = re.sub(r"@font-face\s*\{.*?\}\s*", "", drawn[0], flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", FONTS)


def main() -> None:
    os.environ["TZ"] = "UTC"  # what is shown in local time
    time.tzset()
    pictures = {
        PICTURES / f"{picture.name}-{brightness}.svg": draw(picture, theme)
        for picture in WANTED
        for brightness, theme in THEMES.items()
    }
    if "--check" in sys.argv[1:]:
        old = [file.name for file, svg in pictures.items() if not file.exists() or file.read_text() != svg]
        sys.exit(f"out of date: {', '.join(old)} (python tools/pictures.py)" if old else 0)
    PICTURES.mkdir(exist_ok=True)
    for file, svg in pictures.items():
        file.write_text(svg)


if __name__ == "__main__":
    main()
