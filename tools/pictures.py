"""The pictures of the dashboard in README.md and docs: `docs/pictures/*.svg`.

    python tools/pictures.py [--check]

Each shows a scene of the tests (`tests/tui/scenes.py`) at a size of its own, dark and light; the same every time, to
the byte. `--check` writes nothing, and fails when one is out of date. They depend on nothing that a browser would have
to load: the font is what it has, and each run of text is given its width.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.tui.scenes import SCENES  # noqa: E402  # found by then
from tests.tui.stage import Stage, play  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
THEMES = {"dark": "textual-dark", "light": "textual-light"}
FONTS = 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace'


class Picture(NamedTuple):
    name: str
    scene: str
    size: tuple[int, int]


WANTED = [
    Picture("home", "home", (100, 24)),
    Picture("run", "run-a-failed-step", (120, 30)),
    Picture("logs", "run-logs", (120, 30)),
    Picture("timeline", "run-timeline", (120, 30)),
]


def draw(picture: Picture, theme: str) -> str:
    (scene,) = (scene for scene in SCENES if scene.name == picture.scene)
    drawn: list[str] = []

    async def script(stage: Stage) -> None:
        stage.app.theme = theme
        await stage.look()
        await scene.script(stage)
        drawn.append(stage.app.export_screenshot())

    play(script, picture.size)
    svg = re.sub(r"@font-face\s*\{.*?\}\s*", "", drawn[0], flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", FONTS)


def main() -> None:
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
