"""What can be seen of a file: text, a table, a picture, facts, or its bytes. Pure: bytes go in; nothing is unpickled.

What a file is, its first bytes tell, and only where they do not, its name.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import struct
import zipfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from coflux.display.text import size as size_text
from coflux.tui.png import SIGNATURE, Image, UnreadableImage, read_png

__all__ = [
    "HEAD",
    "IMAGE_BYTES",
    "TEXT_BYTES",
    "Binary",
    "Facts",
    "Lost",
    "Picture",
    "Preview",
    "Table",
    "Text",
    "archive_facts",
    "array_facts",
    "image_kind",
    "is_archive",
    "picture_of",
    "preview_of",
    "shrunk",
]

HEAD = 4096  # bytes that tell what a file is, and that are shown of one that is nothing else
TEXT_BYTES = 256 << 10
IMAGE_BYTES = 8 << 20
IMAGE_PIXELS = 16_000_000  # with Pillow
PLAIN_PIXELS = 2_000_000  # without, where a million takes a second
TABLE_ROWS = 1000
TABLE_COLUMNS = 100
CELL = 200  # characters
MEMBERS = 100  # of an archive
ARRAY_HEADER = 10_000  # bytes

_IMAGES = {SIGNATURE: "PNG", b"\xff\xd8\xff": "JPEG", b"GIF87a": "GIF", b"GIF89a": "GIF"}
_ARCHIVE = b"PK\x03\x04"
_ARRAY = b"\x93NUMPY"


class Text(NamedTuple):
    """Lines as they are in the file, or of JSON laid out. `kind` and `note` say what it is."""

    kind: str
    lines: Sequence[str]
    note: str = ""


class Table(NamedTuple):
    """Rows of cells; the first is the heading."""

    kind: str
    rows: Sequence[Sequence[str]]
    note: str = ""


class Picture(NamedTuple):
    """A picture that was made to fit: its pixels are half a cell high. `kind` and `note` are about the whole."""

    kind: str
    image: Image
    note: str = ""


class Facts(NamedTuple):
    """What a header says, in pairs of a name and a text."""

    kind: str
    facts: Sequence[tuple[str, str]]
    note: str = ""


class Binary(NamedTuple):
    """The first bytes of a file."""

    kind: str
    head: bytes
    note: str = ""


class Lost(NamedTuple):
    """It cannot be read."""

    why: str


Preview = Text | Table | Picture | Facts | Binary | Lost


def preview_of(name: str, data: bytes, size: int) -> Preview:
    """What is to be seen of a file called `name`, of whose `size` bytes `data` are the first."""
    if not size:
        return Text("empty", [])
    if data.startswith(_ARRAY):
        try:
            return Facts("NumPy array", array_facts(data))
        except ValueError as error:
            return Binary("binary", data[:HEAD], str(error))
    text = _decoded(data, whole=len(data) == size)
    if text is None:
        return Binary("binary", data[:HEAD], _cut_note(min(len(data), HEAD), size))
    note = _cut_note(len(data), size)
    extension = name.rpartition(".")[2].lower()
    if extension in ("csv", "tsv"):
        table = _table(text, "\t" if extension == "tsv" else ",", note)
        if table is not None:
            return table
    if extension in ("json", "ipynb", "geojson") and not note:
        laid_out = _laid_out(text)
        if laid_out is not None:
            return Text("JSON", laid_out)
    return Text("text", text.splitlines(), note)


def _cut_note(shown: int, size: int) -> str:
    return f"the first {size_text(shown)} of {size_text(size)}" if shown < size else ""


# -- text -------------------------------------------------------------------------------------------------------------


def _decoded(data: bytes, *, whole: bool) -> str | None:
    """The text, if it is one: UTF-8, of which a byte in a hundred may be something else, and no zero bytes."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if not whole and error.start >= len(data) - 3:
            return data[: error.start].decode("utf-8-sig")  # a character was cut in two
    text = data.decode("utf-8", "replace")
    return text if text.count("\ufffd") * 100 <= len(text) else None


def _laid_out(text: str) -> list[str] | None:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False).splitlines()
    except (ValueError, RecursionError):
        return None


def _table(text: str, separator: str, note: str) -> Table | None:
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text), delimiter=separator):
            if len(rows) == TABLE_ROWS:
                note = f"the first {TABLE_ROWS:,} rows"
                break
            rows.append([cell[:CELL] for cell in row[:TABLE_COLUMNS]])
    except csv.Error:
        return None
    return Table("TSV" if separator == "\t" else "CSV", rows, note)


# -- arrays -----------------------------------------------------------------------------------------------------------


def array_facts(data: bytes) -> list[tuple[str, str]]:
    """What the header of a .npy file says. Raises `ValueError` when it makes no sense."""
    header = _array_header(data)
    shape = header.get("shape")
    if not isinstance(shape, tuple) or not all(isinstance(length, int) for length in shape):
        raise ValueError("the array's header has no shape")
    facts = [("dtype", _dtype_text(header.get("descr"))), ("shape", " x ".join(map(str, shape)) or "a single value")]
    if header.get("fortran_order"):
        facts.append(("order", "Fortran"))
    return facts


def _array_header(data: bytes) -> dict[object, object]:
    if len(data) < 12:
        raise ValueError("the array's header is cut short")
    width, start = (2, 10) if data[6] == 1 else (4, 12)
    length = int.from_bytes(data[8 : 8 + width], "little")
    if length > ARRAY_HEADER or start + length > len(data):
        raise ValueError("the array's header is cut short")
    try:
        header = ast.literal_eval(data[start : start + length].decode("latin-1").strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError("the array's header makes no sense") from None
    if not isinstance(header, dict):
        raise ValueError("the array's header makes no sense")
    return header


_KINDS = {"f": "float", "i": "int", "u": "uint", "c": "complex"}


def _dtype_text(descr: object) -> str:
    """`float32` for `<f4`; what is not a number as it is."""
    if isinstance(descr, str) and descr[1:2] in _KINDS and descr[2:].isdecimal():
        return f"{_KINDS[descr[1]]}{8 * int(descr[2:])}"
    if descr == "|b1":
        return "bool"
    return descr if isinstance(descr, str) else str(descr)


# -- archives ---------------------------------------------------------------------------------------------------------


def is_archive(head: bytes) -> bool:
    """Whether it is a ZIP file, such as a .npz one, an .xlsx one or a wheel."""
    return head.startswith(_ARCHIVE)


def archive_facts(file: BinaryIO) -> Facts:
    """The members of a ZIP file; of arrays their dtype and shape. Raises `ValueError` when it is damaged."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            facts = [(member.filename, _member_text(archive, member)) for member in members[:MEMBERS]]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, struct.error, EOFError, OSError) as error:
        raise ValueError(f"the archive is damaged: {error}") from None
    kind = "NumPy arrays" if members and all(one.filename.endswith(".npy") for one in members) else "ZIP archive"
    return Facts(kind, facts, f"the first {MEMBERS} of {len(members):,}" if len(members) > MEMBERS else "")


def _member_text(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    if member.filename.endswith(".npy"):
        import zlib

        try:
            with archive.open(member) as content:
                return "  ".join(text for _, text in array_facts(content.read(ARRAY_HEADER)))
        except (ValueError, zlib.error):
            pass  # then its size has to do
    return "directory" if member.is_dir() else size_text(member.file_size)


# -- pictures ---------------------------------------------------------------------------------------------------------


def image_kind(head: bytes) -> str:
    """`PNG`, `JPEG`, `GIF` or `BMP`; "" for what is none of these."""
    if head.startswith(b"BM") and len(head) >= 26 and head[14:18] in (b"\x28\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0"):
        return "BMP"
    return next((kind for start, kind in _IMAGES.items() if head.startswith(start)), "")


def picture_of(kind: str, data: bytes, columns: int, rows: int) -> Preview:
    """A picture that fits into so many cells, each two pixels high."""
    try:
        width, height, image = _with_pillow(data, columns, 2 * rows) or _without_pillow(kind, data, columns, 2 * rows)
    except UnreadableImage as error:
        return Binary(kind, data[:HEAD], f"{error}")
    return Picture(kind, image, f"{width:,} x {height:,}")


def _with_pillow(data: bytes, most_columns: int, most_rows: int) -> tuple[int, int, Image] | None:
    """`None` where Pillow is not installed."""
    try:
        import PIL.Image
    except ImportError:
        return None
    try:
        with PIL.Image.open(io.BytesIO(data)) as opened:
            width, height = opened.size
            if width * height > IMAGE_PIXELS:
                raise UnreadableImage(f"{width:,} x {height:,} pixels are too many")
            opened.draft("RGB", (most_columns, most_rows))  # of a JPEG, decode no more than is needed
            layered = opened.convert("RGBA")
            background = PIL.Image.new("RGBA", layered.size, "white")
            flat = PIL.Image.alpha_composite(background, layered).convert("RGB")
            flat = flat.resize(_fitted(width, height, most_columns, most_rows), PIL.Image.Resampling.BOX)
            return width, height, Image(*flat.size, flat.tobytes())
    except UnreadableImage:
        raise
    except (OSError, ValueError, SyntaxError, MemoryError, EOFError, PIL.Image.DecompressionBombError) as error:
        raise UnreadableImage(f"it cannot be read: {error}") from None


def _without_pillow(kind: str, data: bytes, most_columns: int, most_rows: int) -> tuple[int, int, Image]:
    if kind != "PNG":
        raise UnreadableImage(f"a {kind} is shown where Pillow is installed: pip install pillow")
    try:
        image = read_png(data, PLAIN_PIXELS)
    except UnreadableImage as error:
        raise UnreadableImage(f"{error}; Pillow may read it: pip install pillow") from None
    return image.width, image.height, shrunk(image, *_fitted(image.width, image.height, most_columns, most_rows))


def _fitted(width: int, height: int, most_columns: int, most_rows: int) -> tuple[int, int]:
    """The size in which a picture fits; small ones are not made larger."""
    scale = min(most_columns / width, most_rows / height, 1.0)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def shrunk(image: Image, width: int, height: int) -> Image:
    """The picture in fewer pixels; each is the mean of at most 9 of those that it stands for."""
    rows = [
        b"".join(_mean(image, across, down) for across in _samples(image.width, width))
        for down in _samples(image.height, height)
    ]
    return Image(width, height, b"".join(rows))


def _samples(length: int, count: int) -> Iterator[list[int]]:
    """For each of `count` places those of `length` that it is the mean of: up to three."""
    for place in range(count):
        start, end = length * place // count, max(length * (place + 1) // count, length * place // count + 1)
        yield sorted({start, (start + end - 1) // 2, end - 1})


def _mean(image: Image, across: list[int], down: list[int]) -> bytes:
    starts = [3 * (row * image.width + column) for row in down for column in across]
    return bytes(sum(image.rgb[start + channel] for start in starts) // len(starts) for channel in range(3))
