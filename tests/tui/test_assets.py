"""Assets as data: the tree of their files, what is to be seen of one, and what is read and written by the thread."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

import coflux as cf
from coflux.encoded import Reference
from coflux.executor.blobs import FileBlobs
from coflux.executor.history import History
from coflux.executor.messages import Succeeded
from coflux.executor.news import EVERYTHING, NOTHING, News
from coflux.executor.rows import AssetRow
from coflux.executor.store import Store
from coflux.tui.assets import AssetsState, FileKind, FileRow
from coflux.tui.file_lines import heading, paint_file_row, paint_shades, preview_lines
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.png import SIGNATURE, Image, UnreadableImage, read_png
from coflux.tui.previews import (
    Binary,
    Facts,
    Lost,
    Picture,
    Preview,
    Table,
    Text,
    archive_facts,
    image_kind,
    picture_of,
    preview_of,
    shrunk,
)
from coflux.tui.readers.assets import AssetsReader
from coflux.tui.updates import (
    AssetsAsked,
    AssetsRead,
    DownloadAsked,
    DownloadBlocked,
    EntriesAsked,
    EntriesRead,
    Failed,
    PreviewAsked,
    PreviewRead,
    Request,
    Said,
    Update,
)
from coflux.values import Value
from tests.store.factories import batch, execution_row, run_row, step_row
from tests.tui.measured import FILES, MODEL, TABLE

UNICODE, ASCII = Glyphs(True), Glyphs(False)
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


# -- PNG --------------------------------------------------------------------------------------------------------------


def png(
    width: int, height: int, color: int, rows: Sequence[bytes], filters: Sequence[int], *more: tuple[bytes, bytes]
) -> bytes:
    """A PNG whose rows are filtered as is said."""
    data, above, channels = b"", bytes(len(rows[0])), CHANNELS[color]
    for row, kind in zip(rows, filters, strict=True):
        data += bytes([kind]) + bytes(
            (byte - predicted(kind, row, above, at, channels)) & 255 for at, byte in enumerate(row)
        )
        above = row
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    squeezed = zlib.compress(data)
    parts = [(b"IHDR", header), *more, (b"IDAT", squeezed[:7]), (b"IDAT", squeezed[7:]), (b"IEND", b"")]
    return SIGNATURE + b"".join(chunk(*part) for part in parts)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def predicted(kind: int, row: bytes, above: bytes, at: int, channels: int) -> int:
    """What the specification says that a filter predicts."""
    left = row[at - channels] if at >= channels else 0
    corner = above[at - channels] if at >= channels else 0
    up = above[at]
    if kind == 4:
        guess = left + up - corner
        return min((left, up, corner), key=lambda one: abs(guess - one))
    return (0, left, up, (left + up) // 2)[kind]


@pytest.mark.parametrize("color", list(CHANNELS))
def test_a_png_is_read_exactly_whatever_its_filters(color: int) -> None:
    chance = random.Random(color)
    width, height = 7, 10
    rows = [chance.randbytes(width * CHANNELS[color]) for _ in range(height)]
    palette, alpha = chance.randbytes(768), chance.randbytes(100)
    more = [(b"PLTE", palette), (b"tRNS", alpha)] if color == 3 else []
    data = png(width, height, color, rows, [number % 5 for number in range(height)], *more)
    image = read_png(data, 1000)
    expected = bytearray()
    for row in rows:
        for at in range(0, len(row), CHANNELS[color]):
            pixel = row[at : at + CHANNELS[color]]
            match color:
                case 0:
                    red_green_blue, opacity = pixel * 3, 255
                case 2:
                    red_green_blue, opacity = pixel, 255
                case 3:
                    red_green_blue = palette[3 * pixel[0] : 3 * pixel[0] + 3]
                    opacity = alpha[pixel[0]] if pixel[0] < len(alpha) else 255
                case 4:
                    red_green_blue, opacity = pixel[:1] * 3, pixel[1]
                case _:
                    red_green_blue, opacity = pixel[:3], pixel[3]
            expected += bytes(255 + (one - 255) * opacity // 255 for one in red_green_blue)
    assert image == Image(width, height, bytes(expected))


def test_what_is_no_such_png_is_told_and_nothing_else_comes_out() -> None:
    good = png(3, 2, 2, [bytes(range(9)), bytes(range(9))], [1, 4])
    assert read_png(good, 6).height == 2
    with pytest.raises(UnreadableImage, match="3 x 2 pixels are too many"):
        read_png(good, 5)
    header = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 16, 2, 0, 0, 0))
    with pytest.raises(UnreadableImage, match="16 bits"):
        read_png(header, 6)
    with pytest.raises(UnreadableImage, match="interlaced"):
        read_png(SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 1)), 6)
    bomb = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    assert read_png(bomb + chunk(b"IDAT", zlib.compress(bytes(50_000_000))), 10).rgb == b"\0\0\0"
    chance = random.Random(1)
    for _ in range(2000):
        damaged = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        for data in (bytes(damaged), bytes(damaged[: chance.randrange(len(damaged))])):
            try:
                read_png(data, 1000)
            except UnreadableImage:
                pass


def test_a_picture_is_made_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [bytes([number, 0, 0]) * 40 for number in range(0, 200, 10)]
    data = png(40, 20, 2, rows, [2] * 20)
    with_pillow = picture_of("PNG", data, 10, 5)
    monkeypatch.setitem(sys.modules, "PIL", None)
    without = picture_of("PNG", data, 10, 5)
    for picture in (with_pillow, without):
        assert isinstance(picture, Picture)
        assert (picture.image.width, picture.image.height, picture.note) == (10, 5, "40 x 20")
        assert picture.image.rgb[0] < picture.image.rgb[-3]
    small = picture_of("PNG", data, 100, 100)
    assert isinstance(small, Picture)
    assert small.image.width == 40
    jpeg = picture_of("JPEG", b"\xff\xd8\xff", 10, 5)
    assert isinstance(jpeg, Binary)
    assert "pip install pillow" in jpeg.note
    monkeypatch.undo()
    broken = picture_of("JPEG", b"\xff\xd8\xff", 10, 5)
    assert isinstance(broken, Binary)
    assert "cannot be read" in broken.note
    assert shrunk(Image(2, 2, bytes([0, 0, 0, 4, 4, 4] * 2)), 1, 1).rgb == bytes([2, 2, 2])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_all_kinds_of_pictures_are_known_by_their_first_bytes(kind: str) -> None:
    pillow = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    pillow.new("RGB", (30, 20), "red").save(file, kind)
    assert image_kind(file.getvalue()[:100]) == kind
    picture = picture_of(kind, file.getvalue(), 10, 5)
    assert isinstance(picture, Picture)
    assert picture.image.rgb[0] > 250
    assert image_kind(b"BMW is a car, and this is a text about it") == ""


# -- what is to be seen -----------------------------------------------------------------------------------------------


def seen(name: str, data: bytes, size: int | None = None) -> Preview:
    return preview_of(name, data, len(data) if size is None else size)


def npy(header: str, version: int = 1) -> bytes:
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + b"\0" * 100


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a", b"", Text("empty", [])),
        ("a.txt", "x\ny\u202e\n".encode(), Text("text", ["x", "y\u202e"])),
        ("a.json", b'{"b":[1,"\xc3\xa9"]}', Text("JSON", ["{", '  "b": [', "    1,", '    "é"', "  ]", "}"])),
        ("a.json", b"{", Text("text", ["{"])),
        ("a.json", b"[" * 100_000, Text("text", ["[" * 100_000])),
        ("a.txt", b"\xef\xbb\xbfx", Text("text", ["x"])),
        ("a.txt", "x".encode("utf-16"), Text("text", ["x"])),
        ("a.csv", b'a,"b\nc"\n1,2\n', Table("CSV", [["a", "b\nc"], ["1", "2"]])),
        ("a.tsv", b"a\tb\n", Table("TSV", [["a", "b"]])),
        ("a.bin", b"\0\1", Binary("binary", b"\0\1")),
        ("a.txt", b"\xff\xfd\xfc" * 10, Binary("binary", b"\xff\xfd\xfc" * 10)),
        (
            "a.npy",
            npy("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 4), }"),
            Facts("NumPy array", [("dtype", "float32"), ("shape", "3 x 4"), ("order", "Fortran")]),
        ),
        (
            "wrong name.txt",
            npy("{'descr': [('x', '<i8')], 'fortran_order': False, 'shape': ()}", 2),
            Facts("NumPy array", [("dtype", "[('x', '<i8')]"), ("shape", "a single value")]),
        ),
    ],
)
def test_a_file_is_shown_as_what_it_is(name: str, data: bytes, expected: Preview) -> None:
    assert seen(name, data) == expected


def test_what_makes_no_sense_is_shown_as_bytes_and_what_is_long_is_cut() -> None:
    for header in ("{'shape': 3}", "__import__('os')", "(" * 5000, "{'shape': ("):
        assert isinstance(seen("a.npy", npy(header)), Binary)
    assert isinstance(seen("a.npy", b"\x93NUMPY\1"), Binary)
    cut = seen("a.txt", b"x" * 9 + "é".encode()[:1], 5000)
    assert cut == Text("text", ["x" * 9], "the first 10 B of 4.9 KiB")
    many = seen("a.csv", b"1,2\n" * 5000)
    assert isinstance(many, Table)
    assert (len(many.rows), many.note) == (1000, "the first 1,000 rows")
    assert isinstance(seen("a.csv", b"x" * 200_000), Text)  # a cell that no table has
    assert isinstance(seen("a.txt", b"caf\xe9 " + b"long enough " * 20), Text)  # one byte that is no UTF-8


def test_an_archive_is_listed_with_the_shapes_of_arrays_and_nothing_is_unpacked() -> None:
    numpy = pytest.importorskip("numpy")
    file = io.BytesIO()
    numpy.savez(file, a=numpy.zeros((2, 3), "float32"), b=numpy.array([object()], dtype=object))
    facts = archive_facts(file)
    assert facts.kind == "NumPy arrays"
    assert list(facts.facts) == [("a.npy", "float32  2 x 3"), ("b.npy", "|O  1")]
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../\x1b[2J", bytes(10_000_000))
        archive.writestr("x.npy", bytes(10_000_000))
    facts = archive_facts(bomb)
    assert list(facts.facts) == [("../\x1b[2J", "9.5 MiB"), ("x.npy", "9.5 MiB")]
    assert "\x1b" not in "".join(lines(facts))
    with pytest.raises(ValueError, match="damaged"):
        archive_facts(io.BytesIO(b"PK\3\4" + bytes(100)))
    chance, whole = random.Random(2), file.getvalue()
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(5):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            archive_facts(io.BytesIO(bytes(damaged)))
        except ValueError:
            pass


def lines(preview: Preview, width: int = 60, most: int | None = None, glyphs: Glyphs = UNICODE) -> list[str]:
    return ["".join(text for text, _ in line) for line in preview_lines(preview, width, glyphs, most)]


def test_previews_are_lines_that_are_safe_and_fit() -> None:
    assert lines(Text("text", ["a\x1b[2J", "b"] * 500), most=3) == ["a^[[2J", "b", "a^[[2J"]
    assert lines(Text("text", ["x" * 130])) == ["x" * 60, "x" * 60, "x" * 10]
    assert lines(Text("text", ["漢" * 40])) == ["漢" * 30, "漢" * 10]
    assert [len(line) for line in lines(Text("text", ["x" * 1_000_000]), most=5)] == [4097]
    table = Table("CSV", [["name", "size"], ["a", "1.5"], ["long\x1b" + "x" * 99, "22"], ["b"]])
    assert lines(table)[:3] == [f" name{' ' * 29} size", f" a{' ' * 32}  1.5", lines(table)[2]]
    assert len(lines(table)[2]) <= 60
    assert lines(Binary("binary", bytes(range(20))), 80) == [
        " 00000000  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  ................",
        " 00000010  10 11 12 13                                      ....",
    ]
    assert len(lines(Binary("binary", bytes(64)), 50)) == 8
    assert lines(Lost("blob \x1b is not there"), 20) == [" blob ^[ is not", " there"]
    grey = Image(2, 2, bytes([0, 0, 0, 255, 255, 255] * 2))
    assert paint_shades(grey, unicode=True) == [" █"]
    assert paint_shades(grey, unicode=False) == [" @"]


# -- the tree of files ------------------------------------------------------------------------------------------------


def listed(state: AssetsState) -> list[str]:
    state.layout()
    return [f"{'  ' * row.depth}{row.name}{'/' if row.kind is FileKind.DIRECTORY else ''}" for row in state.rows]


def test_assets_unfold_to_directories_and_files() -> None:
    state = AssetsState()
    state.take(AssetsRead(state.open(), [MODEL, TABLE]))
    assert listed(state) == ["terrain model", "bbbbbbbbbbbb"]
    assert state.take_wanted() == [MODEL.id, TABLE.id]
    assert state.take_wanted() == []  # once
    state.take(EntriesRead(MODEL.id, FILES[MODEL.id]))
    state.take(EntriesRead(TABLE.id, (), "the list is lost"))
    assert listed(state) == [
        "terrain model", "  plots/", "    loss.png", "    terrain.png", "  README.md", "  model.npz", "bbbbbbbbbbbb",
        "  \0lost",
    ]  # fmt: skip
    assert texts(paint_file_row(state, state.rows[-1], "", 40, UNICODE)) == "    the list is lost"
    state.toggle(state.rows[1])
    assert listed(state)[1:3] == ["  plots/", "  README.md"]
    assert (state.rows[1].files, state.rows[1].size) == (2, 78_002)
    state.toggle(state.rows[0], False)
    assert listed(state)[:2] == ["terrain model", "bbbbbbbbbbbb"]
    state.take(AssetsRead(state.number - 1, []))
    assert len(state.assets) == 2
    many = [MODEL._replace(id=f"{number:064x}") for number in range(4)]
    state.take(AssetsRead(state.open(), many))
    assert len(listed(state)) == 4
    assert state.take_wanted() == []


def texts(pieces: Sequence[Piece]) -> str:
    return "".join(text for text, _ in pieces).rstrip()


def test_rows_fit_and_are_safe_whatever_files_are_called() -> None:
    state = AssetsState()
    file = FILES[MODEL.id][0]
    for name in ("x\x1b[2J\x07", "\u202egpj.exe", "a" * 3000, "漢字" * 40, "[/]", "\n"):
        hostile = MODEL._replace(name=name)
        for row in (
            FileRow(FileKind.ASSET, hostile),
            FileRow(FileKind.DIRECTORY, hostile, name, 3, files=2),
            FileRow(FileKind.FILE, hostile, f"d/{name}", 2, msgspec.structs.replace(file, path=f"d/{name}")),
            FileRow(FileKind.NOTE, hostile, name, 1, note=name),
        ):
            for width in (1, 20, 80):
                text = texts(paint_file_row(state, row, name, width, UNICODE)) + texts(
                    heading(row, Text("text", []), width, UNICODE)
                )
                assert not set(text) & set("\x1b\x07\u202e\n")
    row = FileRow(FileKind.FILE, MODEL, file.path, 1, file)
    assert texts(paint_file_row(state, row, "", 80, ASCII)).split() == ["README.md", "text/markdown", "644", "120", "B"]
    assert texts(heading(row, Lost("x"), 80, ASCII)) == " README.md  120 B  644"


# -- what is read and written -----------------------------------------------------------------------------------------


class Kept:
    """The assets of a run: step 1 has in its result what another run made, step 2 made `plots`."""

    def __init__(self, root: Path) -> None:
        self.store = Store.open(str(root / "data"))
        self.history = History.open(str(root / "data"))
        self.blobs = FileBlobs(str(root / "data" / "blobs"))
        self.reader = AssetsReader()
        (root / "made" / "d").mkdir(parents=True)
        (root / "made" / "a.csv").write_text("x,y\n1,2\n")
        (root / "made" / "d" / "plot.png").write_bytes(png(3, 2, 2, [bytes(9), bytes(9)], [0, 0]))
        (root / "made" / "d" / "plot.png").chmod(0o600)
        self.plots = self._kept(cf.asset(at=root / "made", name="plots\x1b"))
        self.other = self._kept(cf.asset(root / "made" / "a.csv"))
        value = Value("json", b"1", 1, references=(Reference("asset", self.other.id), Reference("asset", "0" * 64)))
        outcome = msgspec.msgpack.encode(Succeeded(value))
        self.store.commit(
            batch(
                run_row(),
                step_row(),
                execution_row(status="succeeded", outcome=outcome),
                step_row(number=2, parent="Rtest:1:1"),
                execution_row(step=2, status="succeeded"),
                AssetRow("Rtest", 2, 1, self.plots.id, "plots\x1b", 2, 99, 5.0),
            )
        )

    def _kept(self, asset: cf.Asset) -> cf.Asset:
        return cf.Asset(asset.reference(self.blobs).id, self.blobs)

    def asks(self, request: Request, news: News = NOTHING) -> list[Update]:
        told = list(self.reader.answer(self.history, request))
        return told + list(self.reader.read(self.history, news))

    def sees(self, path: str) -> Preview:
        (told,) = self.asks(PreviewAsked(1, self.plots.id, path, 10, 5))
        assert isinstance(told, PreviewRead)
        return told.preview


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    yield kept
    kept.history.close()
    kept.store.close()


def test_assets_of_steps_and_those_in_a_result_are_listed(kept: Kept) -> None:
    (told,) = kept.asks(AssetsAsked(1, "Rtest"), EVERYTHING)
    assert isinstance(told, AssetsRead)
    assert [(one.id, one.name, one.files, one.execution) for one in told.assets] == [
        (kept.plots.id, "plots\x1b", 2, "Rtest:2:1")
    ]
    (told,) = kept.asks(AssetsAsked(2, "Rtest", frozenset({("Rtest", 1)}), "Rtest:1:1"))
    assert isinstance(told, AssetsRead)
    assert [(one.id, one.files, one.in_result) for one in told.assets] == [
        (kept.other.id, 1, True),
        ("0" * 64, -1, True),
    ]
    assert not list(kept.reader.read(kept.history, News(executions=frozenset({("Rtest", 2, 1)}))))
    assert kept.asks(AssetsAsked(3, "")) == []
    (entries,) = kept.asks(EntriesAsked(kept.plots.id))
    assert isinstance(entries, EntriesRead)
    assert [(file.path, file.mode) for file in entries.files] == [("a.csv", 0o644), ("d/plot.png", 0o600)]


def test_files_are_looked_into_and_what_is_lost_is_said_in_its_place(kept: Kept) -> None:
    assert kept.sees("a.csv") == Table("CSV", [["x", "y"], ["1", "2"]])
    picture = kept.sees("d/plot.png")
    assert isinstance(picture, Picture)
    assert picture.note == "3 x 2"
    assert isinstance(kept.sees("gone"), Lost)
    blob = kept.plots["a.csv"].blob
    Path(kept.blobs.path_of(blob)).write_text("x,y\n1,3\n")
    damaged = kept.sees("a.csv")
    assert isinstance(damaged, Lost)
    assert "wrong content" in damaged.why
    os.unlink(kept.blobs.path_of(blob))
    missing = kept.sees("a.csv")
    assert isinstance(missing, Lost)
    assert "run again what made it" in missing.why
    os.unlink(kept.blobs.path_of(kept.plots.id))
    (told,) = kept.asks(EntriesAsked(kept.plots.id))
    assert isinstance(told, EntriesRead)
    assert "run again what made it" in told.problem


def test_a_download_asks_before_it_replaces_and_never_leaves_its_directory(kept: Kept, tmp_path: Path) -> None:
    there = tmp_path / "there"
    (told,) = kept.asks(DownloadAsked(kept.plots.id, None, str(there)))
    size = kept.plots.metadata.total_size
    assert told == Said("info", f"2 files, {size} B, written below {there}")
    assert (there / "a.csv").read_text() == "x,y\n1,2\n"
    assert (there / "d" / "plot.png").stat().st_mode & 0o777 == 0o600
    (there / "a.csv").write_text("mine")
    request = DownloadAsked(kept.plots.id, "a.csv", str(there))
    assert kept.asks(request) == [DownloadBlocked(request, str(there / "a.csv"))]
    assert (there / "a.csv").read_text() == "mine"
    (told,) = kept.asks(request._replace(replace=True))
    assert isinstance(told, Said)
    assert (there / "a.csv").read_text() == "x,y\n1,2\n"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (there / "d" / "plot.png").unlink()
    (there / "d").rmdir()
    (there / "d").symlink_to(elsewhere)
    (told,) = kept.asks(DownloadAsked(kept.plots.id, "d/plot.png", str(there), replace=True))
    assert isinstance(told, Failed)
    assert "a symbolic link" in told.why
    assert list(elsewhere.iterdir()) == []
    (told,) = kept.asks(DownloadAsked(kept.plots.id, None, str(there / "a.csv" / "x")))
    assert isinstance(told, Failed)
    os.unlink(kept.blobs.path_of(kept.plots["a.csv"].blob))
    (told,) = kept.asks(DownloadAsked(kept.plots.id, "a.csv", str(tmp_path / "new")))
    assert isinstance(told, Failed)
    assert not (tmp_path / "new" / "a.csv").exists()


def test_big_files_are_read_in_part(kept: Kept, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    (big / "long.txt").write_text("line\n" * 500_000)
    (big / "data.json").write_text(json.dumps(list(range(200_000))))
    (big / "huge.png").write_bytes(SIGNATURE + bytes(9 << 20))
    asset = kept._kept(cf.asset(at=big))
    previews = {}
    for path in ("long.txt", "data.json", "huge.png"):
        (told,) = kept.asks(PreviewAsked(1, asset.id, path, 10, 5))
        assert isinstance(told, PreviewRead)
        previews[path] = told.preview
    assert previews["long.txt"].note == "the first 256 KiB of 2.4 MiB"  # type: ignore[union-attr]
    assert isinstance(previews["data.json"], Text)
    assert previews["data.json"].kind == "text"
    assert isinstance(previews["huge.png"], Binary)
    assert "up to 8.0 MiB" in previews["huge.png"].note
