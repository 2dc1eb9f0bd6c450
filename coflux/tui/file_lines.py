"""How files look: the rows of the list of assets, and what is to be seen of a file's content. Pure."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence

from coflux.display.text import size as size_text
from coflux.tui.assets import AssetsState, FileKind, FileRow
from coflux.tui.details import Line
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.png import Image
from coflux.tui.previews import Binary, Facts, Lost, Picture, Preview, Table, Text
from coflux.tui.text import cell_len, clean, fit, pad

__all__ = ["heading", "paint_file_row", "paint_shades", "preview_lines"]

COLUMN = 32  # cells of a table's column
MADE_BY = 48  # cells
NUMBERS = "0123456789.,+-eE% "
SHADES = (" ░▒▓█", " .:-=+*#%@")  # in Unicode, in ASCII; from dark to bright
BYTES = 16  # of a line of a hex dump, if there is room


# -- the list ---------------------------------------------------------------------------------------------------------


def paint_file_row(state: AssetsState, row: FileRow, made_by: str, width: int, glyphs: Glyphs) -> list[Piece]:
    """A row of the list; `made_by` is what made the asset."""
    indent = "  " * row.depth
    if row.kind is FileKind.NOTE:
        return [(fit(f"{indent}  {clean(row.note)}", width, glyphs.ellipsis), "red")]
    fold = (glyphs.open if state.is_open(row) else glyphs.closed) if row.folds else " "
    facts = _facts(row, width)
    room = max(width - len(indent) - 3 - cell_len(facts), (width - len(indent)) // 3)
    name = clean(row.name, 300) + ("/" if row.kind is FileKind.DIRECTORY else "")
    title = fit(name, room, glyphs.ellipsis)
    style = {FileKind.ASSET: "bold", FileKind.DIRECTORY: "blue"}.get(row.kind, "")
    pieces: list[Piece] = [(f"{indent}{fold} ", "dim"), (title, style)]
    left = room - cell_len(title)
    if row.kind is FileKind.ASSET:
        how = "result of" if row.asset.in_result else "made by"
        made = fit(f"  {how} {clean(made_by)}", min(left, MADE_BY), glyphs.ellipsis) if left > 12 else ""
        pieces.append((made, "dim"))
        left -= cell_len(made)
    return [*pieces, (" " * max(left, 0), ""), (fit(facts, width - len(indent) - 2, glyphs.ellipsis), "dim")]


def _facts(row: FileRow, width: int) -> str:
    if row.kind is FileKind.ASSET:
        if row.asset.files < 0:
            return " lost "
        return f" {_files(row.asset.files)}  {size_text(row.asset.size):>8} "
    if row.file is None:
        return f" {_files(row.files)}  {size_text(row.size):>8} "
    kind = mimetypes.guess_type(row.path)[0] or ""
    told = f"{kind:<24}  {row.file.mode:03o} " if width >= 70 else ""
    return f" {told} {size_text(row.file.size):>8} "


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


# -- the content ------------------------------------------------------------------------------------------------------


def heading(row: FileRow | None, preview: Preview | None, width: int, glyphs: Glyphs) -> Line:
    """What is looked at, and what it is."""
    if row is None or row.file is None:
        return []
    about = [size_text(row.file.size), f"{row.file.mode:03o}"]
    if preview is not None and not isinstance(preview, Lost):
        about = [preview.kind, *([preview.note] if preview.note else []), *about]
    note = "  ".join(about)
    path = fit(clean(row.path), max(width - cell_len(note) - 4, width // 3), glyphs.ellipsis)
    line: list[Piece] = [(f" {path}  ", "bold"), (fit(clean(note), width - cell_len(path) - 3, glyphs.ellipsis), "dim")]
    return line


def preview_lines(preview: Preview, width: int, glyphs: Glyphs, most: int | None = None) -> list[Line]:
    """What is to be seen of a file, pictures excepted: all of it, or the first `most` lines, cut if long."""
    match preview:
        case Lost(why):
            return _wrapped(clean(why), width, "red")
        case Text(_, lines) if most is None:
            return [[(part, "")] for line in lines for part in _folded(clean(line), width)]
        case Text(_, lines):
            return [[(clean(line), "")] for line in lines[:most]]
        case Table(_, rows):
            return _table_lines(rows[:most], glyphs)
        case Facts(_, facts):
            widest = min(max((cell_len(clean(name)) for name, _ in facts), default=0), COLUMN)
            return [
                [(pad(fit(clean(name), widest, glyphs.ellipsis), widest + 2), "bold"), (clean(text), "")]
                for name, text in facts
            ]
        case Binary(_, head):
            return _hex_lines(head, width, most)
        case Picture():
            return []


def _folded(text: str, width: int) -> list[str]:
    """A line in as many as it needs."""
    if cell_len(text) <= width or width < 2:
        return [text]
    parts = []
    while text:
        length = min(width, len(text))
        while cell_len(text[:length]) > width:
            length -= 1
        parts.append(text[:length])
        text = text[length:]
    return parts


def _wrapped(text: str, width: int, style: str) -> list[Line]:
    import textwrap

    return [[(f" {line}", style)] for line in textwrap.wrap(text, max(width - 2, 10))]


def _table_lines(rows: Sequence[Sequence[str]], glyphs: Glyphs) -> list[Line]:
    """Columns of one width each; those that hold numbers are aligned to the right."""
    cells = [[clean(cell, COLUMN * 2) for cell in row] for row in rows]
    count = max(map(len, cells), default=0)
    columns = [[row[number] for row in cells if number < len(row)] for number in range(count)]
    widths = [min(max(map(cell_len, column), default=0), COLUMN) for column in columns]
    numeric = [all(_is_number(cell) for cell in column[1:]) and len(column) > 1 for column in columns]
    lines: list[Line] = []
    for place, row in enumerate(cells):
        text = ""
        for cell, width, to_the_right in zip(row, widths, numeric, strict=False):
            shown = fit(cell, width, glyphs.ellipsis)
            space = " " * (width - cell_len(shown))
            text += f" {space}{shown} " if to_the_right else f" {shown}{space} "
        lines.append([(text.rstrip(), "bold" if place == 0 else "")])
    return lines


def _is_number(cell: str) -> bool:
    return all(character in NUMBERS for character in cell) or cell.lower() in ("nan", "inf", "-inf")


def _hex_lines(data: bytes, width: int, most: int | None) -> list[Line]:
    across = BYTES if width >= 10 + 4 * BYTES + 3 else BYTES // 2
    lines: list[Line] = []
    for start in range(0, len(data), across):
        some = data[start : start + across]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in some)
        lines.append([(f" {start:08x}  ", "dim"), (f"{some.hex(' '):<{3 * across}} ", ""), (text, "cyan")])
        if most is not None and len(lines) == most:
            break
    return lines


def paint_shades(image: Image, unicode: bool) -> list[str]:
    """A picture where there are no colours: a character of some darkness for two pixels above each other."""
    shades = SHADES[not unicode]
    lines = []
    for row in range(0, image.height, 2):
        text = ""
        for column in range(image.width):
            places = [3 * (one * image.width + column) for one in (row, min(row + 1, image.height - 1))]
            brightness = sum(299 * image.rgb[at] + 587 * image.rgb[at + 1] + 114 * image.rgb[at + 2] for at in places)
            text += shades[min(brightness * len(shades) // (255 * 2000 + 1), len(shades) - 1)]
        lines.append(text)
    return lines
