"""Some lines that show a value: of a frame its columns and first rows, of an array its first elements, of long text its
first lines. Made where the value lives, in bounded time, whatever the value's own code does; without secrets that this
process knows."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from coflux.previews import (
    MAPPINGS,
    SEQUENCES,
    Texts,
    array_text,
    class_name,
    fields_of,
    one_line,
    preview,
)
from coflux.redaction import THIS_PROCESS

__all__ = ["COLUMNS", "LINES", "summarize"]

LINES = 25
COLUMNS = 120  # characters of a line
TEXT_LIMIT = 4096  # bytes
TIME_LIMIT = 0.05  # seconds after which no other part is looked at

CELL = 29  # characters of a cell of a table: a time with nanoseconds
ROWS = LINES - 5  # of a table: there is a headline, the columns and their types, and two lines on what is left out
NUMBERS = 12  # columns of an array
CHEAP_ELEMENTS = 100_000  # of an array, up to which all are looked at
DUMPED = 256  # bytes of a blob that is no text
TEXT_PIECE = LINES * COLUMNS  # characters of a long text that are looked at

_TIMES = (dt.date, dt.time, dt.timedelta)  # whose repr is code

_ORDERED = ("b", "i", "u", "f")  # kinds of numpy's types that have a least and a greatest

IndexOf = Callable[[object], int | None]


class _Table(NamedTuple):
    """The beginning of a frame: what comes before its rows, the types of its columns, and the cells by column."""

    names: list[object]
    types: list[str]
    columns: list[list[object]]


def summarize(value: object, line: str, texts: Texts, index_of: IndexOf | None = None) -> str | None:
    """Some lines that show more of `value` than its preview `line` does; `None` where there is no more to see.

    At most 4 KiB, 25 lines and 120 columns of printable text. It never raises.

    Args:
        value: any object.
        line: what `preview` returned for it.
        texts: what `preview` has asked the value's parts for: none is asked for its repr twice.
        index_of: as for `preview`.
    """
    try:
        lines = _Summary(texts, index_of).lines(value, line)
        return None if lines is None else _fitted(lines, line)
    except Exception:  # noqa: BLE001  # the value's own code, and that of the library it is of
        return None


class _Summary:
    def __init__(self, texts: Texts, index_of: IndexOf | None) -> None:
        self._texts = texts
        self._index_of = index_of
        self._deadline = time.monotonic() + TIME_LIMIT

    def lines(self, value: Any, line: str) -> Iterable[str] | None:
        cls = type(value)
        own_repr: object = cls.__repr__
        headline = array_text(value)
        if headline is not None:
            return self._array(value, headline)
        if own_repr is str.__repr__:
            return _text(str.__str__(value), line)
        if own_repr is bytes.__repr__ or own_repr is bytearray.__repr__:
            return _blob(value, line)
        if not line.endswith("…") and "\\n" not in line:
            return None  # the preview is all there is
        if own_repr in MAPPINGS:
            return self._entries(f"{cls.__name__} of {len(value):,}", value.items(), len(value))
        if own_repr in SEQUENCES:
            ordered = own_repr is not set.__repr__ and own_repr is not frozenset.__repr__
            return self._items(f"{cls.__name__} of {len(value):,}", value, len(value), numbered=ordered)
        if (fields := fields_of(value)) is not None:
            return self._fields(class_name(cls), list(fields))
        text = self._texts.get(value)
        return None if text is None or "\n" not in text else _clipped(text.expandtabs(), len(text))

    # -- containers -----------------------------------------------------------------------------------------------

    def _items(self, headline: str, items: Iterable[object], count: int, *, numbered: bool) -> Iterable[str]:
        width = len(f"{min(count, LINES) - 1}")
        yield headline
        yield from self._each(
            count,
            (
                (f"[{index:{width}}] " if numbered else "- ") + self._part(item)
                for index, item in enumerate(islice(items, LINES))
            ),
        )

    def _entries(self, headline: str, items: Iterable[tuple[object, object]], count: int) -> Iterable[str]:
        yield headline
        yield from self._each(count, (f"{self._part(key)}: {self._part(item)}" for key, item in islice(items, LINES)))

    def _fields(self, headline: str, fields: Sequence[tuple[str, object]]) -> Iterable[str]:
        yield headline
        yield from self._each(len(fields), (f"{name} = {self._part(item)}" for name, item in fields))

    def _each(self, count: int, lines: Iterable[str]) -> Iterable[str]:
        shown = 0
        room = LINES - 1 if count < LINES else LINES - 2
        for text in islice(lines, room):
            yield f"  {text}"
            shown += 1
            if time.monotonic() > self._deadline:
                break
        if shown < count:
            yield f"  … and {count - shown:,} more"

    def _part(self, value: object) -> str:
        return preview(value, self._index_of, self._texts)

    # -- arrays and frames ------------------------------------------------------------------------------------------

    def _array(self, value: Any, headline: str) -> Iterable[str]:
        yield headline
        table = _frame(value)
        if table is None:
            yield from self._numbers(value)
        elif len(table.names) > 1:
            columns = [
                [self._cell(name), kind, *map(self._cell, cells)] for name, kind, cells in zip(*table, strict=True)
            ]
            width = value.shape[1] if len(value.shape) > 1 else 1
            yield from _aligned(columns, heading=2, rows=value.shape[0], width=width + 1)

    def _numbers(self, value: Any) -> Iterable[str]:
        """The corner of an array: of its first matrix when it has more dimensions, and a row or more of a vector."""
        if getattr(getattr(value, "dtype", None), "kind", "") in _ORDERED and 0 < value.size <= CHEAP_ELEMENTS:
            yield f"from {self._cell(_plain(value.min()))} to {self._cell(_plain(value.max()))}"
        if len(value.shape) > 2:
            yield f"[{', '.join('0' * (len(value.shape) - 2))}]:"
        while len(value.shape) > 2:
            value = value[0]
        if len(value.shape) == 2:
            height, width = value.shape
            yield from self._matrix(_plain(value[:ROWS, :NUMBERS]), height, width)
            return
        length = value.shape[0] if value.shape else 1
        first = _plain(value[: ROWS * NUMBERS]) if value.shape else [_plain(value)]
        rows = [first[start : start + NUMBERS] for start in range(0, len(first), NUMBERS)]
        yield from self._matrix(rows, len(rows), min(length, NUMBERS))
        if len(first) < length:
            yield f"… and {length - len(first):,} more elements"

    def _matrix(self, rows: list[list[object]], height: int, width: int) -> Iterable[str]:
        columns = [
            [self._cell(row[index]) if index < len(row) else "" for row in rows] for index in range(min(width, NUMBERS))
        ]
        return _aligned(columns, heading=0, rows=height, width=width)

    def _cell(self, value: object) -> str:
        if type(value) is float:
            return f"{value:.6g}"
        if type(value) is int and value.bit_length() < 64:
            return repr(value)
        if type(value) is str:
            text = one_line(THIS_PROCESS.text(value[: CELL + 1], cut=int(len(value) > CELL + 1)))
        else:
            text = str(value) if isinstance(value, _TIMES) else self._part(value)
        return text if len(text) <= CELL else text[: CELL - 1] + "…"


def _plain(value: Any) -> Any:
    """An array as lists of Python's own numbers, texts and times; a scalar as one of these."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return value.to_list() if hasattr(value, "to_list") else value


def _frame(value: Any) -> _Table | None:
    """The beginning of a data frame or series of pandas or polars or a table of Arrow; `None` for other arrays."""
    if hasattr(value, "iloc"):
        return _pandas(value)
    if hasattr(value, "get_columns"):
        head = value.head(ROWS)
        series = head.get_columns()[: COLUMNS // 3]
        return _Table(
            ["", *[one.name for one in series]],
            ["", *[str(one.dtype) for one in series]],
            [list(range(len(head))), *[one.to_list() for one in series]],
        )
    if hasattr(value, "column_names") and hasattr(value, "schema"):
        head = value.slice(0, ROWS)
        names = head.column_names[: COLUMNS // 3]
        return _Table(
            ["", *names],
            ["", *[str(kind) for kind in head.schema.types[: len(names)]]],
            [list(range(len(head))), *[head.column(index).to_pylist() for index in range(len(names))]],
        )
    return None


def _pandas(value: Any) -> _Table:
    head = value.iloc[:ROWS, : COLUMNS // 3] if len(value.shape) > 1 else value.iloc[:ROWS]
    index = head.index
    labels = [name for name in index.names if name is not None]
    if len(value.shape) == 1:
        return _Table(
            [", ".join(map(str, labels)), value.name or ""], ["", str(value.dtype)], [index.tolist(), head.tolist()]
        )
    return _Table(
        [", ".join(map(str, labels)), *head.columns.tolist()],
        ["", *map(str, head.dtypes.tolist())],
        [index.tolist(), *[head.iloc[:, number].tolist() for number in range(head.shape[1])]],
    )


def _aligned(columns: Sequence[Sequence[str]], *, heading: int, rows: int, width: int) -> list[str]:
    """The columns side by side, as many as fit, numbers and what is above them to the right; and what is left out.

    `heading` is how many cells of each are above the rows; there are `rows` and `width` columns altogether.
    """
    fitting: list[list[str]] = []
    used = 0
    for column in columns:
        size = max(map(len, column), default=0)
        used += size + 2
        if used > COLUMNS - 3:
            break
        justify = str.rjust if _is_numeric(column[heading:]) else str.ljust
        fitting.append([justify(cell, size) for cell in column])
    more = "  …" if len(fitting) < width else ""
    lines = ["  ".join(cells).rstrip() + more for cells in zip(*fitting, strict=True)]
    if more:
        lines.append(f"… and {width - len(fitting):,} more columns")
    left_out = rows - len(fitting[0]) + heading if fitting else 0
    if left_out:
        lines.append(f"… and {left_out:,} more rows")
    return lines


def _is_numeric(cells: Sequence[str]) -> bool:
    return all(cell[:1] in "-0123456789" or cell in _ODD_NUMBERS for cell in cells)


_ODD_NUMBERS = frozenset({"", "nan", "inf", "None", "NaT", "<NA>"})


# -- text and blobs ---------------------------------------------------------------------------------------------------


def _text(text: str, line: str) -> Iterable[str] | None:
    if not line.endswith("…") and text.count("\n") <= 1:
        return None
    return [f"str of {len(text):,} characters", *_clipped(text, len(text))]


def _clipped(text: str, length: int) -> list[str]:
    """The first lines of a text of `length` characters, long ones wrapped."""
    piece = THIS_PROCESS.text(text[:TEXT_PIECE], cut=int(len(text) > TEXT_PIECE))
    lines: list[str] = []
    for full in piece.expandtabs().split("\n"):
        shown = one_line(full)
        lines += [shown[start : start + COLUMNS] for start in range(0, len(shown), COLUMNS)] or [""]
    if len(lines) <= LINES - 1 and length <= TEXT_PIECE:
        return lines
    return [*lines[: LINES - 2], "…"]


def _blob(value: bytes | bytearray, line: str) -> Iterable[str] | None:
    if not line.startswith("<"):
        return None  # it was short
    piece = bytes(value[:TEXT_PIECE])
    try:
        # Cut in the middle of a character, perhaps.
        text = piece.decode() if len(value) <= TEXT_PIECE else piece.decode(errors="ignore")
    except UnicodeDecodeError:
        text = ""
    if (
        text
        and len(text) > len(piece) // 4
        and text.replace("\n", "").replace("\t", "").replace("\r", "").isprintable()
    ):
        return [f"{type(value).__name__} of {len(value):,}, text", *_clipped(text, len(value))]
    lines = [f"{type(value).__name__} of {len(value):,}"]
    if THIS_PROCESS.finds(piece):
        return lines
    for start in range(0, min(DUMPED, len(piece)), 16):
        row = piece[start : start + 16]
        readable = "".join([chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row])
        lines.append(f"{start:08x}  {row.hex(' '):<47}  {readable}")
    return [*lines, "…"] if len(value) > DUMPED else lines


def _fitted(lines: Iterable[str], line: str) -> str | None:
    """In all limits; `None` where that is no more than the preview."""
    shown: list[str] = []
    size = 0
    for text in islice(lines, LINES):
        text = THIS_PROCESS.text(text)  # noqa: PLW2901
        clipped = text if len(text) <= COLUMNS else text[: COLUMNS - 1] + "…"
        size += len(clipped.encode()) + 1
        if size > TEXT_LIMIT - 4:
            shown.append("…")
            break
        shown.append(clipped)
    return None if shown == [line] else "\n".join(shown)
