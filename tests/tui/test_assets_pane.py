"""The files of a run, as one uses them."""

from __future__ import annotations

import pytest

from coflux.tui.panes.assets import AssetsPane
from coflux.tui.png import Image
from coflux.tui.previews import Picture, Table, Text
from coflux.tui.screens.file import FileScreen
from coflux.tui.updates import AssetsAsked, AssetsRead, DownloadAsked, DownloadBlocked, EntriesAsked, PreviewAsked
from coflux.tui.widgets.file_views import PreviewView
from tests.tui.measured import MODEL, TABLE, Recorded
from tests.tui.stage import HOSTILE, Stage, play

RED = Picture("PNG", Image(4, 4, bytes([255, 0, 0] * 16)), "40 x 40")
LONG = Text("text", [f"line {number}" for number in range(900)])


def recorded() -> Recorded:
    table = Table("CSV", [["name", "size"], ["first", "1"]])
    return Recorded(previews={"plots/loss.png": RED, "table.csv": table, "README.md": LONG})


async def opened(stage: Stage, recorded: Recorded) -> None:
    stage.engine.answer = recorded
    await stage.press("tab", "enter", "5")


def test_assets_are_listed_and_the_file_under_the_cursor_is_looked_into() -> None:
    async def script(stage: Stage) -> None:
        await opened(stage, recorded())
        assert AssetsAsked(1, "R1", None, "") in stage.engine.asked
        assert EntriesAsked(MODEL.id) in stage.engine.asked
        assert "terrain model  made by fetch(1)" in stage.text
        assert "result of fetch(" in stage.text
        assert "image/png" in stage.text
        await stage.press("j", "j")
        assert "plots/loss.png" in stage.text
        assert "PNG  40 x 40" in stage.text
        assert "▀▀▀▀" in stage.text
        await stage.press("G")
        assert " first     1" in stage.text
        await stage.press("g", "left")
        assert "model.npz" not in stage.text
        await stage.press("right", "j", "space")
        assert "loss.png" not in stage.text
        for size in ((120, 40), (240, 60), (80, 24)):
            await stage.resize(*size)
            assert "terrain model" in stage.text
        await stage.press("a")
        assert stage.engine.asked[-1] == AssetsAsked(2, "R1", frozenset({("R1", 1)}), "") or "this step" in stage.text
        number = stage.app.state.assets.number
        stage.engine.told.append(AssetsRead(number, [TABLE]))
        await stage.look()
        assert "terrain model" not in stage.text
        stage.engine.told.append(AssetsRead(number, []))
        await stage.look()
        assert "no files" in stage.text

    play(script)


def test_the_result_of_the_step_under_the_cursor_is_among_them() -> None:
    async def script(stage: Stage) -> None:
        stage.engine.answer = recorded()
        await stage.press("tab", "enter", "j", "j", "5")
        assert stage.engine.asked[-1] != AssetsAsked(1, "R1", None, "")
        assert AssetsAsked(1, "R1", frozenset({("R1", 2)}), "R1:2:1") in stage.engine.asked
        pane = stage.app.screen.query_one(AssetsPane)
        assert pane.line() == MODEL.id
        await stage.press("G")
        assert pane.line() == "table.csv"

    play(script)


def test_a_file_is_read_on_the_whole_screen_and_searched() -> None:
    async def script(stage: Stage) -> None:
        await opened(stage, recorded())
        await stage.press("j", "j", "j", "j")
        assert "line 3" in stage.text
        await stage.press("enter")
        assert isinstance(stage.app.screen, FileScreen)
        assert "README.md  text" in stage.text
        await stage.press("slash", *"E 5", "enter")
        assert stage.app.screen.query_one(PreviewView).cursor == 5
        await stage.press("n")
        assert stage.app.screen.query_one(PreviewView).cursor == 50
        await stage.press("N", "N")
        assert stage.app.screen.query_one(PreviewView).cursor == 599
        assert "line 599" in stage.text
        await stage.press("slash", "escape", "escape")
        assert "terrain model" in stage.text

    play(script)


def test_a_picture_has_the_whole_screen_and_is_made_for_it() -> None:
    async def script(stage: Stage) -> None:
        await opened(stage, recorded())
        await stage.press("j", "j", "enter")
        await stage.look()
        asked = [one for one in stage.engine.asked if isinstance(one, PreviewAsked)]
        assert asked[-1].path == "plots/loss.png"
        assert (asked[-1].columns, asked[-1].rows) == (80, 21)  # the top line and the keys stay
        await stage.resize(100, 30)
        await stage.look()
        assert [one for one in stage.engine.asked if isinstance(one, PreviewAsked)][-1].columns == 100
        assert "▀▀▀▀" in stage.text

    play(script)


def test_a_download_asks_where_to_and_before_it_replaces() -> None:
    async def script(stage: Stage) -> None:
        await opened(stage, recorded())
        await stage.press("d")
        assert "Write terrain model below which directory?" in stage.text
        assert "./terrain-model" in stage.text
        await stage.press("end", "s", "enter")
        request = DownloadAsked(MODEL.id, None, "./terrain-models")
        assert stage.engine.asked[-1] == request
        stage.engine.told.append(DownloadBlocked(request, f"/tmp/{HOSTILE}"))
        await stage.look()
        assert "is there already; nothing was written" in stage.text
        await stage.press("y")
        assert stage.engine.asked[-1] == request._replace(replace=True)
        await stage.press("G", "d", "enter")
        assert stage.engine.asked[-1] == DownloadAsked(TABLE.id, "table.csv", ".")
        await stage.press("d", "escape")
        assert stage.engine.asked[-1] == DownloadAsked(TABLE.id, "table.csv", ".")

    play(script)


@pytest.mark.parametrize("unicode", [True, False])
def test_any_size_and_any_text_do(unicode: bool) -> None:
    async def script(stage: Stage) -> None:
        answers = recorded()
        answers.previews["plots/terrain.png"] = Text("text", [HOSTILE * 20_000])
        await opened(stage, answers)
        stage.engine.told.append(
            AssetsRead(stage.app.state.assets.number, [MODEL._replace(name=HOSTILE), TABLE._replace(name="\x1b")])
        )
        await stage.press("j")
        for size in ((80, 24), (12, 4), (1, 1), (200, 50)):
            await stage.resize(*size)
            await stage.press("j", "enter")
            for character in "\x1b\x07\u202e\ud83d":
                assert character not in stage.text
            if not unicode:
                assert stage.text.isascii()
            if isinstance(stage.app.screen, FileScreen):
                await stage.press("escape")

    play(script, unicode=unicode)
