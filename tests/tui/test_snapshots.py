"""Every screen and state of the dashboard (`tests/tui/scenes.py`), compared with how it was when it was looked at last.

As text at three sizes (`screens/`), which also proves that nothing is told by colour alone, and some as pictures. After
a change that is meant:

    python -m pytest tests/tui/test_snapshots.py --snapshot-update && git diff tests/tui/screens

Pictures may change with Textual, whose version is pinned for that in pyproject.toml.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion

from tests.tui.scenes import SCENES, SIZES, Scene
from tests.tui.stage import Stage, play

SCREENS = Path(__file__).parent / "screens"

PICTURED = [  # the scene and the size
    ("home", (80, 24)), ("home", (120, 40)), ("form", (80, 24)), ("run", (120, 40)), ("run-a-failed-step", (120, 40)),
    ("run-logs", (120, 40)), ("run-timeline", (200, 60)), ("help", (80, 24)), ("cancel", (80, 24)),
]  # fmt: skip


@pytest.fixture(autouse=True)
def same_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("NO_COLOR", "TEXTUAL_THEME", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("COLORTERM", "truecolor")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_the_screens_are_as_they_were_looked_at(scene: Scene, pytestconfig: pytest.Config) -> None:
    async def script(stage: Stage) -> None:
        await scene.script(stage)
        for width, height in SIZES:
            await stage.resize(width, height)
            shown = stage.text + "\n"
            file = SCREENS / f"{scene.name}-{width}x{height}.txt"
            if pytestconfig.option.update_snapshots:
                file.write_text(shown)
            assert shown.splitlines() == file.read_text().splitlines(), f"{file.name}: see the head of {__name__}"

    play(script, SIZES[0], unicode=scene.unicode)


def test_no_screen_is_kept_that_nobody_looks_at() -> None:
    kept = {file.name for file in SCREENS.iterdir()}
    assert kept == {f"{scene.name}-{width}x{height}.txt" for scene in SCENES for width, height in SIZES}


@pytest.mark.parametrize(("name", "size"), PICTURED)
def test_the_pictures_are_as_they_were_looked_at(name: str, size: tuple[int, int], snapshot: SnapshotAssertion) -> None:
    (scene,) = (scene for scene in SCENES if scene.name == name)
    pictures: list[str] = []

    async def script(stage: Stage) -> None:
        await scene.script(stage)
        pictures.append(stage.app.export_screenshot())

    play(script, size)
    assert pictures[0] == snapshot.use_extension(SVGImageExtension)
