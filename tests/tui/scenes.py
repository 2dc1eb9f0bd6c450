"""The screens of the dashboard and the states that they can be in: what to press to see each."""

from __future__ import annotations

from typing import NamedTuple

from tests.tui.stage import Play, Stage

__all__ = ["SCENES", "SIZES", "Scene"]

SIZES = [(80, 24), (120, 40), (200, 60)]


class Scene(NamedTuple):
    name: str
    script: Play
    unicode: bool = True


def _keys(*keys: str) -> Play:
    async def script(stage: Stage) -> None:
        await stage.press(*keys)

    return script


SCENES = [
    Scene("home", _keys()),
    Scene("home-ascii", _keys(), unicode=False),
    Scene("form", _keys("r")),
    Scene("form-with-an-error", _keys("j", "r", "x", "enter")),
    Scene("run", _keys("tab", "enter")),
    Scene("run-ascii", _keys("tab", "enter"), unicode=False),
    Scene("run-a-failed-step", _keys("tab", "enter", "e", "1")),
    Scene("run-problems-only", _keys("tab", "enter", "b", "b")),
    Scene("run-search", _keys("tab", "enter", "slash", *"reset")),
    Scene("run-logs", _keys("tab", "enter", "2")),
    Scene("run-timeline", _keys("tab", "enter", "3")),
    Scene("help", _keys("tab", "enter", "question_mark")),
    Scene("cancel", _keys("tab", "enter", "X")),
    Scene("leave", _keys("q")),
]
